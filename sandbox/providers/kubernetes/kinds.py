"""Which kinds there are: told by a resource's type token, by the cluster, and by the CRDs of the same program."""

from __future__ import annotations

import threading

from sandbox.providers.base import ProviderError
from sandbox.providers.kubernetes.api import KubernetesApi, UnknownKind
from sandbox.providers.kubernetes.objects import KubernetesObject, group_version_kind

_CLIENT_SIDE = ("helm.sh/", "yaml/", "kustomize/", "helm/")


def api_version_and_kind(token: str) -> tuple[str, str]:
    """Read apiVersion and kind out of a type token such as `kubernetes:apps/v1:Deployment`.

    Raises:
        ProviderError: the type is no Kubernetes object but a chart, a set of YAML files, or a list.
    """
    _, module, kind = token.split(":", 2)
    group, _, version = module.partition("/")
    if module.startswith(_CLIENT_SIDE) or not version:
        raise ProviderError(
            f"the stand-in kubernetes provider has no resource type {token}: it handles objects of the API server only",
            hint="Write the objects out, or install the real provider: pulumi plugin install resource kubernetes.",
        )
    if kind.endswith("List") and "." not in group.removesuffix(".k8s.io"):
        raise ProviderError(
            "list resources exist for compatibility with YAML manifests and Helm charts, and cannot be created "
            "directly. Use the underlying resource type instead"
        )
    return (version if group in ("core", "") else module), kind


def is_patch(token: str, kind: str) -> bool:
    """Whether a resource manages only some fields of an object that is not its own, such as ConfigMapPatch."""
    return token.rpartition(":")[2] == f"{kind}Patch"


class Scopes:
    """Tells which kinds live in namespaces."""

    def __init__(self, api: KubernetesApi) -> None:
        self._api = api
        self._learned: dict[tuple[str, str], bool] = {}
        self._lock = threading.Lock()

    def learn(self, definition: KubernetesObject) -> None:
        """Remember the scope that a CRD of this program gives its kind, before the cluster knows of it."""
        group, _, kind = group_version_kind(definition)
        spec = definition.get("spec")
        if (group, kind) != ("apiextensions.k8s.io", "CustomResourceDefinition") or not isinstance(spec, dict):
            return
        names = spec.get("names")
        defined = names.get("kind") if isinstance(names, dict) else None
        if isinstance(spec.get("group"), str) and isinstance(defined, str):
            with self._lock:
                self._learned[spec["group"], defined] = spec.get("scope") != "Cluster"

    def namespaced(self, obj: KubernetesObject) -> bool:
        """Whether objects of this kind live in namespaces; a kind that nobody knows yet is taken to."""
        try:
            return self._api.type_of(obj).namespaced
        except UnknownKind:
            group, _, kind = group_version_kind(obj)
            with self._lock:
                return self._learned.get((group, kind), True)
