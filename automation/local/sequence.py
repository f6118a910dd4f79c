"""The stages of a local run one after another, the exit handler at the end however it goes."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from aphex.errors import AphexError
from aphex.run import StageKind, StageSpec
from automation.console import duration
from automation.local.plan import NO_CLUSTER, PlannedStage
from automation.local.update import render_update
from automation.runs import RunView, StageView

if TYPE_CHECKING:
    from aphex.config import PipelineConfig
    from automation.console import Terminal
    from automation.local.execute import Stages
    from automation.local.snapshot import Snapshot

EXIT = StageSpec(StageKind.EXIT, "exit")
_INTERRUPTED = "interrupted"


@dataclass
class Sequel:
    """What has come of the stages so far.

    Attributes:
        created: when the first began.
        views: each stage that was reached or left out.
        kinds: of the stages.
        interrupted: whether the run was.
        delivered: whether everything that has to succeed did.
    """

    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    views: list[StageView] = field(default_factory=list)
    kinds: dict[str, StageKind] = field(default_factory=dict)
    interrupted: bool = False
    delivered: bool = True

    def add(self, spec: StageSpec, view: StageView) -> None:
        """Note how a stage stands; what is failed of the self-update stops nothing."""
        self.views.append(view)
        self.kinds[view.name] = spec.kind
        if view.status == "failed" and spec.kind not in (StageKind.SELF_UPDATE, StageKind.EXIT):
            self.delivered = False

    def view(self, run: str, snapshot: Snapshot) -> RunView:
        """The run as a person or a machine reads of it."""
        failed = any(each.status == "failed" for each in self.views)
        status = "failed" if not self.delivered or self.interrupted else "degraded" if failed else "succeeded"
        return RunView(
            name=run,
            status=status,
            stages=tuple(self.views),
            commit=snapshot.commit,
            branch=snapshot.branch,
            message=snapshot.message,
            author=snapshot.author,
            trigger="manual",
            created=self.created,
            ended=datetime.now(UTC),
        )


def run_sequence(
    stages: Stages, plan: Sequence[PlannedStage], config: PipelineConfig, pipeline: str, terminal: Terminal
) -> Sequel:
    """Run the planned stages, each after the one before; after a failure the others are left out."""
    sequel = Sequel()
    failed = ""
    for position, each in enumerate(plan):
        reason = each.skipped or (f"{failed} failed" if failed else "")
        if reason:
            sequel.add(each.spec, StageView(name=each.spec.name, status="skipped", message=reason))
            continue
        terminal.say(f"=== {each.spec.name}", style="bold")
        started = datetime.now(UTC)
        try:
            view = _one(stages, each.spec, config, pipeline)
        except KeyboardInterrupt:
            _interrupted(sequel, plan[position:], started, terminal)
            return sequel
        sequel.add(each.spec, view)
        _tell(view, terminal)
        failed = "" if sequel.delivered else failed or each.spec.name
    _exit(stages, sequel, terminal)
    return sequel


def _one(stages: Stages, spec: StageSpec, config: PipelineConfig, pipeline: str) -> StageView:
    if spec.kind is StageKind.SELF_UPDATE:
        return _self_update(stages, spec, config, pipeline)
    return stages.run(spec).view


def _self_update(stages: Stages, spec: StageSpec, config: PipelineConfig, pipeline: str) -> StageView:
    begun = StageView(name=spec.name, status="running", started=datetime.now(UTC))
    with (stages.logs / f"{spec.name}.log").open("w", encoding="utf-8") as log:

        def say(line: str) -> None:
            log.write(line + "\n")
            stages.on_line(line)

        try:
            render_update(config, pipeline, stages.variables["APHEX_ACCOUNT"], stages.variables["AWS_REGION"], say)
        except AphexError as error:
            say(f"error: {error}")
            return replace(begun, status="failed", ended=datetime.now(UTC), message=error.message.splitlines()[0])
    return replace(begun, status="skipped", ended=datetime.now(UTC), message=NO_CLUSTER)


def _interrupted(sequel: Sequel, rest: Sequence[PlannedStage], started: datetime, terminal: Terminal) -> None:
    sequel.interrupted = True
    terminal.say(f"Interrupted: {rest[0].spec.name} was ended.")
    now = datetime.now(UTC)
    first = StageView(name=rest[0].spec.name, status="failed", started=started, ended=now, message=_INTERRUPTED)
    sequel.add(rest[0].spec, first)
    for each in rest[1:]:
        sequel.add(each.spec, StageView(name=each.spec.name, status="skipped", message=each.skipped or _INTERRUPTED))


def _exit(stages: Stages, sequel: Sequel, terminal: Terminal) -> None:
    terminal.say(f"=== {EXIT.name}", style="bold")
    started = datetime.now(UTC)
    try:
        view = stages.run(EXIT, exit_variables(sequel)).view
    except KeyboardInterrupt:
        _interrupted(sequel, [PlannedStage(spec=EXIT)], started, terminal)
        return
    sequel.add(EXIT, view)
    _tell(view, terminal)


def exit_variables(sequel: Sequel) -> dict[str, str]:
    """What Argo tells the exit handler of the run."""
    failures: list[Mapping[str, Any]] = [
        {
            "displayName": each.name,
            "templateName": sequel.kinds[each.name].value,
            "message": each.message,
            "phase": "Failed",
            "finishedAt": each.ended.strftime("%Y-%m-%dT%H:%M:%SZ") if each.ended else "",
        }
        for each in sequel.views
        if each.status == "failed"
    ]
    seconds = time.time() - sequel.created.timestamp()
    return {
        "APHEX_WORKFLOW_STATUS": "Succeeded" if sequel.delivered else "Failed",
        "APHEX_WORKFLOW_FAILURES": json.dumps(failures),
        "APHEX_WORKFLOW_DURATION": f"{seconds:.6f}",
    }


def _tell(view: StageView, terminal: Terminal) -> None:
    seconds = view.seconds(datetime.now(UTC))
    took = f" in {duration(seconds)}" if seconds is not None and view.status != "skipped" else ""
    why = f": {view.message}" if view.message else ""
    mark = {"succeeded": "✓", "failed": "✗"}.get(view.status, "-")
    terminal.say(f"{mark} {view.name} {view.status}{took}{why}")
