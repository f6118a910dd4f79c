"""DynamoDB tables."""
# A type need not use all that it is given.
# ruff: noqa: ARG002

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from sandbox.providers.aws.resource import ResourceType, Scope
from sandbox.providers.aws.schema import AutoName, Schema
from sandbox.providers.aws.shapes import from_aws, pairs, pruned, stale, tag_map, to_aws
from sandbox.providers.base import Properties

_ON_DEMAND = "PAY_PER_REQUEST"
_WAIT = {"Delay": 1, "MaxAttempts": 600}
_UPDATED_WITH_TABLE = frozenset(
    {
        "attributes",
        "billingMode",
        "deletionProtectionEnabled",
        "globalSecondaryIndexes",
        "readCapacity",
        "serverSideEncryption",
        "streamEnabled",
        "streamViewType",
        "tableClass",
        "writeCapacity",
    }
)


class Table(ResourceType):
    """`aws:dynamodb/table:Table`; its id is its name."""

    schema = Schema(
        token="aws:dynamodb/table:Table",
        inputs=_UPDATED_WITH_TABLE
        | {"hashKey", "localSecondaryIndexes", "name", "pointInTimeRecovery", "rangeKey", "tags", "ttl"},
        replaces=frozenset({"hashKey", "localSecondaryIndexes", "rangeKey"}),
        computed=frozenset({"arn", "readCapacity", "streamArn", "streamLabel", "streamViewType", "writeCapacity"}),
        defaults={"billingMode": "PROVISIONED"},
        sticky=frozenset({"readCapacity", "serverSideEncryption.kmsKeyArn", "writeCapacity"}),
        name=AutoName(prefix_property=""),
    )
    created_with = frozenset({*schema.inputs, "region"} - {"pointInTimeRecovery", "ttl"})
    missing = frozenset({"ResourceNotFoundException"})

    def create(self, scope: Scope, inputs: Properties) -> str:
        """Ask for the table; `apply` waits until it is there."""
        options: dict[str, Any] = {
            "TableName": inputs["name"],
            "KeySchema": _key_schema(inputs),
            "AttributeDefinitions": _attributes(inputs),
            "Tags": pairs(inputs.get("tags")),
            **_billing(inputs),
        }
        for key, argument in _INDEXES.items():
            if inputs.get(key):
                options[argument] = [_index(index, inputs) for index in inputs[key]]
        for key, argument in {
            "tableClass": "TableClass",
            "deletionProtectionEnabled": "DeletionProtectionEnabled",
        }.items():
            if inputs.get(key):
                options[argument] = inputs[key]
        if inputs.get("streamEnabled"):
            options["StreamSpecification"] = _stream(inputs)
        if (inputs.get("serverSideEncryption") or {}).get("enabled"):
            options["SSESpecification"] = _encryption(inputs)
        return str(scope.client("dynamodb").create_table(**options)["TableDescription"]["TableName"])

    def read(self, scope: Scope, id: str) -> Properties | None:
        """The table with its recovery, expiry and tags."""
        dynamodb = scope.client("dynamodb")
        table = dynamodb.describe_table(TableName=id)["Table"]
        if table["TableStatus"] == "DELETING":
            return None
        recovery = dynamodb.describe_continuous_backups(TableName=id)["ContinuousBackupsDescription"]
        expiry = dynamodb.describe_time_to_live(TableName=id)["TimeToLiveDescription"]
        tags = dynamodb.list_tags_of_resource(ResourceArn=table["TableArn"])["Tags"]
        return {
            **_found(table),
            "pointInTimeRecovery": {
                "enabled": recovery.get("PointInTimeRecoveryDescription", {}).get("PointInTimeRecoveryStatus")
                == "ENABLED"
            },
            "ttl": {
                "attributeName": expiry.get("AttributeName", ""),
                "enabled": expiry.get("TimeToLiveStatus") in ("ENABLED", "ENABLING"),
            },
            "tags": tag_map(tags),
        }

    def apply(self, scope: Scope, id: str, inputs: Properties, changed: Set[str]) -> None:
        """Change the table, its indexes, recovery, expiry and tags, each after the table is ready for it."""
        dynamodb = scope.client("dynamodb")
        self._wait(dynamodb, id)
        if changed & _UPDATED_WITH_TABLE:
            self._update(dynamodb, id, inputs, changed)
        if "pointInTimeRecovery" in changed:
            enabled = bool((inputs.get("pointInTimeRecovery") or {}).get("enabled"))
            dynamodb.update_continuous_backups(
                TableName=id, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": enabled}
            )
        if "ttl" in changed:
            self._expire(dynamodb, id, inputs.get("ttl") or {})
        if "tags" in changed:
            self._tag(dynamodb, scope.arn("dynamodb", f"table/{id}"), inputs.get("tags"))

    def delete(self, scope: Scope, id: str, outputs: Properties) -> None:
        """Remove the table and wait until it is gone."""
        dynamodb = scope.client("dynamodb")
        dynamodb.delete_table(TableName=id)
        dynamodb.get_waiter("table_not_exists").wait(TableName=id, WaiterConfig=_WAIT)

    def _wait(self, dynamodb: Any, id: str) -> None:
        dynamodb.get_waiter("table_exists").wait(TableName=id, WaiterConfig=_WAIT)

    def _update(self, dynamodb: Any, id: str, inputs: Properties, changed: Set[str]) -> None:
        options: dict[str, Any] = {}
        if changed & {"billingMode", "readCapacity", "writeCapacity"}:
            options |= _billing(inputs)
        if "tableClass" in changed:
            options["TableClass"] = inputs.get("tableClass") or "STANDARD"
        if "deletionProtectionEnabled" in changed:
            options["DeletionProtectionEnabled"] = bool(inputs.get("deletionProtectionEnabled"))
        if changed & {"streamEnabled", "streamViewType"}:
            options["StreamSpecification"] = _stream(inputs)
        if "serverSideEncryption" in changed:
            options["SSESpecification"] = _encryption(inputs)
        if options:
            dynamodb.update_table(TableName=id, **options)
            self._wait(dynamodb, id)
        if changed & {"globalSecondaryIndexes", "attributes"}:
            self._update_indexes(dynamodb, id, inputs)

    def _update_indexes(self, dynamodb: Any, id: str, inputs: Properties) -> None:
        """DynamoDB takes one index at a time, and makes an index anew when its keys or projection change."""
        table = dynamodb.describe_table(TableName=id)["Table"]
        found = {index["IndexName"]: _identity(index) for index in table.get("GlobalSecondaryIndexes", [])}
        wanted = {index["name"]: _index(index, inputs) for index in inputs.get("globalSecondaryIndexes") or []}
        old = [name for name, index in found.items() if name not in wanted or _identity(wanted[name]) != index]
        for name in old:
            self._update_index(dynamodb, id, inputs, {"Delete": {"IndexName": name}})
        for name, index in wanted.items():
            if name in old or name not in found:
                self._update_index(dynamodb, id, inputs, {"Create": index})

    def _update_index(self, dynamodb: Any, id: str, inputs: Properties, change: dict[str, Any]) -> None:
        dynamodb.update_table(
            TableName=id, AttributeDefinitions=_attributes(inputs), GlobalSecondaryIndexUpdates=[change]
        )
        self._wait(dynamodb, id)

    def _expire(self, dynamodb: Any, id: str, wanted: Mapping[str, Any]) -> None:
        found = dynamodb.describe_time_to_live(TableName=id)["TimeToLiveDescription"]
        enabled = found.get("TimeToLiveStatus") in ("ENABLED", "ENABLING")
        if enabled != bool(wanted.get("enabled")):
            name = wanted.get("attributeName") or found.get("AttributeName")
            specification = {"AttributeName": name, "Enabled": bool(wanted.get("enabled"))}
            dynamodb.update_time_to_live(TableName=id, TimeToLiveSpecification=specification)

    def _tag(self, dynamodb: Any, arn: str, wanted: dict[str, str] | None) -> None:
        old = stale(tag_map(dynamodb.list_tags_of_resource(ResourceArn=arn)["Tags"]), wanted)
        if old:
            dynamodb.untag_resource(ResourceArn=arn, TagKeys=old)
        if wanted:
            dynamodb.tag_resource(ResourceArn=arn, Tags=pairs(wanted))


