"""What every manifest has: labels that say whose it is, and one way from hera's models to dictionaries."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from aphex_platform.settings import PlatformSettings

Manifest = dict[str, Any]

PIPELINE_LABEL = "aphex/pipeline"
COMMIT_LABEL = "aphex/commit"
TRIGGER_LABEL = "aphex/trigger"
# On the pipeline's namespace: whose name it is. No label, for a label's value has no slash.
REPOSITORY_ANNOTATION = "aphex/repository"
COMPONENT_LABEL = "app.kubernetes.io/component"

WORKFLOWS_API = "argoproj.io/v1alpha1"

# With a user that is not root, what the Pod Security Standard "restricted" asks of a pod and of each of its containers:
# https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
SECCOMP = {"type": "RuntimeDefault"}
CONTAINER_SECURITY: Manifest = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def labels(settings: PlatformSettings) -> dict[str, str]:
    """Labels of everything that belongs to the pipeline."""
    return {PIPELINE_LABEL: settings.pipeline, "app.kubernetes.io/managed-by": "aphex"}


def namespace_labels(settings: PlatformSettings) -> dict[str, str]:
    """Labels of the pipeline's namespace: whose it is, and that the API server lets only harmless pods into it."""
    return {**labels(settings), "pod-security.kubernetes.io/enforce": "restricted"}


def manifest(
    kind: str, name: str, spec: BaseModel | Manifest, settings: PlatformSettings, api: str = WORKFLOWS_API
) -> Manifest:
    """An object of the pipeline's namespace as a plain dictionary; Argo's, unless another API is named."""
    return {
        "apiVersion": api,
        "kind": kind,
        "metadata": {"name": name, "namespace": settings.namespace, "labels": labels(settings)},
        "spec": plain(spec) if isinstance(spec, BaseModel) else spec,
    }


def plain(model: BaseModel) -> Manifest:
    """A hera model as the dictionary that Kubernetes takes, without what is unset."""
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)
