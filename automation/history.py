"""What has run, also what the cluster has forgotten: from the run table, which keeps every run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from aphex.errors import AphexError
from aphex.names import PipelineNames
from aphex.run import RunRecord, Status, Trigger
from automation.argo import RunNotFound
from automation.console import Terminal, duration
from automation.records import bucket_name, plain_record, read_record
from automation.resolve import find
from automation.run_commands import reason, show_outputs

if TYPE_CHECKING:
    from rich.table import Table

    from automation.options import TargetOptions
    from automation.target import Target

BY_START = "by-start"  # the index of the run table
_TRIGGERS = {Trigger.PUSH: "by a push", Trigger.PULL_REQUEST: "for a pull request", Trigger.MANUAL: "by hand"}


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which runs to tell of.

    Attributes:
        limit: how many at most.
        status: how they ended; any when None.
        commit: the beginning of what they ran for; any when None.
        environment: one that they deployed to, in part at least; any when None.
    """

    limit: int
    status: Status | None = None
    commit: str | None = None
    environment: str | None = None

    def has(self, record: RunRecord) -> bool:
        """Whether a run is among them."""
        return (
            self.status in (None, record.status)
            and record.commit.startswith((self.commit or "").lower())
            and (self.environment is None or self.environment in record.stacks)
        )


def history(options: TargetOptions, terminal: Terminal, run: str | None, wanted: Wanted) -> None:
    """Show one run, or those that are wanted.

    Raises:
        AphexError: there is no run table, or it has no such run.
    """
    target = find(options, terminal)
    if run is not None:
        show_record(target, terminal, run)
    else:
        show_history(target, terminal, wanted)


def show_history(target: Target, terminal: Terminal, wanted: Wanted) -> None:
    """Show a pipeline's runs, the newest first.

    Raises:
        AphexError: it has no run table.
    """
    with terminal.watched("Reading the run table"):
        found = list(islice(filter(wanted.has, records(target)), wanted.limit))
    if found:
        terminal.show(_runs_table(found))
    else:
        terminal.show("No such run." if wanted != Wanted(limit=wanted.limit) else "No runs yet.")
    terminal.result({"pipeline": target.settings.pipeline, "runs": [_document(each) for each in found]})


def show_record(target: Target, terminal: Terminal, run: str) -> None:
    """Show all that is kept of one run.

    Raises:
        RunNotFound: the table has no such run.
    """
    record = read_record(target, run)
    if record is None:
        raise RunNotFound(
            f"The run table has no run {run}.", hint="`python -m automation history` lists those that it has."
        )
    for line in _head(record):
        terminal.show(line)
    terminal.show(_stages_table(record))
    if record.stacks:
        terminal.show(_stacks_table(record))
    for line in reason(record):
        terminal.show(line)
    show_outputs(record.outputs, terminal)
    for environment, key in record.outputs_at.items():
        terminal.show(f"Outputs of {environment}: s3://{bucket_name(target)}/{key}")
    if record.notifications:
        told = (f"{name} {each.status}" for name, each in sorted(record.notifications.items()))
        terminal.show(f"Notifications: {', '.join(told)}")
    terminal.show(f"Logs: python -m automation logs {run} {target.options}")
    terminal.result(_document(record))


def records(target: Target) -> Iterator[RunRecord]:
    """The pipeline's runs, the newest first, read as far as they are asked for.

    Raises:
        AphexError: there is no run table.
    """
    from botocore.exceptions import ClientError

    names = PipelineNames(target.settings.pipeline)
    pages = (
        target.aws.client("dynamodb")
        .get_paginator("query")
        .paginate(
            TableName=names.table,
            IndexName=BY_START,
            KeyConditionExpression="pipeline = :pipeline",
            ExpressionAttributeValues={":pipeline": {"S": target.settings.pipeline}},
            ScanIndexForward=False,
        )
    )
    try:
        for page in pages:
            yield from map(plain_record, page["Items"])
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        raise AphexError(
            f"There is no run table {names.table}.",
            hint="`python -m automation up` makes it with the pipeline; it stays when a pipeline on AWS is destroyed.",
        ) from error


def _document(record: RunRecord) -> dict[str, Any]:
    return record.model_dump(mode="json")


def _head(record: RunRecord) -> Iterator[str]:
    trigger = f"for pull request {record.pull_request}" if record.pull_request else _TRIGGERS[record.trigger]
    yield f"{record.run_id}  {record.status.value}  {_took(record.started_at, record.ended_at)}".rstrip()
    yield f"Commit:    {record.commit} {f'of {record.branch}' if record.branch else ''}".rstrip()
    if record.message or record.author:
        yield f"           {record.message.partition(chr(10))[0]} ({record.author or 'unknown'})"
    yield f"Started:   {_at(record.started_at)} {trigger}"
    if record.artifact and record.artifact.get("key"):
        yield f"Artifact:  {record.artifact['key']}"


def _stages_table(record: RunRecord) -> Table:
    stages = record.stages.items()
    return _table(
        ("stage", "status", "took", ""),
        (
            (name, each.status.value, _took(each.started_at, each.ended_at), _note(each.error, each.result))
            for name, each in sorted(stages, key=lambda item: item[1].started_at or "~")
        ),
    )


def _note(error: Mapping[str, Any] | None, result: Mapping[str, Any] | None) -> str:
    said = str((error or {}).get("message") or (result or {}).get("note") or "")
    return said.partition("\n")[0]


def _stacks_table(record: RunRecord) -> Table:
    return _table(
        ("environment", "stack", "status", "took", ""),
        (
            (
                environment,
                stack,
                each.status.value,
                duration(each.seconds) if each.seconds is not None else "",
                "no changes" if each.changed is False else "",
            )
            for environment, stacks in record.stacks.items()
            for stack, each in sorted(stacks.items(), key=lambda item: item[1].started_at or "~")
        ),
    )


def _runs_table(found: Iterable[RunRecord]) -> Table:
    return _table(
        ("run", "status", "commit", "author", "started", "took", "deployed to", "message"),
        (
            (
                each.run_id,
                each.status.value,
                each.commit[:10],
                each.author,
                _at(each.started_at),
                _took(each.started_at, each.ended_at),
                ", ".join(each.stacks),
                each.message.partition("\n")[0],
            )
            for each in found
        ),
    )


def _table(headings: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in headings:
        table.add_column(heading, justify="right" if heading == "took" else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _at(text: str) -> str:
    return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M:%S}" if text else ""


def _took(began: str, ended: str) -> str:
    if not began or not ended:
        return ""
    return duration((datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds())
