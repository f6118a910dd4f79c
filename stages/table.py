"""The run table: one item a run, in which each stage writes only its own part."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from aphex.run import RunRecord, StageRecord, Status
from stages.clients import PipelineClients
from stages.context import StageContext, without_credentials


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
        author=context.author,
        message=context.message,
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
            if key not in ("run_id", "ended_at", "artifact")
        }
        self._update({f"#{key}": key for key in fields}, {f":{key}": value for key, value in fields.items()}, keep=True)

    def set_stage(self, stage: str, record: StageRecord) -> None:
        """Write how one stage stands."""
        self._set_in("stages", stage, record.model_dump(mode="json", exclude_none=True))

    def set_outputs(self, environment: str, outputs: Mapping[str, Mapping[str, str]]) -> None:
        """Write the stack outputs of an environment."""
        self._set_in("outputs", environment, outputs)

    def set_artifact(self, artifact: Mapping[str, Any]) -> None:
        """Write where the artifact is and what its checksum is."""
        self._update({"#artifact": "artifact"}, {":artifact": dict(artifact)})

    def end_run(self, status: Status, ended_at: str) -> None:
        """Write how the run ended."""
        self._update({"#status": "status", "#ended_at": "ended_at"}, {":status": status.value, ":ended_at": ended_at})

    def read(self) -> RunRecord | None:
        """The whole item; None when there is none."""
        from boto3.dynamodb.types import TypeDeserializer

        answer = self._clients.dynamodb.get_item(
            TableName=self._context.table, Key={"run_id": {"S": self._context.run}}, ConsistentRead=True
        )
        if "Item" not in answer:
            return None
        restore = TypeDeserializer()
        return RunRecord.model_validate({key: restore.deserialize(value) for key, value in answer["Item"].items()})

    def _set_in(self, group: str, name: str, value: Any) -> None:
        """Set one entry of a map; the item is made first when the run's first stage never got so far."""
        from botocore.exceptions import ClientError

        try:
            self._update_entry(group, name, value)
        except ClientError as error:
            # DynamoDB says so when the map that should hold the entry does not exist.
            if error.response["Error"]["Code"] != "ValidationException":
                raise
            self.begin_run()
            self._update_entry(group, name, value)

    def _update_entry(self, group: str, name: str, value: Any) -> None:
        self._clients.dynamodb.update_item(
            TableName=self._context.table,
            Key={"run_id": {"S": self._context.run}},
            UpdateExpression="SET #group.#name = :value",
            ExpressionAttributeNames={"#group": group, "#name": name},
            ExpressionAttributeValues={":value": _serialized(value)},
        )

    def _update(self, names: dict[str, str], values: dict[str, Any], *, keep: bool = False) -> None:
        parts = [f"{name} = if_not_exists({name}, :{name[1:]})" if keep else f"{name} = :{name[1:]}" for name in names]
        self._clients.dynamodb.update_item(
            TableName=self._context.table,
            Key={"run_id": {"S": self._context.run}},
            UpdateExpression="SET " + ", ".join(parts),
            ExpressionAttributeNames=names,
            ExpressionAttributeValues={key: _serialized(value) for key, value in values.items()},
        )


def _serialized(value: Any) -> Any:
    from boto3.dynamodb.types import TypeSerializer

    # DynamoDB's numbers are decimals: floats go through their text.
    plain = json.loads(json.dumps(value, default=str), parse_float=Decimal)
    return TypeSerializer().serialize(plain)
