"""What can be said of a Kubernetes object from its plain dictionary alone: identity, annotations, normal form."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

KubernetesObject = dict[str, Any]

AUTONAMED = "pulumi.com/autonamed"
SKIP_AWAIT = "pulumi.com/skipAwait"
WAIT_FOR = "pulumi.com/waitFor"
TIMEOUT_SECONDS = "pulumi.com/timeoutSeconds"
REPLACE_UNREADY = "pulumi.com/replaceUnready"
PATCH_FORCE = "pulumi.com/patchForce"
PATCH_FIELD_MANAGER = "pulumi.com/patchFieldManager"
DELETION_PROPAGATION = "pulumi.com/deletionPropagationPolicy"

# A Pulumi property name cannot hold a dash, so the SDK spells these with underscores.
_DASHED = {
    f"x_kubernetes_{name}": f"x-kubernetes-{name.replace('_', '-')}"
    for name in (
        "embedded_resource",
        "int_or_string",
        "list_map_keys",
        "list_type",
        "map_type",
        "preserve_unknown_fields",
        "validations",
    )
}
_UNDERSCORED = {dashed: underscored for underscored, dashed in _DASHED.items()}


def metadata(obj: Mapping[str, Any]) -> dict[str, Any]:
    """The object's metadata; empty when it has none, or none that is known yet."""
    value = obj.get("metadata")
    return value if isinstance(value, dict) else {}


def name_of(obj: Mapping[str, Any]) -> str:
    """The object's name; empty when it has none, or one that is not known yet."""
    value = metadata(obj).get("name")
    return value if isinstance(value, str) else ""


def namespace_of(obj: Mapping[str, Any]) -> str:
    """The object's namespace; empty when it has none, or one that is not known yet."""
    value = metadata(obj).get("namespace")
    return value if isinstance(value, str) else ""


def annotation(obj: Mapping[str, Any], key: str) -> str:
    """The value of an annotation; empty when it is not there."""
    annotations = metadata(obj).get("annotations")
    value = annotations.get(key) if isinstance(annotations, dict) else None
    return value if isinstance(value, str) else ""


def is_annotated(obj: Mapping[str, Any], key: str) -> bool:
    """Whether an annotation is there with the value "true"."""
    return annotation(obj, key) == "true"


def set_annotation(obj: KubernetesObject, key: str, value: str) -> None:
    """Set an annotation, unless the metadata or its annotations are not known yet."""
    meta = obj.setdefault("metadata", {})
    if isinstance(meta, dict):
        annotations = meta.setdefault("annotations", {})
        if isinstance(annotations, dict):
            annotations[key] = value


def group_version_kind(obj: Mapping[str, Any]) -> tuple[str, str, str]:
    """Split an object's apiVersion and kind; the core group is the empty string."""
    api_version, kind = obj.get("apiVersion"), obj.get("kind")
    return (*split_api_version(api_version if isinstance(api_version, str) else ""), str(kind or ""))


def split_api_version(api_version: str) -> tuple[str, str]:
    """Split `group/version`; the core group is the empty string, whichever way it was written."""
    group, _, version = api_version.rpartition("/")
    return ("" if group == "core" else group), version


def identifier(obj: Mapping[str, Any]) -> str:
    """The Pulumi id of an object: `namespace/name`, or the name alone when it is cluster-scoped."""
    namespace = namespace_of(obj)
    return f"{namespace}/{name_of(obj)}" if namespace else name_of(obj)


def split_identifier(identifier: str) -> tuple[str, str]:
    """Split a Pulumi id into namespace (empty when cluster-scoped) and name."""
    namespace, _, name = identifier.rpartition("/")
    return namespace, name


def to_server_keys(value: Any) -> Any:
    """A copy with the SDK's underscored OpenAPI extensions spelled as the API server spells them."""
    return _renamed(value, _DASHED)


def to_sdk_keys(value: Any) -> Any:
    """A copy with OpenAPI extensions spelled as the SDK spells them."""
    return _renamed(value, _UNDERSCORED)


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {names.get(key, key): _renamed(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [_renamed(item, names) for item in value]
    return value


def prune(live: Any, shape: Any) -> Any:
    """What of a live object was asked for: its values at the keys, and list positions, that `shape` has."""
    if isinstance(live, dict) and isinstance(shape, dict):
        return {key: prune(value, shape[key]) for key, value in live.items() if key in shape}
    if isinstance(live, list) and isinstance(shape, list):
        if not live or not shape:
            return []
        if type(live[0]) is not type(shape[0]):
            return copy.deepcopy(live)
        return [prune(value, wanted) for value, wanted in zip(live, shape, strict=False)]
    return live
