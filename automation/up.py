"""Brings a pipeline to what its configuration says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automation import changes
from automation.changes import ResourceChange
from automation.data_loss import Consent
from automation.guard import guard
from automation.last_update import made_from, memory
from automation.left_behind import LeftBehind, deployed_before, left_behind, tell
from automation.operation import operate
from automation.ownership import check_cluster
from automation.stack import open_stack, stack_outputs

if TYPE_CHECKING:
    from aphex.config import PipelineConfig
    from automation.console import Terminal
    from automation.stack import OpenStack
    from automation.target import Target
    from automation.update_plan import SavedPlan


@dataclass(frozen=True, kw_only=True)
class UpResult:
    """What an `up` did.

    Attributes:
        pipeline: which pipeline it was.
        changes: each resource that was changed.
        outputs: the stack's outputs, without those that are secret.
        skipped: whether the engine was not asked, because it was known that nothing would change.
        left: what the pipeline had deployed and does not deploy any more; it stays.
    """

    pipeline: str
    changes: tuple[ResourceChange, ...]
    outputs: dict[str, Any]
    skipped: bool = False
    left: tuple[LeftBehind, ...] = ()

    def document(self) -> dict[str, Any]:
        """The result as JSON has it."""
        return {
            "pipeline": self.pipeline,
            "changed": bool(self.changes),
            "changes": changes.as_json(self.changes),
            "outputs": self.outputs,
            "skipped": self.skipped,
            "left_behind": [each.document() for each in self.left],
        }


def bring_up_if_changed(target: Target, config: PipelineConfig, terminal: Terminal) -> UpResult:
    """Update the pipeline stack, unless the last update was made from the same and its state is still there.

    Raises:
        DataLossRefused: it would lose data.
        DeploymentError: the engine or a provider failed.
    """
    remembered = memory(target)
    outputs = remembered.recall(made_from(target, config)) if remembered is not None else None
    if outputs is not None:
        terminal.say("Configuration, settings, program and state are those of the last update.")
        return UpResult(pipeline=target.settings.pipeline, changes=(), outputs=outputs, skipped=True)
    return bring_up(target, config, terminal)


def bring_up(
    target: Target,
    config: PipelineConfig,
    terminal: Terminal,
    *,
    plan: SavedPlan | None = None,
    consent: Consent = Consent.NEVER,
) -> UpResult:
    """Create or update the pipeline stack; with a plan, do exactly what is in it.

    Args:
        target: where the pipeline is.
        config: what it is made from.
        terminal: where progress is told.
        plan: a saved preview.
        consent: whether data may be lost.

    Raises:
        DataLossRefused: it would lose data, and that was not allowed.
        NotOurs: the pipeline is on another cluster.
        DeploymentError: the engine or a provider failed.
    """
    result = _bring_up(target, config, terminal, plan, consent)
    remembered = memory(target)
    if remembered is not None:
        remembered.remember(made_from(target, config), result.outputs)
    return result


def _bring_up(
    target: Target, config: PipelineConfig, terminal: Terminal, plan: SavedPlan | None, consent: Consent
) -> UpResult:
    from aphex_platform.program import deployed_environments

    what = f"Deploying the pipeline {target.settings.pipeline}"
    left: list[LeftBehind] = []

    def look(deployment: Mapping[str, Any]) -> None:
        left[:] = left_behind(deployed_before(deployment), deployed_environments(config))
        check_cluster(target.settings, stack_outputs(deployment))
        guard(opened, deployment, terminal, consent, plan.resource_changes() if plan is not None else None)

    with open_stack(target, config) as opened:
        file = _plan_file(opened, plan) if plan is not None else None
        log, done = operate(
            opened,
            terminal,
            what,
            lambda on_event: opened.stack.up(on_event=on_event, suppress_progress=True, color="never", plan=file),
            first=look,
        )
    tell(left, terminal)
    finished = [step for step in log.steps if step.outcome == "done"]
    return UpResult(
        pipeline=target.settings.pipeline,
        changes=tuple(changes.planned(finished)),
        outputs={name: output.value for name, output in done.outputs.items() if not output.secret},
        left=tuple(left),
    )


def _plan_file(opened: OpenStack, plan: SavedPlan) -> str:
    """The plan as the file that Pulumi wants, in the workspace, which is gone when the stack is closed."""
    opened.use_salt(plan.salt)
    file = Path(opened.stack.workspace.work_dir) / "plan.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps(plan.plan))
    return str(file)
