"""Operations that a killed process left half done: the state says that they began, not how they ended.

Every such resource is looked at again through its provider (a refresh of it alone). A creation may have happened or
not: where the resource's id follows from its inputs it is entered under that id first, and the refresh removes it again
if it is not there; where only the provider knows the id, the entry is dropped.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from automation.console import Terminal
    from automation.stack import OpenStack

# The input that is the id, for the types whose provider uses one as such.
_ID_INPUTS = {
    "aws:s3/bucket:Bucket": "bucket",
    "aws:s3/bucketVersioning:BucketVersioning": "bucket",
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": "bucket",
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": "bucket",
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": "bucket",
    "aws:s3/bucketOwnershipControls:BucketOwnershipControls": "bucket",
    "aws:s3/bucketPolicy:BucketPolicy": "bucket",
    "aws:dynamodb/table:Table": "name",
    "aws:iam/role:Role": "name",
    "aws:kms/alias:Alias": "name",
    "aws:cloudwatch/logGroup:LogGroup": "name",
}


@dataclass(frozen=True, kw_only=True)
class Repair:
    """How a state with unfinished operations is settled.

    Attributes:
        deployment: the state without unfinished operations.
        look: resources to refresh, for their providers alone know how they are.
        dropped: creations that may have happened under an id that cannot be known.
    """

    deployment: dict[str, Any]
    look: tuple[str, ...]
    dropped: tuple[str, ...]


def plan_repair(deployment: Mapping[str, Any]) -> Repair | None:
    """How to settle a state; none when nothing in it is unfinished.

    The format is that of `pulumi stack export` (apitype.DeploymentV3).
    """
    operations = deployment.get("pending_operations") or []
    if not operations:
        return None
    settled = copy.deepcopy(dict(deployment))
    settled["pending_operations"] = []
    resources = settled.setdefault("resources", [])
    known = {each["urn"] for each in resources}
    look: list[str] = []
    dropped: list[str] = []
    for operation in operations:
        resource = operation["resource"]
        urn = resource["urn"]
        if operation["type"] == "creating" and urn not in known:
            identity = resource.get("id") or resource_id(resource)
            if not identity:
                dropped.append(urn)
                continue
            resources.append({**resource, "id": identity, "outputs": resource.get("outputs") or resource.get("inputs")})
            known.add(urn)
        if urn in known and urn not in look:
            look.append(urn)
    return Repair(deployment=settled, look=tuple(look), dropped=tuple(dropped))


def resource_id(resource: Mapping[str, Any]) -> str | None:
    """The id that a provider gives a resource, where it follows from the resource's inputs."""
    inputs = resource.get("inputs") or {}
    kind = str(resource.get("type", ""))
    if kind.startswith("kubernetes:"):
        return _kubernetes_id(inputs)
    if kind == "aws:iam/rolePolicy:RolePolicy":
        role, name = inputs.get("role"), inputs.get("name")
        return f"{role}:{name}" if isinstance(role, str) and isinstance(name, str) else None
    value = inputs.get(_ID_INPUTS.get(kind, ""))
    return value if isinstance(value, str) and value else None


def _kubernetes_id(inputs: Mapping[str, Any]) -> str | None:
    metadata = inputs.get("metadata")
    if not isinstance(metadata, Mapping) or not isinstance(metadata.get("name"), str):
        return None
    name, namespace = metadata["name"], metadata.get("namespace")
    return f"{namespace}/{name}" if isinstance(namespace, str) else str(name)


def repair(opened: OpenStack, terminal: Terminal) -> dict[str, Any]:
    """Settle what a killed process left half done, if it did; the state as it then is.

    Raises:
        DeploymentError: a provider could not look at its resources.
    """
    from pulumi.automation import CommandError, Deployment

    from automation.changes import EventLog
    from automation.stack import failure

    exported = opened.stack.export_stack()
    deployment = dict(exported.deployment or {})
    plan = plan_repair(deployment)
    if plan is None:
        return deployment
    names = ", ".join(urn.rsplit("::", 1)[-1] for urn in (*plan.look, *plan.dropped))
    terminal.warn(f"an earlier operation was cut off while it worked on {names}; looking how they are.")
    opened.stack.import_stack(Deployment(version=exported.version, deployment=plan.deployment))
    for urn in plan.dropped:
        terminal.warn(f"{urn} may exist unnoticed: its id is not known, so it will be made anew.")
    if not plan.look:
        return plan.deployment
    log = EventLog()
    try:
        opened.stack.refresh(target=list(plan.look), on_event=log.add, suppress_progress=True, color="never")
    except CommandError as error:
        raise failure("Looking at resources that were left half done", error, log) from error
    return dict(opened.stack.export_stack().deployment or {})
