"""The installation manifests that Argo's projects release, as objects in the order in which to apply them."""

from __future__ import annotations

from typing import Any

from ruamel.yaml import YAML

Manifest = dict[str, Any]

WORKFLOWS_NAMESPACE, EVENTS_NAMESPACE = "argo", "argo-events"
_FIRST_KINDS = ("Namespace", "CustomResourceDefinition", "PriorityClass", "ServiceAccount", "ClusterRole", "Role")
_CLUSTER_WIDE = ("Namespace", "CustomResourceDefinition", "PriorityClass", "ClusterRole", "ClusterRoleBinding")


def placed(text: str, namespace: str) -> list[Manifest]:
    """The objects of a manifest in one namespace: what others need comes before them.

    Args:
        text: YAML documents.
        namespace: where those go that are in one, and where accounts are that roles are bound to.
    """
    documents: list[Manifest] = [document for document in YAML(typ="safe").load_all(text) if document]
    for document in documents:
        if document["kind"] not in _CLUSTER_WIDE:
            document["metadata"]["namespace"] = namespace
        for subject in document.get("subjects") or []:
            if subject["kind"] == "ServiceAccount":
                subject["namespace"] = namespace
    return sorted(documents, key=lambda document: _rank(document["kind"]))


def _rank(kind: str) -> int:
    return _FIRST_KINDS.index(kind) if kind in _FIRST_KINDS else len(_FIRST_KINDS)
