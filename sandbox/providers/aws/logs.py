"""CloudWatch log groups."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from sandbox.providers.aws.resource import ResourceType, Scope
from sandbox.providers.aws.schema import AutoName, Schema
from sandbox.providers.aws.shapes import stale
from sandbox.providers.base import Properties


class LogGroup(ResourceType):
    """`aws:cloudwatch/logGroup:LogGroup`; its id is its name."""

    schema = Schema(
        token="aws:cloudwatch/logGroup:LogGroup",
        inputs=frozenset({"kmsKeyId", "logGroupClass", "name", "namePrefix", "retentionInDays", "skipDestroy", "tags"}),
        replaces=frozenset({"logGroupClass"}),
        computed=frozenset({"arn", "logGroupClass"}),
        defaults={"retentionInDays": 0, "skipDestroy": False},
        sticky=frozenset({"logGroupClass"}),
        local=frozenset({"skipDestroy"}),
        name=AutoName(longest=512),
    )
    created_with = frozenset({"kmsKeyId", "logGroupClass", "name", "namePrefix", "region", "skipDestroy", "tags"})
    missing = frozenset({"ResourceNotFoundException"})

    def create(self, scope: Scope, inputs: Properties) -> str:
        """Make the log group."""
        options: dict[str, Any] = {"logGroupName": inputs["name"]}
        for key in ("kmsKeyId", "logGroupClass", "tags"):
            if inputs.get(key):
                options[key] = inputs[key]
        scope.client("logs").create_log_group(**options)
        return str(inputs["name"])

    def read(self, scope: Scope, id: str) -> Properties | None:
        """The log group with its retention in days, zero for ever."""
        logs = scope.client("logs")
        for page in logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=id):
            for group in page["logGroups"]:
                if group["logGroupName"] == id:
                    arn = group["arn"].removesuffix(":*")
                    return {
                        "name": id,
                        "arn": arn,
                        "retentionInDays": group.get("retentionInDays", 0),
                        "kmsKeyId": group.get("kmsKeyId", ""),
                        "logGroupClass": group.get("logGroupClass", "STANDARD"),
                        "tags": logs.list_tags_for_resource(resourceArn=arn)["tags"],
                    }
        return None

    def apply(self, scope: Scope, id: str, inputs: Properties, changed: Set[str]) -> None:
        """Change retention, key or tags."""
        logs = scope.client("logs")
        if "retentionInDays" in changed:
            days = int(inputs.get("retentionInDays") or 0)
            if days:
                logs.put_retention_policy(logGroupName=id, retentionInDays=days)
            else:
                logs.delete_retention_policy(logGroupName=id)
        if "kmsKeyId" in changed:
            if inputs.get("kmsKeyId"):
                logs.associate_kms_key(logGroupName=id, kmsKeyId=inputs["kmsKeyId"])
            else:
                logs.disassociate_kms_key(logGroupName=id)
        if "tags" in changed:
            self._tag(logs, scope.arn("logs", f"log-group:{id}"), inputs.get("tags"))

    def delete(self, scope: Scope, id: str, outputs: Properties) -> None:
        """Remove the log group unless `skipDestroy` keeps it."""
        if not outputs.get("skipDestroy"):
            scope.client("logs").delete_log_group(logGroupName=id)

    def _tag(self, logs: Any, arn: str, wanted: dict[str, str] | None) -> None:
        old = stale(logs.list_tags_for_resource(resourceArn=arn)["tags"], wanted)
        if old:
            logs.untag_resource(resourceArn=arn, tagKeys=old)
        if wanted:
            logs.tag_resource(resourceArn=arn, tags=wanted)
