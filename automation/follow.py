"""Follows a run to its end: each stage as it begins and ends, then a table of what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from automation.argo import get_run
from automation.console import Terminal, duration
from automation.runs import RunView, StageView

if TYPE_CHECKING:
    from rich.table import Table

    from automation.target import Target

_POLL_SECONDS = 0.7
_STYLES = {
    "succeeded": "green",
    "failed": "bold red",
    "running": "cyan",
    "starting": "cyan",
    "degraded": "yellow",
    "skipped": "dim",
    "waiting": "dim",
}
_MARKS = {"succeeded": "✓", "failed": "✗", "running": "▸", "starting": "▸", "skipped": "-", "waiting": " "}


def follow_run(target: Target, name: str, terminal: Terminal) -> RunView:
    """Show a run until it has ended, exit handler included; how it ended.

    Raises:
        RunNotFound: there is no such run, or it was removed while it was followed.
    """
    read = lambda: get_run(target, name)  # noqa: E731
    if terminal.live:
        return _in_place(read, terminal)
    return _in_lines(read, terminal)


def _in_place(read: Callable[[], RunView], terminal: Terminal) -> RunView:
    from rich.live import Live

    run = read()
    with Live(_whole(run), console=terminal.err, refresh_per_second=4, transient=True) as live:
        while not run.finished:
            time.sleep(_POLL_SECONDS)
            run = read()
            live.update(_whole(run))
    return run


def _whole(run: RunView) -> Any:
    from rich.console import Group

    return Group(headline(run), run_table(run))


def _in_lines(read: Callable[[], RunView], terminal: Terminal) -> RunView:
    shown: dict[str, str] = {}
    waited = ""
    while True:
        run = read()
        if run.waits_for and run.waits_for != waited:
            waited = run.waits_for
            terminal.say(f"{run.name} waits: {waited}")
        for line in transitions(run, shown):
            terminal.say(line)
        if run.finished:
            return run
        time.sleep(_POLL_SECONDS)


def transitions(run: RunView, shown: dict[str, str]) -> list[str]:
    """The lines for what changed since the last call; `shown` has what was last told of each stage."""
    lines = []
    now = datetime.now(UTC)
    for stage in run.stages:
        if stage.status == "starting" and stage.message and shown.get(stage.name) != stage.message:
            shown[stage.name] = stage.message
            lines.append(f"  {stage.name} cannot start yet: {stage.message}")
        if shown.get(stage.name) == stage.status or stage.status in ("waiting", "starting"):
            continue
        shown[stage.name] = stage.status
        seconds = stage.seconds(now)
        took = f" in {duration(seconds)}" if seconds is not None and stage.status in ("succeeded", "failed") else ""
        why = f": {stage.message}" if stage.message and stage.status == "failed" else ""
        lines.append(f"{_MARKS.get(stage.status, ' ')} {stage.name} {stage.status}{took}{why}")
    return lines


def headline(run: RunView) -> str:
    """A run in one line."""
    return f"{run.name}  {run.commit[:10]}  {run.status}  {duration(run.seconds(datetime.now(UTC)))}"


def run_table(run: RunView, explained: tuple[str, ...] = ("failed", "starting")) -> Table:
    """A run's stages for a person, with the message of those whose status is `explained`."""
    from rich.table import Table
    from rich.text import Text

    now = datetime.now(UTC)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("", "stage", "status", "took", ""):
        table.add_column(heading, justify="right" if heading == "took" else "left", overflow="fold")
    for stage in run.stages:
        table.add_row(*_row(stage, now, explained), style=None)
    if run.waits_for:
        table.add_row("", Text(run.waits_for, style="dim"), "", "", "")
    return table


def _row(stage: StageView, now: datetime, explained: tuple[str, ...]) -> list[Any]:
    from rich.text import Text

    style = _STYLES.get(stage.status, "")
    seconds = stage.seconds(now)
    return [
        Text(_MARKS.get(stage.status, " "), style=style),
        stage.name,
        Text(stage.status, style=style),
        duration(seconds) if seconds is not None and stage.status not in ("waiting", "skipped") else "",
        Text(stage.message if stage.status in explained else "", style=style),
    ]
