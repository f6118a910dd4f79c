"""Renames nested properties between Pulumi's camelCase and AWS's PascalCase."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sandbox.providers.aws.comparison import is_empty


def to_aws(value: Any, names: Mapping[str, str] | None = None) -> Any:
    """A value as the AWS API has it; `names` gives the keys that do not follow the rule. Empty values are left out."""
    if isinstance(value, Mapping):
        items = {(names or {}).get(key, key[:1].upper() + key[1:]): to_aws(item, names) for key, item in value.items()}
        return {key: item for key, item in items.items() if item is not None and item != ""}
    if isinstance(value, list):
        return [to_aws(item, names) for item in value]
    return value


def from_aws(value: Any, names: Mapping[str, str] | None = None) -> Any:
    """A value as the Pulumi package has it; `names` is the one given to `to_aws`."""
    back = {aws: pulumi for pulumi, aws in (names or {}).items()}
    return _from_aws(value, back)


def _from_aws(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {names.get(key, key[:1].lower() + key[1:]): _from_aws(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [_from_aws(item, names) for item in value]
    return value


def pruned(value: Any) -> Any:
    """A value without its empty parts, and with dates as text."""
    if isinstance(value, Mapping):
        items = {key: pruned(item) for key, item in value.items()}
        return {key: item for key, item in items.items() if not is_empty(item)}
    if isinstance(value, list):
        return [pruned(item) for item in value]
    return value.isoformat() if isinstance(value, datetime) else value


def pairs(tags: Mapping[str, str] | None, *, key: str = "Key", value: str = "Value") -> list[dict[str, str]]:
    """Tags as the list of pairs that most services take, in the order of their names."""
    return [{key: name, value: text} for name, text in sorted((tags or {}).items())]


def tag_map(found: list[dict[str, str]] | None, *, key: str = "Key", value: str = "Value") -> dict[str, str]:
    """Tags as a map, without those that AWS itself sets."""
    return {tag[key]: tag[value] for tag in found or [] if not tag[key].startswith("aws:")}


def stale(found: Mapping[str, str], wanted: Mapping[str, str] | None) -> list[str]:
    """The names of the tags that are there and not wanted."""
    return sorted(found.keys() - (wanted or {}).keys())
