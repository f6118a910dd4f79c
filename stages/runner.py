"""What is the same for every stage: output kept, record written, failure explained, exit status."""

from __future__ import annotations

import importlib
import json
import os
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aphex.errors import AphexError
from aphex.run import StageKind, StageRecord, Status
from stages.clients import PipelineClients
from stages.console import Console
from stages.context import StageContext
from stages.errors import StageError, StageInterrupted
from stages.keeper import kept_log
from stages.masking import OTHER_SECRETS, Masker, stage_secrets
from stages.store import RunStore
from stages.table import RunTable, now
from stages.versions import stage_versions
from stages.workspace import Workspace

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_MAX_RESULT = 200_000  # Argo keeps output parameters in the Workflow object, which etcd limits
_RECORDED_APART = frozenset({"outputs", "artifact"})  # the run's item has them once, not again in the stage's record
_ERROR_IN_SHORT = ("type", "message", "hint", "command", "stack", "tests", "failures", "errors", "skipped")
_MAX_RECORD_TEXT = 4_000  # DynamoDB limits an item to 400 kB; the whole error is in the bucket


@dataclass(frozen=True)
class Stage:
    """All that a stage works with; `started` is when its pod began, RFC 3339 in UTC."""

    context: StageContext
    console: Console
    clients: PipelineClients
    store: RunStore
    table: RunTable
    workspace: Workspace
    started: str = field(default_factory=now)


@dataclass(frozen=True)
class StageResult:
    """How a stage ended.

    Attributes:
        summary: small JSON: the output parameter in Argo, and part of the run's item.
        details: what only the result in the bucket has besides.
        status: how it is recorded.
    """

    summary: dict[str, Any]
    details: dict[str, Any] | None = None
    status: Status = Status.SUCCEEDED


StageFunction = Callable[[Stage], StageResult]


def run_stage(module: str, context: StageContext) -> int:
    """Run one stage from its first line to its stored log.

    Args:
        module: the stage's module, with a function `run`.
        context: what the pod says.

    Returns:
        The exit status of the process: 0, the status of the error, or 128 and the number of a signal.
    """
    workspace = Workspace(context.workspace)
    workspace.prepare()
    _write_result(context, {})
    secrets = stage_secrets(os.environ, (context.git_credentials, context.notifications, OTHER_SECRETS))
    with Console(workspace.log, masker=Masker(secrets)) as console:
        console.line(f"Stage {context.stage} of run {context.run}: commit {context.commit} of {context.branch}")
        clients = PipelineClients(context.region, context.store_endpoint)
        stage = Stage(
            context=context,
            console=console,
            clients=clients,
            store=RunStore(clients, context.bucket),
            table=RunTable(clients, context),
            workspace=workspace,
            started=now(),
        )
        with _signals_raise() as hush:
            return _Recorded(stage, hush).run(module)


