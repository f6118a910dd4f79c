"""The exit handler: completes the run's record and sends its metrics, however the run ended."""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from aphex.run import RunRecord, StageKind, StageRecord, Status
from stages.metrics import put_metrics, run_metrics
from stages.runner import Stage, StageResult
from stages.table import new_run, now

T = TypeVar("T")

_ARGO_SUCCEEDED = "Succeeded"
_UPDATE = StageKind.SELF_UPDATE.value
_KINDS = frozenset(kind.value for kind in StageKind if kind is not StageKind.EXIT)
_ATTEMPT = re.compile(r"\(\d+\)$")


class UnreadableFailures(ValueError):
    """Argo's list of failures is not the JSON that it should be."""


def parse_failures(text: str) -> list[dict[str, Any]]:
    """Argo's `workflow.failures`: a JSON list, quoted once more when it was substituted into a manifest.

    Raises:
        UnreadableFailures: it is something else.
    """
    value: Any = text or "null"
    while isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise UnreadableFailures(f"workflow.failures cannot be read: {error}") from error
    return [each for each in value or [] if isinstance(each, dict)]


def stage_failures(failures: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The failures of stages by their names.

    Argo lists every failed node: also the run itself, and for a task with retries both the task, `build`, and each
    of its pods, `build(0)`. The nodes of a stage have the template that is named for its kind.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for failure in failures:
        name = _ATTEMPT.sub("", str(failure.get("displayName", "")))
        if failure.get("templateName") in _KINDS and (name not in found or failure.get("message")):
            found[name] = failure
    return found


def run_status(workflow: str, stages: Mapping[str, StageRecord]) -> Status:
    """How the run ended: degraded when all that failed is the self-update, which stops no deployment."""
    if workflow != _ARGO_SUCCEEDED:
        return Status.FAILED
    bad = (Status.DEGRADED, Status.FAILED)
    return Status.DEGRADED if any(stage.status in bad for stage in stages.values()) else Status.SUCCEEDED


def unfinished_stages(
    stages: Mapping[str, StageRecord], failures: Sequence[Mapping[str, Any]], ended_at: str
) -> dict[str, StageRecord]:
    """Records of stages that could not write how they ended, because their pod was killed or never started.

    Args:
        stages: what the stages recorded.
        failures: what Argo says of the nodes that failed.
        ended_at: the time for those of which Argo does not know when they ended.
    """
    told = stage_failures(failures)
    completed: dict[str, StageRecord] = {}
    for name, record in stages.items():
        if record.status is Status.RUNNING and name != StageKind.EXIT.value:
            completed[name] = _killed(name, told.get(name, {}), ended_at, record)
    for name, failure in told.items():
        if name not in stages:
            completed[name] = _killed(name, failure, ended_at, StageRecord(status=Status.RUNNING))
    return completed


def _killed(name: str, failure: Mapping[str, Any], ended_at: str, record: StageRecord) -> StageRecord:
    message = failure.get("message") or "Its pod ended before it could say why."
    return record.model_copy(
        update={
            "status": Status.DEGRADED if name == _UPDATE else Status.FAILED,
            "ended_at": failure.get("finishedAt") or ended_at,
            "error": {"type": "PodEnded", "message": message, "phase": failure.get("phase", "")},
        }
    )


def run(stage: Stage) -> StageResult:
    """Complete the record and send the metrics; a part that cannot be done is told, and stops no other."""
    parts = _Parts(stage)
    context, ended_at = stage.context, now()
    record = parts.attempt("reading the run's record", stage.table.read) or new_run(context)
    failures = parts.attempt("reading Argo's failures", lambda: parse_failures(context.workflow_failures)) or []
    for name, each in unfinished_stages(record.stages, failures, ended_at).items():
        record.stages[name] = each
        parts.attempt(f"completing the record of {name}", partial(stage.table.set_stage, name, each))
    status = run_status(context.workflow_status, record.stages)
    parts.attempt("completing the run's record", lambda: stage.table.end_run(status, ended_at))
    finished = record.model_copy(update={"status": status, "ended_at": ended_at})
    metrics = run_metrics(_without_exit(finished))
    parts.attempt("sending the metrics", lambda: put_metrics(stage.clients.cloudwatch, metrics))
    _tell(stage, finished)
    summary = {"status": status.value, "problems": parts.problems}
    return StageResult(summary=summary, details={"run": finished.model_dump(mode="json")})


class _Parts:
    """Does what the exit handler consists of; each part that fails is told with its reason and kept in the log."""

    def __init__(self, stage: Stage) -> None:
        self._console = stage.console
        self.problems: list[str] = []

    def attempt(self, what: str, action: Callable[[], T]) -> T | None:
        try:
            return action()
        except Exception as error:  # noqa: BLE001  # one broken part must not stop the others
            self.problems.append(f"{what}: {error}")
            self._console.line(f"warning: {what} failed: {error}")
            self._console.log_only(traceback.format_exc())
            return None


def _without_exit(record: RunRecord) -> RunRecord:
    stages = {name: stage for name, stage in record.stages.items() if name != StageKind.EXIT.value}
    return record.model_copy(update={"stages": stages})


def _tell(stage: Stage, record: RunRecord) -> None:
    console = stage.console
    console.line(f"Run {record.run_id} of {record.pipeline}: {record.status}")
    for name, each in sorted(_without_exit(record).stages.items(), key=lambda item: item[1].started_at):
        console.line(f"  {name:<24} {each.status}")
        if each.error:
            console.line(f"    {str(each.error.get('message', '')).splitlines()[0]}")
    if stage.context.argo_url:
        console.line(f"{stage.context.argo_url.rstrip('/')}/workflows/{stage.context.namespace}/{record.run_id}")
