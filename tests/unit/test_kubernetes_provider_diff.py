"""What the Kubernetes provider calls a difference, and which differences replace the object."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.providers.base import UNKNOWN, Kind, PropertyChange
from sandbox.providers.kubernetes.diff import merge_patch, path_text, property_changes, same
from sandbox.providers.kubernetes.objects import prune
from sandbox.providers.kubernetes.replacement import force_new_fields


def kubernetes_object(kind: str, api_version: str = "v1", **fields: Any) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "one", "namespace": "team"}, **fields}


def changes(old: dict[str, Any], new: dict[str, Any], **options: bool) -> list[PropertyChange]:
    return property_changes(old, new, force_new_fields(new, **options))


def test_equal_objects_do_not_differ() -> None:
    settings = kubernetes_object("ConfigMap", data={"a": "1"})
    assert changes(settings, {**settings}) == []


def test_one_and_one_point_zero_are_the_same_number() -> None:
    assert merge_patch({"replicas": 1}, {"replicas": 1.0}) == {}


def test_true_is_not_one() -> None:
    assert merge_patch({"flag": 1}, {"flag": True}) == {"flag": True}


def test_the_data_of_a_config_map_replaces_it() -> None:
    old = kubernetes_object("ConfigMap", data={"a": "1", "gone": "x"})
    new = kubernetes_object("ConfigMap", data={"a": "2", "b": "3"})
    assert changes(old, new) == [
        PropertyChange("data.a", Kind.UPDATE, replaces=True),
        PropertyChange("data.b", Kind.ADD, replaces=True),
        PropertyChange("data.gone", Kind.DELETE, replaces=True),
    ]


def test_the_data_of_a_config_map_is_updated_when_it_is_mutable() -> None:
    old, new = (kubernetes_object("ConfigMap", data={"a": value}) for value in "12")
    assert changes(old, new, mutable_config_maps=True) == [PropertyChange("data.a", Kind.UPDATE)]


def test_an_immutable_secret_is_replaced_even_when_secrets_are_mutable() -> None:
    old, new = (kubernetes_object("Secret", immutable=True, data={"a": value}) for value in ("MQ==", "Mg=="))
    assert changes(old, new, mutable_secrets=True) == [PropertyChange("data.a", Kind.UPDATE, replaces=True)]


def test_another_name_replaces_any_object() -> None:
    old = kubernetes_object("Widget", "example.com/v1")
    new = {**old, "metadata": {"name": "two", "namespace": "team"}}
    assert changes(old, new) == [PropertyChange("metadata.name", Kind.UPDATE, replaces=True)]


def at(path: str, value: Any) -> Any:
    """An object that holds one value at a path; `0` is the first of a list."""
    for step in reversed(path.split(".")):
        value = [value] if step == "0" else {step: value}
    return value


@pytest.mark.parametrize(
    ("kind", "api_version", "path"),
    [
        ("Deployment", "apps/v1", "spec.selector.matchLabels.app"),
        ("Service", "v1", "spec.clusterIP"),
        ("StatefulSet", "apps/v1", "spec.serviceName"),
        ("Job", "batch/v1", "spec.template.spec.nodeName"),
        ("Pod", "v1", "spec.containers.0.image"),
        ("RoleBinding", "rbac.authorization.k8s.io/v1", "roleRef.name"),
        ("StorageClass", "storage.k8s.io/v1", "provisioner"),
    ],
)
def test_what_cannot_be_changed_in_place_replaces(kind: str, api_version: str, path: str) -> None:
    old, new = (kubernetes_object(kind, api_version, **at(path, value)) for value in "ab")
    assert changes(old, new) == [PropertyChange(path.replace(".0", "[0]"), Kind.UPDATE, replaces=True)]


def test_adding_a_whole_block_that_holds_an_immutable_field_replaces() -> None:
    old = kubernetes_object("Service")
    new = kubernetes_object("Service", spec={"clusterIP": "None"})
    assert changes(old, new) == [PropertyChange("spec", Kind.ADD, replaces=True)]


def test_a_value_that_is_not_known_yet_is_a_change() -> None:
    old = kubernetes_object("Widget", "example.com/v1", spec={"size": 1})
    new = kubernetes_object("Widget", "example.com/v1", spec={"size": UNKNOWN, "more": UNKNOWN})
    assert changes(old, new) == [PropertyChange("spec.more", Kind.ADD), PropertyChange("spec.size", Kind.UPDATE)]


def test_lists_are_compared_by_position_and_key() -> None:
    old = kubernetes_object("Widget", "example.com/v1", spec={"parts": [{"a": 1, "b": 1}, {"a": 2}, {"a": 3}]})
    new = kubernetes_object("Widget", "example.com/v1", spec={"parts": [{"a": 1}, {"a": 5}]})
    assert changes(old, new) == [
        PropertyChange("spec.parts[0].b", Kind.DELETE),
        PropertyChange("spec.parts[1].a", Kind.UPDATE),
        PropertyChange("spec.parts[2]", Kind.DELETE),
    ]


def test_what_others_added_to_the_live_object_is_no_difference() -> None:
    asked = kubernetes_object("Widget", "example.com/v1", spec={"size": 1, "parts": [{"a": 1}]})
    live = kubernetes_object(
        "Widget", "example.com/v1", spec={"size": 1, "set": "by others", "parts": [{"a": 1, "b": 2}]}
    )
    assert changes(prune(live, asked), asked) == []


def test_paths_are_written_as_the_engine_reads_them() -> None:
    path = ("metadata", "annotations", 'a.b/"c"')
    assert path_text(path) == 'metadata.annotations["a.b/\\"c\\""]'
    assert path_text(("spec", "containers", 0, "image")) == "spec.containers[0].image"


_SCALARS = st.booleans() | st.integers(-5, 5) | st.text("ab", max_size=2)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
_OBJECTS = st.dictionaries(st.sampled_from("abc"), _VALUES, max_size=3)


def apply_patch(target: Any, patch: Any) -> Any:
    """The algorithm of RFC 7386, section 2."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = apply_patch(result.get(key), value)
    return result


@given(old=_OBJECTS, new=_OBJECTS)
def test_a_merge_patch_makes_the_new_object_of_the_old_one(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert same(apply_patch(old, merge_patch(old, new)), new)


@given(old=_OBJECTS, new=_OBJECTS)
def test_there_is_a_change_exactly_when_the_objects_differ(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert bool(property_changes(old, new, ())) == (not same(old, new))


@given(live=_OBJECTS, asked=_OBJECTS)
def test_pruning_twice_is_pruning_once(live: dict[str, Any], asked: dict[str, Any]) -> None:
    pruned = prune(live, asked)
    assert prune(pruned, asked) == pruned
    assert pruned.keys() <= asked.keys()
