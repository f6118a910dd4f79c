"""What came of a local run, for a person and for a machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from automation.follow import headline, run_table
from automation.run_commands import show_outputs

if TYPE_CHECKING:
    from automation.console import Terminal
    from automation.local.records import Outputs
    from automation.runs import RunView


@dataclass(frozen=True, kw_only=True)
class Report:
    """What there is to tell.

    Attributes:
        view: the run and its stages.
        source: what it was a run of.
        outputs: of the stacks that were deployed.
        record: the folder with logs and results.
        restart: how to start the stand-in again with what it held; empty when that is not kept.
    """

    view: RunView
    source: str
    outputs: Outputs
    record: Path
    restart: str = ""


def show_report(report: Report, terminal: Terminal) -> None:
    """Print it as `follow` does."""
    terminal.show("")
    terminal.show(headline(report.view))
    terminal.show(run_table(report.view, explained=("failed", "skipped")))
    show_outputs(report.outputs, terminal)
    terminal.show(f"Logs:  {report.record / 'logs'}")
    if report.restart:
        terminal.show(f"AWS:   {report.restart}")
    terminal.result(
        {
            **report.view.document(),
            "source": report.source,
            "outputs": report.outputs,
            "record": str(report.record),
            **({"restart_aws": report.restart} if report.restart else {}),
        }
    )
