"""The difference between what is in the cluster and what is asked for, property by property.

The rules are those of pulumi-kubernetes (`convertPatchToDiff` in `provider/pkg/provider/provider.go`, v4.30.0): the
live object, pruned to what was asked for before, is compared with the new inputs by a JSON merge patch (RFC 7386).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sandbox.providers.base import UNKNOWN, Kind, PropertyChange
from sandbox.providers.kubernetes.replacement import Path, forces_replacement


class _Missing:
    """Marks a key that is not there, apart from one whose value is null."""


MISSING = _Missing()


def merge_patch(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The JSON merge patch (RFC 7386) that makes `new` of `old`; unknown values become null."""
    patch: dict[str, Any] = {}
    for key, value in new.items():
        wanted = None if value is UNKNOWN else value
        if key not in old:
            patch[key] = _without_unknowns(wanted)
        elif isinstance(wanted, dict) and isinstance(old[key], dict):
            if nested := merge_patch(old[key], wanted):
                patch[key] = nested
        elif not same(old[key], wanted):
            patch[key] = _without_unknowns(wanted)
    patch.update({key: None for key in old if key not in new})
    return patch


def _without_unknowns(value: Any) -> Any:
    if value is UNKNOWN:
        return None
    if isinstance(value, dict):
        return {key: _without_unknowns(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_unknowns(item) for item in value]
    return value


def same(left: Any, right: Any) -> bool:
    """Equality as JSON has it: 1 and 1.0 are the same number, 1 and true are not the same value."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


def property_changes(old: dict[str, Any], new: dict[str, Any], force_new: Sequence[str]) -> list[PropertyChange]:
    """The changes from the pruned live object to the new inputs, in the order of their paths.

    Args:
        old: the live object, pruned to the shape of the old inputs.
        new: the new inputs, where a preview may have unknown values.
        force_new: the fields whose change replaces the object.
    """
    differ = _Differ(force_new)
    differ.compare_maps((), merge_patch(old, new), old, new, old, in_list=False)
    return sorted(differ.changes, key=lambda change: change.path)


@dataclass
class _Differ:
    force_new: Sequence[str]
    changes: list[PropertyChange] = field(default_factory=list)

    def compare(self, path: Path, patched: Any, old: Any, new: Any, asked: Any, in_list: bool) -> None:
        if new is MISSING and (patched is not None or asked is MISSING):
            return
        kind = Kind.UPDATE
        if patched is None and new is not UNKNOWN:
            kind = Kind.DELETE
        elif old is MISSING:
            kind = Kind.ADD
        elif isinstance(patched, dict) and isinstance(old, dict):
            self.compare_maps(path, patched, old, _as_map(new), _as_map(asked), in_list)
            return
        elif isinstance(patched, list) and isinstance(old, list):
            self.compare_lists(path, patched, old, _as_list(new), _as_list(asked))
            return
        elif same(patched, old):
            return
        replaces = forces_replacement(path, patched, self.force_new)
        self.changes.append(PropertyChange(path_text(path), kind, replaces))

    def compare_maps(self, path: Path, patched: dict[str, Any], old: Any, new: Any, asked: Any, in_list: bool) -> None:
        for key, value in patched.items():
            at = (old.get(key, MISSING), new.get(key, MISSING), asked.get(key, MISSING))
            self.compare((*path, key), value, *at, in_list)
        if not in_list:
            return
        # A merge patch holds lists whole, so keys that went away inside one are not null in it.
        for key, value in old.items():
            if key not in patched:
                self.compare((*path, key), None, value, new.get(key, MISSING), asked.get(key, MISSING), True)

    def compare_lists(self, path: Path, patched: list[Any], old: list[Any], new: list[Any], asked: list[Any]) -> None:
        for index in range(max(len(patched), len(old))):
            value = patched[index] if index < len(patched) else None
            before = old[index] if index < len(old) else MISSING
            at = (_item(new, index), _item(asked, index))
            self.compare((*path, index), value, before, *at, True)


def _as_map(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _item(values: list[Any], index: int) -> Any:
    return values[index] if index < len(values) else None


def path_text(path: Path) -> str:
    """Write a path as Pulumi does: `spec.containers[0].image`, `metadata.annotations["a.b/c"]`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif any(character in step for character in '."[]'):
            escaped = step.replace('"', '\\"')
            text += f'["{escaped}"]'
        else:
            text += f".{step}" if text else step
    return text
