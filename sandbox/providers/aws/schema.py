"""Describes a resource type as data: its inputs, defaults and name, and what a change of each means."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from typing import Any

from sandbox.providers.aws.comparison import changes, root, same, says_nothing
from sandbox.providers.base import (
    UNKNOWN,
    Checked,
    Difference,
    Kind,
    Naming,
    NamingMode,
    Problem,
    Properties,
    PropertyChange,
)

DEFAULTS = "__defaults"
"""The input in which the real provider keeps the names of the inputs that it filled in itself."""

_SUFFIX_DIGITS = 7


@dataclass(frozen=True)
class AutoName:
    """How a type is named when the program gives no name: the resource's name, a dash and seven random digits.

    Attributes:
        property: the input that holds the name.
        longest: how long a name may be.
        prefix_property: the input that gives a prefix instead; empty when the type has none.
        shape: the last touch, such as lower case.
    """

    property: str = "name"
    longest: int = 255
    prefix_property: str = "namePrefix"
    shape: Callable[[str], str] = str

    def choose(self, resource: str, prefix: str | None, naming: Naming) -> str:
        """The name for a resource of the program, or a name that begins with `prefix`."""
        if naming.proposed and not prefix:
            return naming.proposed if naming.mode is NamingMode.ENFORCE else self.shape(naming.proposed)[: self.longest]
        suffix = naming.seed.hex()[:_SUFFIX_DIGITS].ljust(_SUFFIX_DIGITS, "0")
        start = prefix or f"{resource}-"
        return self.shape(start[: self.longest - _SUFFIX_DIGITS] + suffix)


@dataclass(frozen=True, kw_only=True)
class Schema:
    """What is known of a resource type before any call. Property names are those of the `aws` package.

    Attributes:
        token: the type's token.
        inputs: the inputs that the stand-in applies; any other is refused, since ignoring it would be a lie.
        required: inputs that must be given.
        replaces: inputs, or `input.part`, whose change makes a new resource.
        replaces_by: inputs, or `input.part`, of which only these kinds of change make a new resource.
        computed: outputs, or `output.part`, that are unknown until the resource exists.
        defaults: inputs that are filled in when not given.
        sticky: inputs, or `input.part`, that, once left out, stay as they are instead of going back to a default.
        local: inputs that only the provider itself knows of.
        documents: inputs that hold a policy document, as text or as a map.
        texts: inputs, or `input.part`, that are texts, though a program may give a number.
        references: inputs that may name something by its ARN or by the last part of it.
        name: how to name the resource; None for types without a name of their own.
        regional: whether the resource lives in a region.
    """

    token: str
    inputs: frozenset[str]
    required: frozenset[str] = frozenset()
    replaces: frozenset[str] = frozenset()
    replaces_by: Mapping[str, Set[Kind]] = field(default_factory=dict)
    computed: frozenset[str] = frozenset()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    sticky: frozenset[str] = frozenset()
    local: frozenset[str] = frozenset()
    documents: frozenset[str] = frozenset()
    texts: frozenset[str] = frozenset()
    references: frozenset[str] = frozenset()
    name: AutoName | None = None
    regional: bool = True

    @property
    def tagged(self) -> bool:
        """Whether the type has tags."""
        return "tags" in self.inputs

    @property
    def known(self) -> frozenset[str]:
        """Every input that is accepted."""
        return self.inputs | ({"region"} if self.regional else frozenset())

    @property
    def replacing(self) -> frozenset[str]:
        """Every input whose change makes a new resource."""
        named = {self.name.property, self.name.prefix_property} if self.name else set()
        return self.replaces | named | ({"region"} if self.regional else frozenset())

    def check(
        self,
        resource: str,
        old: Properties | None,
        new: Properties,
        naming: Naming,
        default_tags: Mapping[str, str],
    ) -> Checked:
        """Validate inputs and fill in defaults, tags and the name."""
        inputs = {key: value for key, value in new.items() if value is not None and key != DEFAULTS}
        found = [
            Problem(key, f"the stand-in aws provider does not support {key} of {self.token}")
            for key in sorted(inputs.keys() - self.known)
        ]
        found += [Problem(key, f"missing required property {key}") for key in sorted(self.required - inputs.keys())]
        filled = {key: value for key, value in self.defaults.items() if key not in inputs}
        inputs |= filled
        for key in self.documents & inputs.keys():
            if isinstance(inputs[key], Mapping):
                inputs[key] = json.dumps(inputs[key])
        for key in self.texts:
            _make_text(inputs, key.split("."))
        if self.tagged and default_tags and isinstance(inputs.get("tags", {}), dict):
            inputs["tags"] = {**default_tags, **inputs.get("tags", {})}
        if self.name and self.name.property not in inputs:
            found += self._fill_name(resource, old or {}, inputs, naming)
            filled[self.name.property] = None
        inputs[DEFAULTS] = sorted(filled)
        return Checked(inputs, found)

    def _fill_name(self, resource: str, old: Properties, inputs: Properties, naming: Naming) -> list[Problem]:
        assert self.name is not None
        prefix = inputs.get(self.name.prefix_property)
        kept = old.get(self.name.property)
        if kept and self.name.property in old.get(DEFAULTS, ()) and old.get(self.name.prefix_property) == prefix:
            inputs[self.name.property] = kept
        elif naming.mode is NamingMode.DISABLE and not prefix:
            return [Problem(self.name.property, "automatic naming is disabled: give the resource a name")]
        else:
            inputs[self.name.property] = self.name.choose(resource, prefix, naming)
        return []

    def difference(self, old: Properties, new: Properties) -> Difference:
        """What changes between two sets of checked inputs, and whether that takes a new resource."""
        found = [
            PropertyChange(change.path, change.kind, self._replaces(change))
            for change in changes(self._compared(old), self._compared(new))
            if not (change.kind is Kind.DELETE and change.path in self.sticky)
        ]
        return Difference(found, self._deletes_first(new, found))

    def _replaces(self, change: PropertyChange) -> bool:
        parts = {change.path.partition("[")[0], root(change.path)}
        return bool(parts & self.replacing) or change.kind in self.replaces_by.get(change.path, ())

    def _compared(self, inputs: Properties) -> Properties:
        return {key: value for key, value in inputs.items() if key in self.known}

    def _deletes_first(self, new: Properties, found: list[PropertyChange]) -> bool:
        """Whether the replacement would have the name that the old resource still holds."""
        if self.name is None or not any(change.replaces for change in found):
            return False
        automatic = self.name.property in new.get(DEFAULTS, ())
        moved = any(change.path in (self.name.property, "region") for change in found)
        return not automatic and not moved

    def same(self, key: str, wanted: Any, found: Any) -> bool:
        """Whether an input is as wanted."""
        if key in self.references and isinstance(wanted, str) and isinstance(found, str):
            return wanted.rpartition("/")[2] == found.rpartition("/")[2]
        if isinstance(wanted, Mapping) and isinstance(found, Mapping):
            found = {
                part: value for part, value in found.items() if part in wanted or f"{key}.{part}" not in self.sticky
            }
        return same(wanted, found)

    def expected(self, inputs: Properties) -> Properties:
        """The outputs as far as a preview knows them."""
        expected: Properties = {key: UNKNOWN for key in self.computed if "." not in key}
        expected |= {key: value for key, value in inputs.items() if key != DEFAULTS}
        for key, part in self._computed_parts():
            if isinstance(expected.get(key), Mapping):
                expected[key] = {part: UNKNOWN, **expected[key]}
        return expected

    def merged(self, live: Properties, inputs: Properties) -> Properties:
        """The outputs: as found, but in the words of the inputs where these say the same."""
        words = {
            key: value
            for key, value in inputs.items()
            if key in self.local or (key in self.known and (key not in live or self.same(key, value, live[key])))
        }
        for key, part in self._computed_parts():
            if isinstance(words.get(key), Mapping) and part in live.get(key, {}):
                words[key] = {part: live[key][part], **words[key]}
        return {**live, **words}

    def _computed_parts(self) -> list[tuple[str, str]]:
        return [(key.split(".")[0], key.split(".")[1]) for key in sorted(self.computed) if "." in key]

    def inputs_of(self, live: Properties, old: Properties) -> Properties:
        """The inputs that describe the resource as it is, in the words of the `old` ones where these still hold.

        `old` is empty for an import, which takes every input that is set to something of its own.
        """
        inputs: Properties = {}
        for key in self.known:
            value = live.get(key)
            if key in self.local:
                value = old.get(key, self.defaults.get(key))
            elif key in old:
                value = old[key] if self.same(key, old[key], value) else value
            elif key in self.sticky | {"region"} and old:
                continue
            if key in old or key in self.defaults or not says_nothing(value):
                inputs[key] = value
        inputs = {key: value for key, value in inputs.items() if value is not None}
        return {**inputs, DEFAULTS: old.get(DEFAULTS, [])}


def _make_text(inputs: Properties, path: list[str]) -> None:
    """Turn a number at the path into text, as the real provider does by its own types."""
    first, rest = path[0], path[1:]
    value = inputs.get(first)
    if rest and isinstance(value, Mapping):
        inputs[first] = dict(value)
        _make_text(inputs[first], rest)
    elif not rest and isinstance(value, int | float) and not isinstance(value, bool):
        inputs[first] = str(value)
