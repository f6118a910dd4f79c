"""Whose fields are whose under server-side apply, and how they change hands."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from sandbox.providers.kubernetes.objects import PATCH_FORCE, KubernetesObject, is_annotated, metadata

CREATOR = "pulumi-kubernetes"
"""The field manager that creates objects; the first update hands its fields to the resource's own manager."""

_FORMER = (
    ("kubectl", "Apply"),
    ("kubectl", "Update"),
    ("before-first-apply", "Update"),
    (CREATOR, "Update"),
    ("pulumi-resource-kubernetes", "Update"),
)


def takeover(live: KubernetesObject, manager: str) -> list[dict[str, Any]]:
    """The JSON patch that hands the fields of a creator, or of kubectl, to `manager`; empty when none have any.

    Without it the first apply could add and change fields, but never remove one: another manager would still own it.
    """
    entries = metadata(live).get("managedFields") or []
    former = [entry for entry in entries if _is_former(entry)]
    if not former:
        return []
    own = next((entry for entry in entries if _is_own(entry, manager)), None)
    merged = copy.deepcopy(own or former[0])
    for entry in former:
        _merge(merged["fieldsV1"], entry["fieldsV1"])
    merged.update({"manager": manager, "operation": "Apply"})
    kept = [entry for entry in entries if entry is not own and not _is_former(entry)]
    return [
        {"op": "test", "path": "/metadata/resourceVersion", "value": metadata(live)["resourceVersion"]},
        {"op": "replace", "path": "/metadata/managedFields", "value": [*kept, merged]},
    ]


def _is_own(entry: dict[str, Any], manager: str) -> bool:
    return entry["manager"] == manager and entry["operation"] == "Apply" and not entry.get("subresource")


def _is_former(entry: dict[str, Any]) -> bool:
    named = any(entry["manager"].startswith(name) and entry["operation"] == how for name, how in _FORMER)
    return named and not entry.get("subresource") and "fieldsV1" in entry


def _merge(into: dict[str, Any], other: dict[str, Any]) -> None:
    for key, value in other.items():
        _merge(into.setdefault(key, {}), value)


def must_force(inputs: KubernetesObject, live: KubernetesObject | None, *, always: bool, preview: bool) -> bool:
    """Whether an apply takes over what another manager owns, instead of failing with a conflict.

    Args:
        inputs: what is applied; its annotation may ask for it.
        live: the object as it is, or None when it is not there.
        always: the provider was told to.
        preview: nothing is kept, so the fields that an update would first take over need no manager of theirs.
    """
    if always or is_annotated(inputs, PATCH_FORCE):
        return True
    if live is None:
        return preview
    entries: Sequence[dict[str, Any]] = metadata(live).get("managedFields") or []
    return not entries or (preview and any(_is_former(entry) for entry in entries))
