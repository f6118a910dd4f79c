"""Who may do what on an EKS cluster: access entries with their policies, and roles for service accounts."""
# A type need not use all that it is given.
# ruff: noqa: ARG002

from __future__ import annotations

from collections.abc import Set
from typing import Any

from sandbox.providers.aws.resource import ResourceType, Scope
from sandbox.providers.aws.schema import Schema
from sandbox.providers.aws.shapes import pruned, stale
from sandbox.providers.base import Properties

GONE = frozenset({"ResourceNotFoundException"})


def tag(eks: Any, arn: str, wanted: dict[str, str] | None) -> None:
    """Give something of EKS the tags that are wanted, and no others."""
    old = stale(_own(eks.list_tags_for_resource(resourceArn=arn)["tags"]), wanted)
    if old:
        eks.untag_resource(resourceArn=arn, tagKeys=old)
    if wanted:
        eks.tag_resource(resourceArn=arn, tags=wanted)


def _own(tags: dict[str, str] | None) -> dict[str, str]:
    return {key: value for key, value in (tags or {}).items() if not key.startswith("aws:")}


class PodIdentityAssociation(ResourceType):
    """`aws:eks/podIdentityAssociation:PodIdentityAssociation`; its id is `CLUSTER,ASSOCIATION`."""

    schema = Schema(
        token="aws:eks/podIdentityAssociation:PodIdentityAssociation",
        inputs=frozenset(
            {"clusterName", "disableSessionTags", "namespace", "roleArn", "serviceAccount", "tags", "targetRoleArn"}
        ),
        required=frozenset({"clusterName", "namespace", "roleArn", "serviceAccount"}),
        replaces=frozenset({"clusterName", "namespace", "serviceAccount"}),
        computed=frozenset({"associationArn", "associationId", "disableSessionTags", "externalId"}),
        sticky=frozenset({"disableSessionTags"}),
    )
    created_with = schema.known
    missing = GONE

    def create(self, scope: Scope, inputs: Properties) -> str:
        """Give the service account its role."""
        asked = pruned({key: inputs.get(key) for key in self.schema.inputs})
        made = scope.client("eks").create_pod_identity_association(**asked)["association"]
        return f"{made['clusterName']},{made['associationId']}"

    def read(self, scope: Scope, id: str) -> Properties | None:
        """The association with its tags."""
        found = scope.client("eks").describe_pod_identity_association(**_association(id))["association"]
        return {
            **{key: found.get(key, "") for key in ("associationArn", "associationId", "externalId", "targetRoleArn")},
            **{key: found[key] for key in ("clusterName", "namespace", "roleArn", "serviceAccount")},
            "disableSessionTags": found.get("disableSessionTags", False),
            "tags": _own(found.get("tags")),
        }

    def apply(self, scope: Scope, id: str, inputs: Properties, changed: Set[str]) -> None:
        """Change the role, its session tags, or the association's own tags."""
        eks = scope.client("eks")
        if changed - {"tags"}:
            asked = {key: inputs[key] for key in changed - {"tags"} if key in inputs}
            # An empty target is how EKS is told to forget the former one.
            cleared = {"targetRoleArn": ""} if "targetRoleArn" in changed - inputs.keys() else {}
            eks.update_pod_identity_association(**_association(id), **asked, **cleared)
        if "tags" in changed:
            found = eks.describe_pod_identity_association(**_association(id))["association"]
            tag(eks, found["associationArn"], inputs.get("tags"))

    def delete(self, scope: Scope, id: str, outputs: Properties) -> None:
        """Take the role away."""
        scope.client("eks").delete_pod_identity_association(**_association(id))


def _association(id: str) -> dict[str, str]:
    cluster, association = id.split(",", 1)
    return {"clusterName": cluster, "associationId": association}


