"""Who IAM takes for somebody: identity providers of clusters, and instance profiles."""
# A type need not use all that it is given.
# ruff: noqa: ARG002

from __future__ import annotations

from collections.abc import Set
from typing import Any

from sandbox.providers.aws.resource import ResourceType, Scope
from sandbox.providers.aws.schema import AutoName, Schema
from sandbox.providers.aws.shapes import pairs, stale, tag_map
from sandbox.providers.base import Properties

_GONE = frozenset({"NoSuchEntity"})


class OpenIdConnectProvider(ResourceType):
    """`aws:iam/openIdConnectProvider:OpenIdConnectProvider`; its id is its ARN."""

    schema = Schema(
        token="aws:iam/openIdConnectProvider:OpenIdConnectProvider",
        inputs=frozenset({"clientIdLists", "tags", "thumbprintLists", "url"}),
        required=frozenset({"clientIdLists", "url"}),
        replaces=frozenset({"url"}),
        computed=frozenset({"arn", "thumbprintLists"}),
        sticky=frozenset({"thumbprintLists"}),
        # IAM keeps the issuer without its scheme.
        references=frozenset({"url"}),
        regional=False,
    )
    created_with = schema.inputs
    missing = _GONE

    def create(self, scope: Scope, inputs: Properties) -> str:
        """Trust the issuer."""
        made = scope.client("iam").create_open_id_connect_provider(
            Url=inputs["url"],
            ClientIDList=inputs["clientIdLists"],
            ThumbprintList=inputs.get("thumbprintLists") or [],
            Tags=pairs(inputs.get("tags")),
        )
        return str(made["OpenIDConnectProviderArn"])

    def read(self, scope: Scope, id: str) -> Properties | None:
        """The provider with its tags."""
        found = scope.client("iam").get_open_id_connect_provider(OpenIDConnectProviderArn=id)
        return {
            "arn": id,
            "url": found["Url"],
            "clientIdLists": found.get("ClientIDList", []),
            "thumbprintLists": found.get("ThumbprintList", []),
            "tags": tag_map(found.get("Tags")),
        }

    def apply(self, scope: Scope, id: str, inputs: Properties, changed: Set[str]) -> None:
        """Change thumbprints, audiences one by one as IAM asks, or tags."""
        iam = scope.client("iam")
        if "thumbprintLists" in changed:
            prints = inputs.get("thumbprintLists") or []
            iam.update_open_id_connect_provider_thumbprint(OpenIDConnectProviderArn=id, ThumbprintList=prints)
        if changed & {"clientIdLists", "tags"}:
            found = iam.get_open_id_connect_provider(OpenIDConnectProviderArn=id)
            self._audiences(iam, id, set(found.get("ClientIDList", [])), set(inputs["clientIdLists"]))
            old = stale(tag_map(found.get("Tags")), inputs.get("tags"))
            if old:
                iam.untag_open_id_connect_provider(OpenIDConnectProviderArn=id, TagKeys=old)
            if inputs.get("tags"):
                iam.tag_open_id_connect_provider(OpenIDConnectProviderArn=id, Tags=pairs(inputs["tags"]))

    def delete(self, scope: Scope, id: str, outputs: Properties) -> None:
        """Trust the issuer no more."""
        scope.client("iam").delete_open_id_connect_provider(OpenIDConnectProviderArn=id)

    def _audiences(self, iam: Any, arn: str, before: set[str], after: set[str]) -> None:
        for name in sorted(after - before):
            iam.add_client_id_to_open_id_connect_provider(OpenIDConnectProviderArn=arn, ClientID=name)
        for name in sorted(before - after):
            iam.remove_client_id_from_open_id_connect_provider(OpenIDConnectProviderArn=arn, ClientID=name)


class InstanceProfile(ResourceType):
    """`aws:iam/instanceProfile:InstanceProfile`; its id is its name."""

    schema = Schema(
        token="aws:iam/instanceProfile:InstanceProfile",
        inputs=frozenset({"name", "namePrefix", "path", "role", "tags"}),
        replaces=frozenset({"path"}),
        computed=frozenset({"arn", "createDate", "uniqueId"}),
        defaults={"path": "/"},
        name=AutoName(longest=128),
        regional=False,
    )
    created_with = frozenset({"name", "namePrefix", "path", "tags"})
    missing = _GONE

    def create(self, scope: Scope, inputs: Properties) -> str:
        """Make the profile; `apply` gives it its role."""
        made = scope.client("iam").create_instance_profile(
            InstanceProfileName=inputs["name"], Path=inputs["path"], Tags=pairs(inputs.get("tags"))
        )
        return str(made["InstanceProfile"]["InstanceProfileName"])

    def read(self, scope: Scope, id: str) -> Properties | None:
        """The profile with its role."""
        found = scope.client("iam").get_instance_profile(InstanceProfileName=id)["InstanceProfile"]
        return {
            "name": found["InstanceProfileName"],
            "arn": found["Arn"],
            "createDate": found["CreateDate"].isoformat(),
            "path": found["Path"],
            "role": found["Roles"][0]["RoleName"] if found["Roles"] else "",
            "uniqueId": found["InstanceProfileId"],
            "tags": tag_map(found.get("Tags")),
        }

    def apply(self, scope: Scope, id: str, inputs: Properties, changed: Set[str]) -> None:
        """Change the role, of which there is one at most, or the tags."""
        iam = scope.client("iam")
        if "role" in changed:
            self._empty(iam, id)
            if inputs.get("role"):
                iam.add_role_to_instance_profile(InstanceProfileName=id, RoleName=inputs["role"])
        if "tags" in changed:
            found = iam.get_instance_profile(InstanceProfileName=id)["InstanceProfile"]
            old = stale(tag_map(found.get("Tags")), inputs.get("tags"))
            if old:
                iam.untag_instance_profile(InstanceProfileName=id, TagKeys=old)
            if inputs.get("tags"):
                iam.tag_instance_profile(InstanceProfileName=id, Tags=pairs(inputs["tags"]))

    def delete(self, scope: Scope, id: str, outputs: Properties) -> None:
        """Take the role out and remove the profile."""
        iam = scope.client("iam")
        self._empty(iam, id)
        iam.delete_instance_profile(InstanceProfileName=id)

    def _empty(self, iam: Any, id: str) -> None:
        for role in iam.get_instance_profile(InstanceProfileName=id)["InstanceProfile"]["Roles"]:
            iam.remove_role_from_instance_profile(InstanceProfileName=id, RoleName=role["RoleName"])
