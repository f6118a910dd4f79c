"""What an `up` would change, found out by the engine without changing anything."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from automation import changes
from automation.changes import ResourceChange
from automation.data_loss import Loss, losses, protected_urns
from automation.guard import look_ahead
from automation.left_behind import LeftBehind, deployed_before, left_behind
from automation.ownership import check_cluster
from automation.stack import open_stack, stack_outputs

if TYPE_CHECKING:
    from rich.table import Table

    from aphex.config import PipelineConfig
    from automation.console import Terminal
    from automation.target import Target


@dataclass(frozen=True, kw_only=True)
class PreviewResult:
    """What would change.

    Attributes:
        pipeline: which pipeline it is.
        changes: each resource that would be changed.
        plan: Pulumi's update plan, by which exactly these changes can be applied; empty when something
            protected keeps the engine from making one.
        salt: what the plan's secrets are encrypted with, beside the passphrase.
        losses: those of the changes by which data would be lost.
        left: what the pipeline had deployed and would not deploy any more; it stays.
    """

    pipeline: str
    changes: tuple[ResourceChange, ...]
    plan: dict[str, Any]
    salt: str | None
    losses: tuple[Loss, ...] = ()
    left: tuple[LeftBehind, ...] = ()

    def document(self) -> dict[str, Any]:
        """The result as JSON has it."""
        return {
            "pipeline": self.pipeline,
            "changed": bool(self.changes),
            "changes": changes.as_json(self.changes),
            "losses": [str(each) for each in self.losses],
            "left_behind": [each.document() for each in self.left],
        }


def preview(target: Target, config: PipelineConfig, terminal: Terminal) -> PreviewResult:
    """Ask the engine what it would do.

    Raises:
        DeploymentError: the program or a provider failed.
    """
    from aphex_platform.program import deployed_environments

    with open_stack(target, config) as opened, TemporaryDirectory(prefix="aphex-plan-") as folder:
        plan = Path(folder) / "plan.json"
        before = opened.stack.export_stack().deployment or {}
        check_cluster(target.settings, stack_outputs(before))
        salt = opened.salt(before)
        opened.use_salt(salt)
        with terminal.step("Comparing the pipeline with its configuration"):
            found = tuple(look_ahead(opened, plan))
        return PreviewResult(
            pipeline=target.settings.pipeline,
            changes=found,
            plan=json.loads(plan.read_text()) if plan.exists() and plan.stat().st_size else {},
            salt=salt,
            losses=tuple(losses(found, protected_urns(before))),
            left=tuple(left_behind(deployed_before(before), deployed_environments(config))),
        )


def changes_table(found: tuple[ResourceChange, ...], *, properties: int = 6) -> Table:
    """The changes for a person: operation, resource and the first few properties that differ."""
    from rich.table import Table
    from rich.text import Text

    from automation.progress import STYLES

    table = Table(box=None, show_header=True, header_style="bold", pad_edge=False)
    for title in ("operation", "type", "name", "properties"):
        table.add_column(title, overflow="fold")
    for change in found:
        paths = [each.path + (" (replaces)" if each.replaces else "") for each in change.properties]
        shown = ", ".join(paths[:properties]) + (f" and {len(paths) - properties} more" * (len(paths) > properties))
        operation = Text(f"{change.sign} {change.operation}", style=STYLES.get(change.operation, ""))
        table.add_row(operation, change.kind, change.name, shown)
    return table