_INDEXES = {"globalSecondaryIndexes": "GlobalSecondaryIndexes", "localSecondaryIndexes": "LocalSecondaryIndexes"}


def _key_schema(properties: Mapping[str, Any]) -> list[dict[str, str]]:
    keys = [{"AttributeName": properties["hashKey"], "KeyType": "HASH"}] if properties.get("hashKey") else []
    if properties.get("rangeKey"):
        keys.append({"AttributeName": properties["rangeKey"], "KeyType": "RANGE"})
    return keys


def _attributes(inputs: Properties) -> list[dict[str, str]]:
    found = inputs.get("attributes") or []
    return [{"AttributeName": attribute["name"], "AttributeType": attribute["type"]} for attribute in found]


def _billing(inputs: Properties) -> dict[str, Any]:
    if inputs["billingMode"] == _ON_DEMAND:
        return {"BillingMode": _ON_DEMAND}
    return {"BillingMode": inputs["billingMode"], "ProvisionedThroughput": _throughput(inputs)}


def _throughput(properties: Mapping[str, Any]) -> dict[str, int]:
    return {
        "ReadCapacityUnits": int(properties.get("readCapacity") or 1),
        "WriteCapacityUnits": int(properties.get("writeCapacity") or 1),
    }


def _index(index: Mapping[str, Any], table: Properties) -> dict[str, Any]:
    """One secondary index; a local one shares the table's hash key."""
    keys = index if index.get("hashKey") else {**index, "hashKey": table["hashKey"]}
    projection = to_aws({key: index.get(key) for key in ("projectionType", "nonKeyAttributes")})
    result = {"IndexName": index["name"], "KeySchema": _key_schema(keys), "Projection": projection}
    if index.get("hashKey") and table["billingMode"] != _ON_DEMAND:
        result["ProvisionedThroughput"] = _throughput(index)
    return result


