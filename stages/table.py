"""The run table: one item a run, in which each stage writes only its own part, and nothing late wins."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from aphex.errors import AphexError
from aphex.run import ChannelRecord, RunRecord, StackRecord, StageRecord, Status
from stages.bounds import OUTPUTS_BYTES, bounded, bounded_error, cut, size_of
from stages.clients import PipelineClients
from stages.context import StageContext, without_credentials

_NOT_AT_FIRST = frozenset({"run_id", "ended_at", "artifact", "error"})
_STACK_TEXT = 200


class ItemFull(AphexError):
    """The run's item has no room for more: DynamoDB's limit is 400 kB."""


def now() -> str:
    """The time as the records have it: RFC 3339 in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def new_run(context: StageContext) -> RunRecord:
    """The record of a run that begins."""
    return RunRecord(
        run_id=context.run,
        pipeline=context.pipeline,
        commit=context.commit,
        branch=context.branch,
        repository=without_credentials(context.repository),
        author=cut(context.author),
        message=cut(context.message),
        trigger=context.trigger,
        pull_request=context.pull_request,
        started_at=context.started or now(),
    )


class RunTable:
    """The run's item. Every write sets single attributes, so that stages never overwrite each other's."""

    def __init__(self, clients: PipelineClients, context: StageContext) -> None:
        self._clients = clients
        self._context = context

    def begin_run(self) -> None:
        """Make the item; what is there already stays, so that a retried stage may call it again."""
        fields = {
            key: value
            for key, value in new_run(self._context).model_dump(mode="json").items()
            if key not in _NOT_AT_FIRST
        }
        self._update({f"#{key}": key for key in fields}, {f":{key}": value for key, value in fields.items()}, keep=True)

    def set_stage(self, stage: str, record: StageRecord) -> bool:
        """Write how one stage stands.

        A pod that began later wins over one that began before, and what has ended is not changed any more: so
        neither a pod that was given up and goes on, nor one that is late, turns a record back.

        Returns:
            Whether it was written, or is there just so; false when a later pod's record stays.
        """
        own = self._bounded_stage(stage, record)
        names, values = {"#started": "started_at"}, {":started": record.started_at}
        if record.status is Status.RUNNING:
            condition = "attribute_not_exists(#group.#name.#started) OR #group.#name.#started <= :started"
        else:
            condition = (
                "attribute_not_exists(#group.#name.#started) OR #group.#name.#started < :started "
                "OR (#group.#name.#started = :started AND #group.#name.#status = :running)"
            )
            names["#status"], values[":running"] = "status", Status.RUNNING.value
        try:
            written = self._set_in("stages", stage, own, condition, names, values)
        except ItemFull:
            # That a stage ended is said in any case; what it said is in the bucket.
            own = {key: own[key] for key in ("status", "started_at", "ended_at")}
            written = self._set_in("stages", stage, own, condition, names, values)
        if written:
            return True
        found = self.read()
        return found is not None and found.stages.get(stage) == StageRecord.model_validate(own)

    def set_outputs(self, environment: str, outputs: Mapping[str, Mapping[str, str]]) -> None:
        """Write the stack outputs of an environment; where they are, when they are large."""
        if size_of(outputs) <= OUTPUTS_BYTES:
            try:
                self._set_in("outputs", environment, outputs)
            except ItemFull:
                # Before it was written, the environment's earlier outputs were: they are no longer all.
                self._set_in("outputs", environment, {})
            else:
                return
        self._set_in("outputs_at", environment, self._context.keys.outputs(environment))

    def set_stacks(self, environment: str, stacks: Mapping[str, StackRecord]) -> None:
        """Write how the deployments of an environment's stacks stand."""
        plain = {name: each.model_dump(mode="json", exclude_none=True) for name, each in stacks.items()}
        if size_of(plain) > OUTPUTS_BYTES:
            # The rest of it is in the stage's result.
            plain = {name: {"status": each["status"]} for name, each in plain.items()}
        self._set_in("stacks", environment, plain)

    def set_versions(self, stage: str, versions: Mapping[str, str]) -> None:
        """Write which versions of tools a stage used."""
        self._set_in("versions", stage, {name: cut(each, _STACK_TEXT) for name, each in versions.items()})

    def set_notification(self, channel: str, record: ChannelRecord) -> None:
        """Write how a channel took the notification."""
        plain = record.model_dump(mode="json")
        self._set_in("notifications", channel, {**plain, "reason": cut(record.reason, 2 * _STACK_TEXT)})

    def set_artifact(self, artifact: Mapping[str, Any]) -> None:
        """Write where the artifact is and what its checksum is."""
        self._update({"#artifact": "artifact"}, {":artifact": dict(artifact)})

    def end_run(self, status: Status, ended_at: str, error: Mapping[str, Any] | None, started_at: str) -> bool:
        """Write how the run ended.

        Args:
            status: how it ended.
            ended_at: when; a run that had ended just so keeps its first end.
            error: of the first stage that failed.
            started_at: when the exit handler that says so began: one that began before another writes nothing.

        Returns:
            Whether it was written.
        """
        condition = "attribute_not_exists(#stages.#exit.#started) OR #stages.#exit.#started <= :started"
        names = {"#stages": "stages", "#exit": "exit", "#started": "started_at"}

        def write(told: Mapping[str, Any] | None) -> bool:
            return self._update(
                {"#status": "status", "#ended_at": "ended_at", "#error": "error"},
                {":status": status.value, ":ended_at": ended_at, ":error": dict(told) if told else None},
                condition=(condition, names, {":started": started_at}),
            )

        try:
            return write(error)
        except ItemFull:
            # How it ended is said in any case; why is in the bucket, at the stage that is named.
            return write({"stage": (error or {}).get("stage", "")})

    def read(self) -> RunRecord | None:
        """The whole item; None when there is none."""
        item = self._item(self._context.run)
        return RunRecord.model_validate(item) if item else None

    def follow_latest(self, status: Status, started_at: str) -> Status | None:
        """Make this run the branch's latest, and say how the one before it ended.

        The item `run_id = latest#BRANCH` has it; it is in no index, so that it is no run of the history. A run that
        began before the latest one changes nothing.

        Returns:
            The status of the run before; None when none is known.
        """
        run, key = self._context.run, f"latest#{self._context.branch}"
        before = self._item(key)
        if before.get("run") == run:
            previous = before.get("previous", "") if before.get("status") == status.value else before.get("status")
        elif str(before.get("began", "")) > started_at:
            return None
        else:
            previous = before.get("status", "")
        fields = {"run": run, "status": status.value, "began": started_at, "previous": previous or ""}
        self._update(
            {f"#{name}": name for name in fields},
            {f":{name}": value for name, value in fields.items()},
            condition=("attribute_not_exists(#began) OR #began <= :began", {}, {}),
            key=key,
        )
        return Status(previous) if previous else None

    def _item(self, key: str) -> dict[str, Any]:
        from boto3.dynamodb.types import TypeDeserializer

        answer = self._clients.dynamodb.get_item(
            TableName=self._context.table, Key={"run_id": {"S": key}}, ConsistentRead=True
        )
        restore = TypeDeserializer()
        return {name: restore.deserialize(value) for name, value in answer.get("Item", {}).items()}

    def _bounded_stage(self, stage: str, record: StageRecord) -> dict[str, Any]:
        keys = self._context.keys
        own = record.model_dump(mode="json", exclude_none=True)
        if record.error is not None:
            own["error"] = bounded_error(record.error, keys.error(stage))
        if record.result is not None:
            own["result"] = bounded(record.result, keys.result(stage))
        return own

    def _set_in(
        self,
        group: str,
        name: str,
        value: Any,
        condition: str = "",
        names: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> bool:
        """Set one entry of a map; the item is made first when the run's first stage never got so far."""
        from botocore.exceptions import ClientError

        def write() -> bool:
            return self._write(
                "SET #group.#name = :value",
                {"#group": group, "#name": name, **(names or {})},
                {":value": value, **(more or {})},
                condition,
            )

        try:
            return write()
        except ClientError as error:
            if error.response["Error"]["Code"] != "ValidationException":
                raise
            # DynamoDB says so when the map that should hold the entry does not exist.
            self.begin_run()
            return write()

    def _update(
        self,
        names: Mapping[str, str],
        values: Mapping[str, Any],
        *,
        keep: bool = False,
        condition: tuple[str, Mapping[str, str], Mapping[str, Any]] = ("", {}, {}),
        key: str = "",
    ) -> bool:
        parts = [f"{name} = if_not_exists({name}, :{name[1:]})" if keep else f"{name} = :{name[1:]}" for name in names]
        text, more_names, more_values = condition
        return self._write("SET " + ", ".join(parts), {**names, **more_names}, {**values, **more_values}, text, key)

    def _write(
        self, expression: str, names: Mapping[str, str], values: Mapping[str, Any], condition: str = "", key: str = ""
    ) -> bool:
        """Update an item; false when the condition does not hold."""
        from botocore.exceptions import ClientError

        more: dict[str, Any] = {"ConditionExpression": condition} if condition else {}
        try:
            self._clients.dynamodb.update_item(
                TableName=self._context.table,
                Key={"run_id": {"S": key or self._context.run}},
                UpdateExpression=expression,
                ExpressionAttributeNames=dict(names),
                ExpressionAttributeValues={name: _serialized(value) for name, value in values.items()},
                **more,
            )
        except ClientError as error:
            code, text = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
            if code == "ValidationException" and "size" in text.lower():
                raise ItemFull(f"The run's item is full: {'.'.join(names.values())} was not written.") from error
            if code != "ConditionalCheckFailedException":
                raise
            return False
        return True


def _serialized(value: Any) -> Any:
    from boto3.dynamodb.types import TypeSerializer

    # DynamoDB's numbers are decimals: floats go through their text.
    plain = json.loads(json.dumps(value, default=str), parse_float=Decimal)
    return TypeSerializer().serialize(plain)
