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
