"""How a run ended: from what its stages recorded and from what Argo says of those that could not."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from aphex.run import StageKind, StageRecord, Status
from stages.bounds import cut, cut_tail
from stages.reasons import explained

_ARGO_SUCCEEDED = "Succeeded"
_UPDATE = StageKind.SELF_UPDATE.value
_EXIT = StageKind.EXIT.value
_KINDS = frozenset(kind.value for kind in StageKind if kind is not StageKind.EXIT)
_ATTEMPT = re.compile(r"\((\d+)\)$")
# What Argo says of a task that it gave up, instead of why (processNodeRetries in workflow/controller/operator.go).
_GIVEN_UP = "No more retries left"
_TAIL_BYTES = 3_000
_TAIL_LINES = 30


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

    Argo lists every failed node, in any order: also the run itself, and for a task with retries both the task, `build`,
    and each of its pods, `build(0)`. The nodes of a stage have the template that is named for its kind. Of several,
    the last pod that has something to say tells most.
    """
    return {
        _ATTEMPT.sub("", str(each.get("displayName", ""))): each
        for each in sorted(failures, key=_telling)
        if each.get("templateName") in _KINDS
    }


def _telling(failure: Mapping[str, Any]) -> tuple[bool, int]:
    attempt = _ATTEMPT.search(str(failure.get("displayName", "")))
    return failure.get("message") not in (None, "", _GIVEN_UP), int(attempt.group(1)) if attempt else -1


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
        if record.status is Status.RUNNING and name != _EXIT:
            completed[name] = _killed(name, told.get(name, {}), ended_at, record)
    for name, failure in told.items():
        if name not in stages:
            completed[name] = _killed(name, failure, ended_at, StageRecord(status=Status.RUNNING))
    return completed


def _killed(name: str, failure: Mapping[str, Any], ended_at: str, record: StageRecord) -> StageRecord:
    reason = explained(str(failure.get("message") or ""))
    return record.model_copy(
        update={
            "status": Status.DEGRADED if name == _UPDATE else Status.FAILED,
            "ended_at": failure.get("finishedAt") or ended_at,
            "pod": str(failure.get("podName") or record.pod),
            "error": {
                "type": reason.kind,
                "message": reason.message,
                "hint": reason.hint,
                "phase": str(failure.get("phase", "")),
            },
        }
    )


def first_failure(stages: Mapping[str, StageRecord]) -> str:
    """The stage that failed first: one that failed the run before one that only degraded it; empty when none did."""
    failed = [
        (each.status is Status.DEGRADED, each.ended_at, name)
        for name, each in stages.items()
        if name != _EXIT and each.status in (Status.FAILED, Status.DEGRADED)
    ]
    return min(failed)[2] if failed else ""


def run_error(
    stages: Mapping[str, StageRecord], failures: Sequence[Mapping[str, Any]], whole: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Why a run failed, in short: the first stage that failed, its message and hint, command and last lines.

    Args:
        stages: how they ended.
        failures: what Argo says of the nodes that failed, for a run that ended between two stages.
        whole: the stage's error as the bucket has it, if it has it.
    """
    name = first_failure(stages)
    if not name:
        said = [str(each.get("message", "")) for each in failures if each.get("message")]
        if not said:
            return {
                "stage": "",
                "type": "RunEnded",
                "message": "Argo ended the run without a failure of a stage.",
                "hint": "The run's page in Argo's UI, or `argo get`, shows how its steps ended.",
            }
        reason = explained(said[-1])
        return {"stage": "", "type": reason.kind, "message": cut(reason.message), "hint": reason.hint}
    short = {**(whole or {}), **(stages[name].error or {})}
    error = {"stage": name, **{key: cut(_text(short[key])) for key in _KEPT if short.get(key)}}
    lines = _text((whole or {}).get("output", "")).splitlines()[-_TAIL_LINES:]
    if lines:
        error["output"] = cut_tail("\n".join(lines), _TAIL_BYTES)
    return error


_KEPT = ("type", "message", "hint", "command", "stack")


def _text(value: object) -> str:
    return " ".join(str(each) for each in value) if isinstance(value, list | tuple) else str(value)
