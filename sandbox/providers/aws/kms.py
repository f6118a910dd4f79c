"""KMS keys and their aliases."""
# A type need not use all that it is given.
# ruff: noqa: ARG002

from __future__ import annotations

from collections.abc import Set
from typing import Any

from sandbox.providers.aws.resource import ResourceType, Scope
from sandbox.providers.aws.schema import AutoName, Schema
from sandbox.providers.aws.shapes import pairs, stale, tag_map
from sandbox.providers.base import Properties

_GONE = frozenset({"NotFoundException"})
_LONGEST_WINDOW = 30


class Key(ResourceType):
    """`aws:kms/key:Key`; its id is the key id."""

    schema = Schema(
        token="aws:kms/key:Key",
        inputs=frozenset(
            {
                "customerMasterKeySpec",
                "deletionWindowInDays",
                "description",
                "enableKeyRotation",
                "isEnabled",
                "keyUsage",
                "multiRegion",
                "policy",
                "tags",
            }
        ),
        replaces=frozenset({"customerMasterKeySpec", "keyUsage", "multiRegion"}),
        computed=frozenset({"arn", "description", "keyId", "policy", "rotationPeriodInDays"}),
        defaults={
            "customerMasterKeySpec": "SYMMETRIC_DEFAULT",
            "enableKeyRotation": False,
            "isEnabled": True,
            "keyUsage": "ENCRYPT_DECRYPT",
        },
        sticky=frozenset({"description", "multiRegion", "policy"}),
        local=frozenset({"deletionWindowInDays"}),
        documents=frozenset({"policy"}),
    )
    created_with = frozenset({"customerMasterKeySpec", "description", "keyUsage", "multiRegion", "policy", "tags"})
    missing = _GONE

    def create(self, scope: Scope, inputs: Properties) -> str:
        """Make the key."""
        options: dict[str, Any] = {
            "Description": inputs.get("description", ""),
            "KeyUsage": inputs["keyUsage"],
            "KeySpec": inputs["customerMasterKeySpec"],
            "MultiRegion": bool(inputs.get("multiRegion")),
            "Tags": pairs(inputs.get("tags"), key="TagKey", value="TagValue"),
        }
        if inputs.get("policy"):
            options["Policy"] = inputs["policy"]
        return str(scope.client("kms").create_key(**options)["KeyMetadata"]["KeyId"])

    def read(self, scope: Scope, id: str) -> Properties | None:
        """The key; a key that waits for its deletion is gone."""
        kms = scope.client("kms")
        key = kms.describe_key(KeyId=id)["KeyMetadata"]
        if key.get("KeyState") in ("PendingDeletion", "PendingReplicaDeletion"):
            return None
        symmetric = key.get("KeySpec", "SYMMETRIC_DEFAULT") == "SYMMETRIC_DEFAULT"
        rotation = kms.get_key_rotation_status(KeyId=id) if symmetric and key["Enabled"] else {}
        return {
            "keyId": key["KeyId"],
            "arn": key["Arn"],
            "description": key.get("Description", ""),
            "keyUsage": key["KeyUsage"],
            "customerMasterKeySpec": key.get("KeySpec", "SYMMETRIC_DEFAULT"),
            "isEnabled": key["Enabled"],
            "multiRegion": key.get("MultiRegion", False),
            "enableKeyRotation": rotation.get("KeyRotationEnabled", False),
            "rotationPeriodInDays": rotation.get("RotationPeriodInDays", 0),
            "policy": kms.get_key_policy(KeyId=id, PolicyName="default")["Policy"],
            "tags": tag_map(kms.list_resource_tags(KeyId=id)["Tags"], key="TagKey", value="TagValue"),
        }

    def apply(self, scope: Scope, id: str, inputs: Properties, changed: Set[str]) -> None:
        """Change description, policy, rotation, state or tags. A disabled key is enabled first, as KMS asks."""
        kms = scope.client("kms")
        if "isEnabled" in changed and inputs["isEnabled"]:
            kms.enable_key(KeyId=id)
        if "description" in changed:
            kms.update_key_description(KeyId=id, Description=inputs.get("description", ""))
        if "policy" in changed:
            kms.put_key_policy(KeyId=id, PolicyName="default", Policy=inputs["policy"])
        if "enableKeyRotation" in changed and inputs["enableKeyRotation"]:
            kms.enable_key_rotation(KeyId=id)
        elif "enableKeyRotation" in changed and kms.get_key_rotation_status(KeyId=id)["KeyRotationEnabled"]:
            kms.disable_key_rotation(KeyId=id)
        if "tags" in changed:
            self._tag(kms, id, inputs.get("tags"))
        if "isEnabled" in changed and not inputs["isEnabled"]:
            kms.disable_key(KeyId=id)

    def delete(self, scope: Scope, id: str, outputs: Properties) -> None:
        """Schedule the deletion after the waiting period, 30 days unless `deletionWindowInDays` says otherwise."""
        window = int(outputs.get("deletionWindowInDays") or _LONGEST_WINDOW)
        if self.read(scope, id) is not None:
            scope.client("kms").schedule_key_deletion(KeyId=id, PendingWindowInDays=window)

    def _tag(self, kms: Any, id: str, wanted: dict[str, str] | None) -> None:
        found = tag_map(kms.list_resource_tags(KeyId=id)["Tags"], key="TagKey", value="TagValue")
        if stale(found, wanted):
            kms.untag_resource(KeyId=id, TagKeys=stale(found, wanted))
        if wanted:
            kms.tag_resource(KeyId=id, Tags=pairs(wanted, key="TagKey", value="TagValue"))


class Alias(ResourceType):
    """`aws:kms/alias:Alias`; its id is its name, which begins with `alias/`."""

    schema = Schema(
        token="aws:kms/alias:Alias",
        inputs=frozenset({"name", "namePrefix", "targetKeyId"}),
        required=frozenset({"targetKeyId"}),
        computed=frozenset({"arn", "targetKeyArn"}),
        references=frozenset({"targetKeyId"}),
        name=AutoName(longest=249, shape=lambda name: name if name.startswith("alias/") else f"alias/{name}"),
    )
    created_with = schema.inputs
    missing = _GONE

    def create(self, scope: Scope, inputs: Properties) -> str:
        """Name the key."""
        key = _key_id(inputs["targetKeyId"])
        scope.client("kms").create_alias(AliasName=inputs["name"], TargetKeyId=key)
        return str(inputs["name"])

    def read(self, scope: Scope, id: str) -> Properties | None:
        """Which key the name is for."""
        for page in scope.client("kms").get_paginator("list_aliases").paginate():
            for alias in page["Aliases"]:
                if alias["AliasName"] == id and alias.get("TargetKeyId"):
                    return {
                        "name": id,
                        "arn": alias["AliasArn"],
                        "targetKeyId": alias["TargetKeyId"],
                        "targetKeyArn": scope.arn("kms", f"key/{alias['TargetKeyId']}"),
                    }
        return None

    def apply(self, scope: Scope, id: str, inputs: Properties, changed: Set[str]) -> None:
        """Give the name to another key."""
        if "targetKeyId" in changed:
            scope.client("kms").update_alias(AliasName=id, TargetKeyId=_key_id(inputs["targetKeyId"]))

    def delete(self, scope: Scope, id: str, outputs: Properties) -> None:
        """Take the name away."""
        scope.client("kms").delete_alias(AliasName=id)


def _key_id(id_or_arn: str) -> str:
    return id_or_arn.rpartition(":key/")[2]
