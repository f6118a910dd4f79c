"""The form in which the API server keeps an object, so that spelling the same thing otherwise is no difference.

The real provider gets it by a round trip through Kubernetes' Go types, which leaves out what is empty and rewrites
quantities. Here the fields that are left out are told by their names, which mean the same in every built-in kind.
"""

from __future__ import annotations

import base64
import binascii
import copy
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from sandbox.providers.kubernetes.objects import KubernetesObject, group_version_kind, metadata

_SERVER_METADATA = (
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "uid",
)
_BUILT_IN = frozenset(
    {
        "",
        "admissionregistration.k8s.io",
        "apps",
        "autoscaling",
        "batch",
        "certificates.k8s.io",
        "coordination.k8s.io",
        "discovery.k8s.io",
        "events.k8s.io",
        "networking.k8s.io",
        "node.k8s.io",
        "policy",
        "rbac.authorization.k8s.io",
        "scheduling.k8s.io",
        "storage.k8s.io",
    }
)
_QUANTITIES = frozenset({"capacity", "hard", "limits", "overhead", "requests"})
_MAPS = _QUANTITIES | {
    "annotations",
    "binaryData",
    "data",
    "labels",
    "matchLabels",
    "nodeSelector",
    "parameters",
    "stringData",
}
_KEPT_EMPTY_LISTS = frozenset({"rules", "verbs"})
# An empty string is a value of its own here: "no storage class" is not "the default one".
_KEPT_EMPTY_STRINGS = frozenset(
    {"ingressClassName", "loadBalancerClass", "storageClassName", "apiGroup", "key", "name"}
)
_LEFT_OUT_FALSE = frozenset(
    {
        "hostIPC",
        "hostNetwork",
        "hostPID",
        "paused",
        "publishNotReadyAddresses",
        "readOnly",
        "stdin",
        "stdinOnce",
        "tty",
    }
)
_LEFT_OUT_ZERO = frozenset(
    {
        "failureThreshold",
        "hostPort",
        "initialDelaySeconds",
        "minReadySeconds",
        "nodePort",
        "periodSeconds",
        "successThreshold",
        "timeoutSeconds",
    }
)
_QUANTITY = re.compile(r"([+-]?)(\d+\.?\d*|\.\d+)(?:([eE][+-]?\d+)|([KMGTPE]i|[numkMGTPE]))?")
_DECIMAL = {"n": -3, "u": -2, "m": -1, "": 0, "k": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}


def normalize(obj: KubernetesObject) -> KubernetesObject:
    """A copy in the form that the API server keeps: nothing that only the server sets, and nothing empty.

    Custom resources are left as they are, since their schemas may give an empty value a meaning.
    """
    result = copy.deepcopy(obj)
    group, _, kind = group_version_kind(result)
    if (group, kind) == ("", "Secret"):
        _encode_secret(result)
    elif (group, kind) == ("apiextensions.k8s.io", "CustomResourceDefinition"):
        result.pop("status", None)
        spec = result.get("spec")
        if isinstance(spec, dict) and spec.get("preserveUnknownFields") is False:
            del spec["preserveUnknownFields"]
    if group in _BUILT_IN:
        result = _without_empties(result)
    for field in _SERVER_METADATA:
        metadata(result).pop(field, None)
    return result


def _without_empties(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_empties(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {key: item for key, item in value.items() if not _left_out(key, item)}
    return {key: _normalized_field(key, item) for key, item in kept.items()}


def _normalized_field(key: str, value: Any) -> Any:
    if key in _QUANTITIES and isinstance(value, Mapping):
        return {name: canonical_quantity(amount) for name, amount in value.items()}
    if key == "sizeLimit":
        return canonical_quantity(value)
    return value if key in _MAPS else _without_empties(value)


def _left_out(key: str, value: Any) -> bool:
    if value is None:
        return True
    if isinstance(value, dict):
        return not value and key in _MAPS
    if isinstance(value, list):
        return not value and key not in _KEPT_EMPTY_LISTS
    if isinstance(value, bool):
        return not value and key in _LEFT_OUT_FALSE
    if isinstance(value, str):
        return not value and key not in _KEPT_EMPTY_STRINGS
    return value == 0 and key in _LEFT_OUT_ZERO


def canonical_quantity(value: Any) -> Any:
    """A resource quantity as Kubernetes writes it: `0.5` is `500m`, `1024Mi` is `1Gi`; anything else is unchanged.

    The rules are those of `k8s.io/apimachinery/pkg/api/resource`: no fractions, and the largest suffix possible.
    """
    text = str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
    match = _QUANTITY.fullmatch(text) if isinstance(text, str) else None
    if match is None or match[3]:
        return value
    sign, digits, _, suffix = match.groups()
    number = Fraction(digits) * (
        1024 ** _BINARY[suffix] if suffix in _BINARY else Fraction(1000) ** _DECIMAL[suffix or ""]
    )
    sign = "-" if sign == "-" and number else ""
    if suffix in _BINARY and number >= 1024 and number.denominator == 1:
        return sign + _scaled(number, 1024, {power: name for name, power in {**_BINARY, "": 0}.items()})
    return sign + _scaled(number, 1000, {power: name for name, power in _DECIMAL.items()})


def _scaled(number: Fraction, base: int, suffixes: Mapping[int, str]) -> str:
    if not number:
        return "0"
    for power in sorted(suffixes, reverse=True):
        scaled = number / Fraction(base) ** power
        if scaled.denominator == 1:
            return f"{scaled}{suffixes[power]}"
    # Finer than a nano: rounded up, as the API server does.
    return f"{-(-number // Fraction(1, base**3))}n"


def _encode_secret(secret: KubernetesObject) -> None:
    string_data = secret.get("stringData")
    if isinstance(string_data, dict) and all(isinstance(value, str) for value in string_data.values()):
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in string_data.items()}
        data = secret.get("data")
        if encoded and (data is None or isinstance(data, dict)):
            secret["data"] = {**(data or {}), **encoded}
            del secret["stringData"]
    elif isinstance(data := secret.get("data"), dict):
        secret["data"] = {key: _reencoded(value) for key, value in data.items()}


def _reencoded(value: Any) -> Any:
    """Base64 as the API server writes it back; anything else is left for the server to refuse."""
    if not isinstance(value, str):
        return value
    try:
        return base64.b64encode(base64.b64decode(value, validate=False)).decode()
    except binascii.Error:
        return value