def _identity(index: Mapping[str, Any]) -> tuple[Any, ...]:
    """What cannot change in an index."""
    projection = index["Projection"]
    keys = sorted((key["KeyType"], key["AttributeName"]) for key in index["KeySchema"])
    return keys, projection.get("ProjectionType"), sorted(projection.get("NonKeyAttributes") or [])


def _stream(inputs: Properties) -> dict[str, Any]:
    enabled = bool(inputs.get("streamEnabled"))
    return {"StreamEnabled": enabled, **({"StreamViewType": inputs["streamViewType"]} if enabled else {})}


def _encryption(inputs: Properties) -> dict[str, Any]:
    wanted = inputs.get("serverSideEncryption") or {}
    if not wanted.get("enabled"):
        return {"Enabled": False}
    key = {"KMSMasterKeyId": wanted["kmsKeyArn"]} if wanted.get("kmsKeyArn") else {}
    return {"Enabled": True, "SSEType": "KMS", **key}


def _found(table: Mapping[str, Any]) -> Properties:
    """A description of a table as the package's outputs."""
    throughput = table.get("ProvisionedThroughput", {})
    stream = table.get("StreamSpecification", {})
    encryption = table.get("SSEDescription", {})
    return {
        "name": table["TableName"],
        "arn": table["TableArn"],
        **_found_keys(table["KeySchema"]),
        "attributes": [
            {"name": item["AttributeName"], "type": item["AttributeType"]} for item in table["AttributeDefinitions"]
        ],
        "billingMode": table.get("BillingModeSummary", {}).get("BillingMode", "PROVISIONED"),
        "readCapacity": throughput.get("ReadCapacityUnits", 0),
        "writeCapacity": throughput.get("WriteCapacityUnits", 0),
        "globalSecondaryIndexes": [_found_index(index) for index in table.get("GlobalSecondaryIndexes") or []],
        "localSecondaryIndexes": [
            {key: value for key, value in _found_index(index).items() if key != "hashKey"}
            for index in table.get("LocalSecondaryIndexes") or []
        ],
        "streamEnabled": stream.get("StreamEnabled", False),
        "streamViewType": stream.get("StreamViewType", ""),
        "streamArn": table.get("LatestStreamArn", ""),
        "streamLabel": table.get("LatestStreamLabel", ""),
        "tableClass": table.get("TableClassSummary", {}).get("TableClass", ""),
        "deletionProtectionEnabled": table.get("DeletionProtectionEnabled", False),
        "serverSideEncryption": pruned(
            {"enabled": encryption.get("Status") == "ENABLED", "kmsKeyArn": encryption.get("KMSMasterKeyArn")}
        ),
    }


def _found_keys(schema: list[dict[str, str]]) -> Properties:
    names = {key["KeyType"]: key["AttributeName"] for key in schema}
    return pruned({"hashKey": names.get("HASH"), "rangeKey": names.get("RANGE")})  # type: ignore[no-any-return]


def _found_index(index: Mapping[str, Any]) -> Properties:
    throughput = index.get("ProvisionedThroughput") or {}
    found = {
        "name": index["IndexName"],
        **_found_keys(index["KeySchema"]),
        **from_aws({key: value for key, value in index["Projection"].items() if value}),
        "readCapacity": throughput.get("ReadCapacityUnits", 0),
        "writeCapacity": throughput.get("WriteCapacityUnits", 0),
    }
    return {key: value for key, value in found.items() if value}