class AccessEntry(ResourceType):
    """`aws:eks/accessEntry:AccessEntry`; its id is `CLUSTER:PRINCIPAL`."""

    schema = Schema(
        token="aws:eks/accessEntry:AccessEntry",
        inputs=frozenset({"clusterName", "kubernetesGroups", "principalArn", "tags", "type", "userName"}),
        required=frozenset({"clusterName", "principalArn"}),
        replaces=frozenset({"clusterName", "principalArn", "type"}),
        computed=frozenset({"accessEntryArn", "createdAt", "kubernetesGroups", "modifiedAt", "userName"}),
        defaults={"type": "STANDARD"},
        sticky=frozenset({"kubernetesGroups", "userName"}),
    )
    created_with = schema.known
    missing = GONE

    def create(self, scope: Scope, inputs: Properties) -> str:
        """Let the principal in."""
        asked = {key: inputs.get(key) for key in self.schema.inputs - {"userName"}}
        scope.client("eks").create_access_entry(**pruned({**asked, "username": inputs.get("userName")}))
        return f"{inputs['clusterName']}:{inputs['principalArn']}"

    def read(self, scope: Scope, id: str) -> Properties | None:
        """The entry with its tags."""
        found = scope.client("eks").describe_access_entry(**_entry(id))["accessEntry"]
        return {
            **{key: found[key] for key in ("accessEntryArn", "clusterName", "principalArn", "type")},
            "userName": found["username"],
            "kubernetesGroups": found.get("kubernetesGroups", []),
            "createdAt": found["createdAt"].isoformat(),
            "modifiedAt": found["modifiedAt"].isoformat(),
            "tags": _own(found.get("tags")),
        }

    def apply(self, scope: Scope, id: str, inputs: Properties, changed: Set[str]) -> None:
        """Change groups, user name or tags."""
        eks = scope.client("eks")
        names = {"kubernetesGroups": "kubernetesGroups", "userName": "username"}
        asked = {aws: inputs[name] for name, aws in names.items() if name in changed & inputs.keys()}
        if asked:
            eks.update_access_entry(**_entry(id), **asked)
        if "tags" in changed:
            found = eks.describe_access_entry(**_entry(id))["accessEntry"]
            tag(eks, found["accessEntryArn"], inputs.get("tags"))

    def delete(self, scope: Scope, id: str, outputs: Properties) -> None:
        """Shut the principal out."""
        scope.client("eks").delete_access_entry(**_entry(id))


class AccessPolicyAssociation(ResourceType):
    """`aws:eks/accessPolicyAssociation:AccessPolicyAssociation`; its id is `CLUSTER#PRINCIPAL#POLICY`."""

    schema = Schema(
        token="aws:eks/accessPolicyAssociation:AccessPolicyAssociation",
        inputs=frozenset({"accessScope", "clusterName", "policyArn", "principalArn"}),
        required=frozenset({"accessScope", "clusterName", "policyArn", "principalArn"}),
        replaces=frozenset({"accessScope", "clusterName", "policyArn", "principalArn"}),
        computed=frozenset({"associatedAt", "modifiedAt"}),
    )
    created_with = schema.known
    missing = GONE

    def create(self, scope: Scope, inputs: Properties) -> str:
        """Give the principal the policy."""
        scope.client("eks").associate_access_policy(**pruned({key: inputs[key] for key in self.schema.inputs}))
        return "#".join(inputs[key] for key in ("clusterName", "principalArn", "policyArn"))

    def read(self, scope: Scope, id: str) -> Properties | None:
        """The policy's scope; None when the principal does not have the policy."""
        cluster, principal, policy = id.split("#")
        pages = scope.client("eks").get_paginator("list_associated_access_policies")
        for page in pages.paginate(clusterName=cluster, principalArn=principal):
            for found in page["associatedAccessPolicies"]:
                if found["policyArn"] == policy:
                    return {
                        "clusterName": cluster,
                        "principalArn": principal,
                        "policyArn": policy,
                        "accessScope": found["accessScope"],
                        "associatedAt": found["associatedAt"].isoformat(),
                        "modifiedAt": found["modifiedAt"].isoformat(),
                    }
        return None

    def delete(self, scope: Scope, id: str, outputs: Properties) -> None:
        """Take the policy away."""
        cluster, principal, policy = id.split("#")
        scope.client("eks").disassociate_access_policy(clusterName=cluster, principalArn=principal, policyArn=policy)


def _entry(id: str) -> dict[str, str]:
    cluster, principal = id.split(":", 1)
    return {"clusterName": cluster, "principalArn": principal}
