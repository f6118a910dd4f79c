"""What of an object the engine keeps: the live object, and beside it what made it.

The layout is that of pulumi-kubernetes (`checkpointObject`), so that a stack can go from the stand-in to the real
provider and back.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from typing import Any

from sandbox.providers.base import UNKNOWN, Naming, NamingMode, Properties, ProviderError, Secret
from sandbox.providers.kubernetes.objects import (
    AUTONAMED,
    PATCH_FIELD_MANAGER,
    KubernetesObject,
    annotation,
    group_version_kind,
    is_annotated,
    metadata,
    name_of,
    set_annotation,
    to_sdk_keys,
    to_server_keys,
)

INPUTS = "__inputs"
INITIAL_API_VERSION = "__initialApiVersion"
FIELD_MANAGER = "__fieldManager"


def checkpoint(
    inputs: KubernetesObject, live: KubernetesObject, *, manager: str, initial_api_version: str
) -> Properties:
    """The properties to keep of a live object. What is secret in the inputs is found again by its text.

    Args:
        inputs: what was asked for.
        live: what the API server has.
        manager: the field manager of the next updates.
        initial_api_version: the apiVersion with which the object was first created.
    """
    return {
        **with_secret_data(to_sdk_keys(live)),
        INPUTS: with_secret_data(to_sdk_keys(inputs)),
        INITIAL_API_VERSION: initial_api_version,
        FIELD_MANAGER: manager,
    }


def with_secret_data(obj: KubernetesObject) -> Properties:
    """The object as properties: what a Kubernetes Secret holds is secret, wherever it came from."""
    if group_version_kind(obj)[::2] != ("", "Secret"):
        return obj
    return {key: Secret(value) if key in ("data", "stringData") else value for key, value in obj.items()}


def live_object(outputs: Mapping[str, Any]) -> KubernetesObject:
    """The live object within kept properties."""
    own = (INPUTS, INITIAL_API_VERSION, FIELD_MANAGER)
    result: KubernetesObject = to_server_keys({key: value for key, value in outputs.items() if key not in own})
    return result


def initial_api_version(outputs: Mapping[str, Any], inputs: KubernetesObject) -> str:
    """The apiVersion with which the object was first created."""
    return str(outputs.get(INITIAL_API_VERSION) or inputs.get("apiVersion") or "")


def field_manager(outputs: Mapping[str, Any], inputs: KubernetesObject) -> str:
    """Who owns the fields: what the annotation says, what was kept, or a new name of our own."""
    kept = annotation(inputs, PATCH_FIELD_MANAGER) or outputs.get(FIELD_MANAGER)
    return str(kept) if kept else f"pulumi-kubernetes-{secrets.token_hex(4)}"


def is_named(inputs: Mapping[str, Any]) -> bool:
    """Whether the program gives a name, also one that is not known yet."""
    return metadata(inputs).get("name") is UNKNOWN or inputs.get("metadata") is UNKNOWN or bool(name_of(inputs))


def wants_generated_name(inputs: Mapping[str, Any]) -> bool:
    """Whether the program leaves the name to the API server."""
    return not is_named(inputs) and bool(metadata(inputs).get("generateName"))


def give_name(inputs: KubernetesObject, old: KubernetesObject | None, resource_name: str, naming: Naming) -> None:
    """Name an object whose program does not: as it was named before, or `resource-xxxxxxxx`.

    The annotation tells later operations that a replacement may have another name.

    Raises:
        ProviderError: the stack's configuration forbids generated names.
    """
    if is_named(inputs) or wants_generated_name(inputs):
        return
    if old is not None:
        name = name_of(old) if is_annotated(old, AUTONAMED) else ""
    elif naming.mode is NamingMode.DISABLE:
        raise ProviderError("autonaming is disabled, resource requires the .metadata.name field to be set")
    else:
        digits = hashlib.sha256(naming.seed).hexdigest()[:8] if naming.seed else secrets.token_hex(4)
        name = naming.proposed or f"{resource_name}-{digits}"
    if name:
        inputs.setdefault("metadata", {})["name"] = name
        set_annotation(inputs, AUTONAMED, "true")
