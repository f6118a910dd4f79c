"""The exit handler: completes the run's record, sends its metrics and its notifications, however the run ended."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from aphex.errors import AphexError
from aphex.notifications import Channel
from aphex.run import ChannelRecord, RunRecord, StageKind, Status, Trigger
from stages.metrics import put_metrics, run_metrics
from stages.notify.channels import Addresses, outcomes, parse_channels, wanted
from stages.notify.delivery import deliver
from stages.notify.message import message
from stages.outcome import first_failure, parse_failures, run_error, run_status, unfinished_stages
from stages.runner import Stage, StageResult
from stages.stack_records import interrupted_metrics, interrupted_stacks
from stages.table import new_run, now

T = TypeVar("T")


def run(stage: Stage) -> StageResult:
    """Complete the record, send the metrics and tell the channels.

    A part that cannot be done is told, and stops no other.
    """
    parts = _Parts(stage)
    finished, last = _completed(stage, parts)
    told: dict[str, ChannelRecord] = {}
    if last:
        metrics = run_metrics(_without_exit(finished))
        parts.attempt("sending the metrics", lambda: put_metrics(stage.clients.cloudwatch, metrics))
        told = _notify(stage, parts, finished)
    finished = finished.model_copy(update={"notifications": {**finished.notifications, **told}})
    _tell(stage, finished)
    summary: dict[str, Any] = {"status": finished.status.value, "problems": parts.problems}
    if told:
        summary["notifications"] = {name: each.status for name, each in told.items()}
    return StageResult(summary=summary, details={"run": finished.model_dump(mode="json")})


def _completed(stage: Stage, parts: _Parts) -> tuple[RunRecord, bool]:
    """The run as it ended, written into its record; false when a later exit handler has written it."""
    context, table, ended_at = stage.context, stage.table, now()
    record = parts.attempt("reading the run's record", table.read) or new_run(context)
    failures = parts.attempt("reading Argo's failures", lambda: parse_failures(context.workflow_failures)) or []
    for name, each in unfinished_stages(record.stages, failures, ended_at).items():
        record.stages[name] = each
        parts.attempt(f"completing the record of {name}", partial(table.set_stage, name, each))
    stacks = interrupted_stacks(record, ended_at)
    for environment, each_stacks in stacks.items():
        write = partial(table.set_stacks, environment, each_stacks)
        parts.attempt(f"completing the record of the stacks of {environment}", write)
    lost = interrupted_metrics(record, stacks)
    parts.attempt("sending the metrics of stacks", lambda: put_metrics(stage.clients.cloudwatch, lost), lost)
    record.stacks.update(stacks)
    status = run_status(context.workflow_status, record.stages)
    failed = first_failure(record.stages)
    # The record has the error in short; what the command printed last is in the bucket.
    whole = parts.attempt("reading the error", lambda: stage.store.get_json(context.keys.error(failed)), failed)
    error = run_error(record.stages, failures, whole) if status is not Status.SUCCEEDED else None
    # A handler that is tried again does not move the end of the run.
    ended_at = record.ended_at if record.status is status and record.ended_at else ended_at
    end = partial(table.end_run, status, ended_at, error, stage.started)
    last = parts.attempt("completing the run's record", end) is not False
    if not last:
        parts.problem("completing the run's record", "a later exit handler has written it, and tells of it")
    return record.model_copy(update={"status": status, "ended_at": ended_at, "error": error}), last


def _notify(stage: Stage, parts: _Parts, run: RunRecord) -> dict[str, ChannelRecord]:
    """Tell the channels that want to know; how each took it."""
    context = stage.context
    previous = None
    if run.trigger is not Trigger.PULL_REQUEST:
        follow = partial(stage.table.follow_latest, run.status, run.started_at)
        previous = parts.attempt("reading how the run before ended", follow)
    if context.notify == "off":
        return {}
    channels = parts.attempt("reading the channels", lambda: parse_channels(context.channels)) or []
    happened = outcomes(run.status, previous)
    chosen = [each for each in wanted(channels, run, happened) if not _told(run, each)]
    if not chosen:
        return {}
    results: dict[str, ChannelRecord] = {}
    addresses = _addresses(stage, chosen, run, results)
    recovered = "recovered" in happened
    text = message(_without_exit(run), link=_link(stage), recovered=recovered, masker=stage.console.masker)
    sent = parts.attempt("sending the notifications", lambda: deliver(addresses, text, run.status))
    results.update(sent or {})
    for name, result in results.items():
        stage.console.line(f"Notification {name}: {result.status}" + (f": {result.reason}" if result.reason else ""))
        if result.status != "sent":
            parts.problems.append(f"notification {name}: {result.status}: {result.reason}")
        write = partial(stage.table.set_notification, name, result)
        parts.attempt(f"recording the notification {name}", write)
    return results


def _told(run: RunRecord, channel: Channel) -> bool:
    """Whether an earlier try of the exit handler told the channel just this."""
    earlier = run.notifications.get(channel.name)
    return earlier is not None and earlier.status == "sent" and earlier.told is run.status


def _addresses(
    stage: Stage, channels: list[Channel], run: RunRecord, results: dict[str, ChannelRecord]
) -> dict[str, str]:
    """Where the channels are; of those whose address cannot be found, `results` gets why."""
    known = Addresses(stage.context.notifications, lambda: stage.clients.secrets_manager)
    found: dict[str, str] = {}
    for channel in channels:
        try:
            found[channel.name] = known.of(channel)
        except Exception as error:  # noqa: BLE001  # one channel stops no other; the error may have its secret
            reason = str(error) if isinstance(error, AphexError) else type(error).__name__
            reason = " ".join(reason.split())
            results[channel.name] = ChannelRecord(status="misconfigured", reason=reason, told=run.status)
    return found


class _Parts:
    """Does what the exit handler consists of; each part that fails is told with its reason and kept in the log."""

    def __init__(self, stage: Stage) -> None:
        self._console = stage.console
        self.problems: list[str] = []

    def attempt(self, what: str, action: Callable[[], T], needed: object = True) -> T | None:
        """Do it when it is needed; None when it failed."""
        if not needed:
            return None
        try:
            return action()
        except Exception as error:  # noqa: BLE001  # one broken part must not stop the others
            self.problem(what, str(error))
            self._console.log_only(traceback.format_exc())
            return None

    def problem(self, what: str, why: str) -> None:
        """Tell of a part that was not done."""
        self.problems.append(f"{what}: {why}")
        self._console.line(f"warning: {what} failed: {why}")


def _without_exit(record: RunRecord) -> RunRecord:
    stages = {name: stage for name, stage in record.stages.items() if name != StageKind.EXIT.value}
    return record.model_copy(update={"stages": stages})


def _link(stage: Stage) -> str:
    """The run in Argo's own pages; empty when nobody knows where they are."""
    context = stage.context
    url = context.argo_url.rstrip("/")
    return f"{url}/workflows/{context.namespace}/{context.run}" if url else ""


def _tell(stage: Stage, record: RunRecord) -> None:
    console = stage.console
    console.line(f"Run {record.run_id} of {record.pipeline}: {record.status}")
    for name, each in sorted(_without_exit(record).stages.items(), key=lambda item: item[1].started_at):
        console.line(f"  {name:<24} {each.status}")
        if each.error:
            console.line(f"    {next(iter(str(each.error.get('message', '')).splitlines()), '')}")
    if link := _link(stage):
        console.line(link)