class _Recorded:
    """Runs a stage's function and leaves its record, whatever happens."""

    def __init__(self, stage: Stage, hush: Callable[[], None]) -> None:
        self._stage = stage
        self._hush = hush
        self._log_key = stage.context.keys.log(stage.context.stage)

    def run(self, module: str) -> int:
        name = self._stage.context.stage
        try:
            function: StageFunction = importlib.import_module(module).run
            self._begin(name)
            with kept_log(self._stage.context, self._stage.workspace.log, self._stage.console):
                result = function(self._stage)
        except (Exception, StageInterrupted) as error:  # noqa: BLE001  # each is recorded, none is dropped
            self._hush()
            return self._failed(error)
        self._hush()
        return self._succeeded(result)

    def _begin(self, name: str) -> None:
        running = self._record(Status.RUNNING, ended=False)
        if name == StageKind.EXIT.value:
            # The exit handler does what it can even when there is no table to write to.
            self._kept("record", lambda: self._written(self._stage.table.set_stage(name, running)))
        else:
            self._written(self._stage.table.set_stage(name, running))

    def _succeeded(self, result: StageResult) -> int:
        context, store = self._stage.context, self._stage.store
        self._stage.console.line(f"Stage {context.stage} {result.status}.")
        mask = self._stage.console.masker.deep
        summary = mask(result.summary)
        _write_result(context, summary)
        full = {**summary, **mask(result.details or {})}
        self._kept("result", lambda: store.put_json(context.keys.result(context.stage), full))
        own = {key: value for key, value in summary.items() if key not in _RECORDED_APART}
        self._ended(self._record(result.status, result=own))
        self._kept("log", lambda: store.put_log(self._log_key, self._stage.workspace.log))
        return 0

    def _failed(self, error: BaseException) -> int:
        context, store, console = self._stage.context, self._stage.store, self._stage.console
        status = error.status if isinstance(error, StageError) else Status.FAILED
        for line in error_lines(error):
            console.line(line)
        console.log_only("".join(traceback.format_exception(error)))
        details = console.masker.deep(error_record(context, error))
        short = shortened({key: details[key] for key in _ERROR_IN_SHORT if key in details})
        _write_result(context, {"status": status.value, "error": short})
        self._kept("error", lambda: store.put_json(context.keys.error(context.stage), details))
        self._ended(self._record(status, error=short))
        self._kept("log", lambda: store.put_log(self._log_key, self._stage.workspace.log))
        return exit_status(error)

    def _ended(self, record: StageRecord) -> None:
        context, table = self._stage.context, self._stage.table

        def write() -> None:
            self._written(table.set_stage(context.stage, record))
            table.set_versions(context.stage, stage_versions(context.stage, context.image, os.environ.get("PATH", "")))

        self._kept("record", write)

    def _written(self, written: bool) -> None:
        if not written:
            self._stage.console.line(
                f"warning: another pod has taken over the stage {self._stage.context.stage}; its record stays."
            )

    def _record(
        self,
        status: Status,
        *,
        ended: bool = True,
        error: dict[str, Any] | None = None,
        result: dict[str, Any] | None = None,
    ) -> StageRecord:
        return StageRecord(
            status=status,
            started_at=self._stage.started,
            ended_at=now() if ended else "",
            pod=self._stage.context.pod,
            log=self._log_key,
            error=error,
            result=result,
        )

    def _kept(self, what: str, store: Callable[[], None]) -> None:
        """Store one thing; that it cannot be stored is said, and does not keep the others from being stored."""
        try:
            store()
        except Exception as error:  # noqa: BLE001  # the stage itself is over: its own status is what counts
            self._stage.console.line(f"warning: the stage's {what} was not stored: {error}")
            self._stage.console.log_only(traceback.format_exc())


def exit_status(error: BaseException) -> int:
    """The process's exit status for an error that ended a stage."""
    return error.exit_code if isinstance(error, AphexError | StageInterrupted) else 1


def error_lines(error: BaseException) -> list[str]:
    """An error as the console shows it, message and hint; of an unforeseen one also its type."""
    if isinstance(error, AphexError):
        text, hint = error.message, error.hint
    else:
        text, hint = (str(error) if isinstance(error, StageInterrupted) else f"{type(error).__name__}: {error}"), ""
    lines = [f"error: {line}" if not index else f"  {line}" for index, line in enumerate(text.splitlines() or [""])]
    return lines + [f"  {line}" for line in hint.splitlines()]


def error_record(context: StageContext, error: BaseException) -> dict[str, Any]:
    """All that is known of a failure, as JSON."""
    record: dict[str, Any] = {
        "stage": context.stage,
        "environment": context.environment or None,
        "run": context.run,
        "commit": context.commit,
        "time": now(),
        "type": type(error).__name__,
        "message": error.message if isinstance(error, AphexError) else str(error),
        "hint": error.hint if isinstance(error, AphexError) else "",
        "exit_status": exit_status(error),
        "traceback": traceback.format_exception(error),
    }
    if isinstance(error, StageError):
        record.update(error.details)
    return record


def shortened(value: dict[str, Any]) -> dict[str, Any]:
    """The same with texts cut to what an item of the run table can hold."""
    return {
        key: each[:_MAX_RECORD_TEXT] + " …" if isinstance(each, str) and len(each) > _MAX_RECORD_TEXT else each
        for key, each in value.items()
    }


def _write_result(context: StageContext, summary: dict[str, Any]) -> None:
    text = json.dumps(summary, default=str)
    if len(text) > _MAX_RESULT:
        text = json.dumps({"see": context.keys.result(context.stage)})
    context.result.parent.mkdir(parents=True, exist_ok=True)
    context.result.write_text(text, encoding="utf-8")


@contextmanager
def _signals_raise() -> Iterator[Callable[[], None]]:
    """Turn the signals that end a pod into an exception, once; what is yielded makes further ones harmless."""

    def handler(number: int, _frame: object) -> None:
        hush()
        raise StageInterrupted(number)

    def hush() -> None:
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)

    before = {each: signal.signal(each, handler) for each in _SIGNALS}
    try:
        yield hush
    finally:
        for each, old in before.items():
            signal.signal(each, old)
