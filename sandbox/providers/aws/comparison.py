"""Decides whether two property values mean the same to AWS, and names what differs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sandbox.providers.base import UNKNOWN, Kind, PropertyChange

_IDENTIFIER = re.compile(r"[A-Za-z_$][\w$]*")
_MISSING = object()


def is_empty(value: Any) -> bool:
    """Whether a value says nothing: unset, or an empty text, list or map."""
    return value is None or value is _MISSING or (isinstance(value, str | list | dict) and not value)


def says_nothing(value: Any) -> bool:
    """Whether a value is what AWS would have without it: empty, false, zero, or a map of such values."""
    if isinstance(value, Mapping):
        return all(says_nothing(item) for item in value.values())
    return value is _MISSING or not value


def same(wanted: Any, found: Any) -> bool:
    """Whether `found` is what was `wanted`.

    Lists are sets, texts that are JSON documents are compared as policies, and what AWS adds by itself with an
    empty, zero or false value is ignored.
    """
    if wanted is UNKNOWN or found is UNKNOWN:
        return False
    if says_nothing(wanted) and says_nothing(found):
        return True
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        return _same_maps(wanted, found)
    if isinstance(wanted, Sequence) and isinstance(found, Sequence) and not isinstance(wanted, str):
        return _same_sets(wanted, list(found))
    equal = bool(wanted == found)
    return equal or (isinstance(wanted, str) and isinstance(found, str) and same_document(wanted, found))


def same_document(wanted: str, found: str) -> bool:
    """Whether two policy documents mean the same: order of keys and of lists, and lists of one, do not matter."""
    if not (wanted.lstrip()[:1] in ("{", "[") and found.lstrip()[:1] in ("{", "[")):
        return False
    try:
        return bool(_canonical(json.loads(wanted)) == _canonical(json.loads(found)))
    except json.JSONDecodeError:
        return False


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[PropertyChange]:
    """Every property that differs between two sets of inputs, by its path, in order; none is marked as replacing."""
    return [change for key in sorted({*old, *new}) for change in _changes(_join("", key), *_pair(old, new, key))]


def root(path: str) -> str:
    """The top-level property of a path."""
    return path[2 : path.index('"]')] if path.startswith('["') else re.split(r"[.\[]", path, maxsplit=1)[0]


def _same_maps(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    return all(same(wanted.get(key), found.get(key)) for key in wanted) and all(
        says_nothing(found[key]) for key in found if key not in wanted
    )


def _same_sets(wanted: Sequence[Any], found: list[Any]) -> bool:
    if len(wanted) != len(found):
        return False
    for item in wanted:
        match = next((index for index, candidate in enumerate(found) if same(item, candidate)), None)
        if match is None:
            return False
        del found[match]
    return True


def _canonical(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, list):
        items = sorted((_canonical(item) for item in value), key=lambda item: json.dumps(item, sort_keys=True))
        return items[0] if len(items) == 1 else items
    return value


def _changes(path: str, old: Any, new: Any) -> Iterator[PropertyChange]:
    if says_nothing(old) and says_nothing(new):
        return
    if is_empty(old) or is_empty(new):
        yield PropertyChange(path, Kind.ADD if is_empty(old) else Kind.DELETE)
    elif isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}):
            yield from _changes(_join(path, key), *_pair(old, new, key))
    elif isinstance(old, list) and isinstance(new, list):
        if not same(new, old):
            longest = max(len(old), len(new))
            for index in range(longest):
                yield from _changes(f"{path}[{index}]", _at(old, index), _at(new, index))
    elif not same(new, old):
        yield PropertyChange(path, Kind.UPDATE)


def _pair(old: Mapping[str, Any], new: Mapping[str, Any], key: str) -> tuple[Any, Any]:
    return old.get(key, _MISSING), new.get(key, _MISSING)


def _at(items: list[Any], index: int) -> Any:
    return items[index] if index < len(items) else _MISSING


def _join(path: str, key: str) -> str:
    if not _IDENTIFIER.fullmatch(key):
        return f'{path}["{key}"]'
    return f"{path}.{key}" if path else key
