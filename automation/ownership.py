"""Whose a pipeline's name is: one name is one repository's on a cluster, and one cluster's in an account and region."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from aphex.errors import AphexError

if TYPE_CHECKING:
    from aphex_platform.settings import PlatformSettings

    from automation.access import KubernetesAccess


class NotOurs(AphexError):
    """The name is taken by somebody else; nothing was changed."""


@dataclass(frozen=True, kw_only=True)
class NamespaceView:
    """A namespace as far as it says whose it is.

    Attributes:
        labels: its labels.
        annotations: its annotations.
        ending: whether it is being removed.
    """

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    ending: bool = False


def judge_namespace(settings: PlatformSettings, found: NamespaceView | None) -> NotOurs | None:
    """The error of a namespace that is not this pipeline's; None when it is, or is not there yet.

    A namespace without the repository's annotation was made by an earlier version, and counts by its label alone.
    """
    from aphex_platform.manifests.common import PIPELINE_LABEL, REPOSITORY_ANNOTATION

    if found is None:
        return None
    if found.labels.get(PIPELINE_LABEL) != settings.pipeline:
        return NotOurs(
            f"The cluster has a namespace {settings.namespace} that is no pipeline's; nothing was changed.",
            hint="Give the pipeline another name: pipeline.name in aphex-config.yaml. Or remove that namespace.",
        )
    owner = found.annotations.get(REPOSITORY_ANNOTATION)
    if owner is not None and owner != settings.repository_full_name:
        return NotOurs(
            f"The cluster has a pipeline {settings.pipeline} already: that of the repository {owner}. This one is for "
            f"{settings.repository_full_name}; nothing was changed.",
            hint="Give this pipeline another name: pipeline.name in aphex-config.yaml. If the repository was renamed, "
            f"say so: kubectl annotate --overwrite namespace {settings.namespace} "
            f"{REPOSITORY_ANNOTATION}={settings.repository_full_name}",
        )
    if found.ending:
        return NotOurs(
            f"The namespace {settings.namespace} is still being removed; nothing was changed.",
            hint=f"Wait until it is gone: kubectl wait --for=delete namespace/{settings.namespace}",
        )
    return None


def check_namespace(kubernetes: KubernetesAccess, settings: PlatformSettings) -> None:
    """Make sure that the pipeline's namespace is its own, or not there.

    Raises:
        NotOurs: it is another's.
    """
    error = judge_namespace(settings, look_at_namespace(kubernetes, settings.namespace))
    if error is not None:
        raise error


def check_owner(kubernetes: KubernetesAccess, settings: PlatformSettings) -> None:
    """Make sure that a pipeline which is there is this repository's; whatever else its namespace is does not matter.

    Raises:
        NotOurs: it is another's.
    """
    found = look_at_namespace(kubernetes, settings.namespace)
    error = judge_namespace(settings, None if found is None else replace(found, ending=False))
    if error is not None:
        raise error


def look_at_namespace(kubernetes: KubernetesAccess, name: str) -> NamespaceView | None:
    """A namespace; None when it is not there.

    Raises:
        ClusterNotReady: the cluster does not answer, or may not be asked.
    """
    from lightkube.core.exceptions import ApiError
    from lightkube.resources.core_v1 import Namespace

    from automation.context_target import ClusterNotReady, reachable

    with reachable(kubernetes) as api:
        try:
            found = api.get(Namespace, name)
        except ApiError as error:
            if error.status.code == 404:
                return None
            raise ClusterNotReady(
                f"The namespace {name} cannot be looked at: {error.status.message}",
                hint="Use credentials that may read namespaces.",
            ) from error
    metadata = found.metadata
    return NamespaceView(
        labels=dict(metadata.labels or {}),
        annotations=dict(metadata.annotations or {}),
        ending=metadata.deletionTimestamp is not None,
    )


def check_cluster(settings: PlatformSettings, outputs: Mapping[str, Any]) -> None:
    """Make sure that the pipeline of this name, account and region is not on another cluster.

    Args:
        settings: of the pipeline.
        outputs: of its stack, as they were before.

    Raises:
        NotOurs: it is.
    """
    there = outputs.get("token_issuer")
    if there in (None, settings.aws.oidc_issuer):
        return
    raise NotOurs(
        f"The pipeline {settings.pipeline} of account {settings.aws.account}, {settings.aws.region}, is on another "
        f"cluster, whose tokens are issued by {there}; nothing was changed.",
        hint="Give this pipeline another name: pipeline.name in aphex-config.yaml. To move the pipeline, destroy it "
        "there first: its data is kept, and found again here.",
    )
