"""Keeps data from being lost by an update: asks the engine what it would do before it does it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aphex.errors import AphexError
from automation import changes
from automation.changes import EventLog, ResourceChange
from automation.data_loss import BUCKET, TABLE, Consent, Loss, agree_to_losses, holders, losses, protected_urns
from automation.stack import failure
from automation.state_bucket import empty_bucket

if TYPE_CHECKING:
    from automation.console import Terminal
    from automation.home import StackHome
    from automation.stack import OpenStack

EKS_CLUSTER = "aws:eks/cluster:Cluster"
REPOSITORY = "aws:ecr/repository:Repository"
_GONE = ("NoSuchBucket", "ResourceNotFoundException", "RepositoryNotFoundException")
_PROTECTED = re.compile(r'resource "(?P<urn>urn:[^"]+)" cannot be (?P<operation>deleted|replaced)\b.*\bprotected')
# What AWS itself does not delete before something is lifted.
GUARDED = (BUCKET, TABLE, EKS_CLUSTER, REPOSITORY)


def guard(
    opened: OpenStack,
    deployment: Mapping[str, Any],
    terminal: Terminal,
    consent: Consent,
    known: Sequence[ResourceChange] | None = None,
) -> None:
    """Make sure that an update loses no data, or that it may; what is protected is then released.

    Args:
        opened: the stack.
        deployment: its state.
        terminal: where losses are told and consent is asked for.
        consent: what was said beforehand.
        known: what the update will do, where that is known; else the engine is asked.

    Raises:
        DataLossRefused: data would be lost and may not be.
        DeploymentError: the engine cannot tell what it would do.
    """
    if not holders(deployment):
        return
    protected = protected_urns(deployment)
    lifted: set[str] = set()
    while True:
        with terminal.watched(f"Comparing {opened.home.title} with its configuration"):
            planned = look_ahead(opened) if known is None else known
        found = [loss for loss in losses(planned, protected) if loss.change.urn not in lifted]
        agree_to_losses(found, opened.home, consent, terminal)
        if not found:
            return
        release(opened, found, deployment)
        lifted |= {loss.change.urn for loss in found}
        if known is not None or not any(loss.protected for loss in found):
            return
        # What is protected keeps the engine from seeing the whole: it looks again without.


def look_ahead(opened: OpenStack, plan: Path | None = None) -> list[ResourceChange]:
    """What the engine would do, and would but for a resource's protection; with a file for its plan, the plan too.

    Raises:
        DeploymentError: the program or a provider failed.
    """
    from pulumi.automation import CommandError

    log = EventLog()
    file = str(plan) if plan is not None else None
    try:
        opened.stack.preview(on_event=log.add, plan=file, suppress_progress=True, color="never")
    except CommandError as error:
        blocked = [blocked_change(complaint.message) for complaint in log.complaints]
        if not blocked or None in blocked:
            raise failure(f"Deploying {opened.home.title}", error, log) from error
        known = changes.planned(log.steps)
        urns = {each.urn for each in known}
        return [*known, *(each for each in blocked if each is not None and each.urn not in urns)]
    return changes.planned(log.steps)


def blocked_change(message: str) -> ResourceChange | None:
    """The change that the engine refuses because the resource is protected; None for any other complaint.

    The words are those of pkg/resource/deploy/step_generator.go.
    """
    found = _PROTECTED.search(" ".join(message.split()))
    if found is None:
        return None
    urn = found.group("urn")
    return ResourceChange(
        operation=found.group("operation").removesuffix("d"),
        type=urn.split("::")[2].rpartition("$")[2],
        name=urn.rsplit("::", 1)[-1],
        urn=urn,
    )


def release(opened: OpenStack, found: Sequence[Loss], deployment: Mapping[str, Any]) -> None:
    """Lift what guards the data that may be lost: the engine's protection, and that of AWS.

    Raises:
        AphexError: AWS refuses.
    """
    state = {str(each["urn"]): each for each in holders(deployment)}
    for loss in found:
        resource = state.get(loss.change.urn)
        if resource is None:
            continue
        if resource.get("protect"):
            opened.command("state", "unprotect", loss.change.urn, "--yes")
        release_on_aws(opened.home, loss.change.type, str(resource.get("id") or ""))


def release_on_aws(home: StackHome, kind: str, identity: str) -> None:
    """Lift AWS's own guard of a resource: no bucket with objects, repository with images, or deletion protection.

    Raises:
        AphexError: AWS refuses.
    """
    from botocore.exceptions import ClientError

    try:
        if kind == BUCKET:
            empty_bucket(home.aws, identity)
        elif kind == TABLE:
            _unprotect_table(home.aws.client("dynamodb"), identity)
        elif kind == EKS_CLUSTER:
            _unprotect_cluster(home.aws.client("eks"), identity)
        elif kind == REPOSITORY:
            _empty_repository(home.aws.client("ecr"), identity)
    except ClientError as error:
        if error.response["Error"]["Code"] not in _GONE:
            raise AphexError(f"{identity} cannot be released for its removal: {error}") from error


def _unprotect_table(dynamodb: Any, name: str) -> None:
    if dynamodb.describe_table(TableName=name)["Table"].get("DeletionProtectionEnabled"):
        dynamodb.update_table(TableName=name, DeletionProtectionEnabled=False)


def _unprotect_cluster(eks: Any, name: str) -> None:
    if eks.describe_cluster(name=name)["cluster"].get("deletionProtection"):
        eks.update_cluster_config(name=name, deletionProtection=False)
        eks.get_waiter("cluster_active").wait(name=name)  # nothing else may be done to it before


def _empty_repository(ecr: Any, name: str) -> None:
    """Delete every image, in rounds: ECR keeps those of single platforms as long as there is an index that has them.

    Raises:
        AphexError: a round deletes nothing.
    """
    while digests := _digests(ecr, name):
        failures: list[dict[str, Any]] = []
        # 100 is what one request may delete, and less than a page has.
        for first in range(0, len(digests), 100):
            images = [{"imageDigest": digest} for digest in digests[first : first + 100]]
            failures += ecr.batch_delete_image(repositoryName=name, imageIds=images).get("failures", [])
        if len(failures) >= len(digests):
            reason = failures[0].get("failureReason") or failures[0].get("failureCode")
            raise AphexError(f"{len(failures)} images of {name} could not be deleted: {reason}")


def _digests(ecr: Any, name: str) -> list[str]:
    """The images of a repository. By digest: a tag alone would leave the image."""
    pages = ecr.get_paginator("list_images").paginate(repositoryName=name)
    return sorted({image["imageDigest"] for page in pages for image in page["imageIds"]})
