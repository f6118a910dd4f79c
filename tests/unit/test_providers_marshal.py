"""Values cross between the engine and a provider unchanged, and secrets never turn plain on the way."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.providers.marshal import (
    OUTPUT,
    SIGNATURE,
    UNKNOWN,
    UNKNOWNS,
    Secret,
    decode,
    encode,
    has_secret,
    has_unknown,
    keep_secrets,
    plain,
)

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False).filter(lambda number: not number.is_integer()),
    st.text().filter(lambda text: text not in UNKNOWNS),
    st.just(UNKNOWN),
)
keys = st.text(min_size=1).filter(lambda key: key != SIGNATURE)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3)),
    max_leaves=8,
)
properties = st.dictionaries(keys, values | values.map(Secret), max_size=5)


@settings(deadline=None)
@given(properties)
def test_what_is_encoded_decodes_to_the_same(given: dict[str, object]) -> None:
    assert decode(encode(given)) == given


def test_every_kind_of_unknown_is_understood() -> None:
    assert all(decode(encode({"value": sentinel})) == {"value": UNKNOWN} for sentinel in UNKNOWNS)


def test_an_output_value_is_what_it_holds() -> None:
    known = {SIGNATURE: OUTPUT, "value": "a", "secret": True, "dependencies": ["urn"]}
    assert decode(encode({"known": known, "later": {SIGNATURE: OUTPUT}})) == {"known": Secret("a"), "later": UNKNOWN}


def test_a_value_without_representation_is_named_by_its_type_alone() -> None:
    with pytest.raises(TypeError, match="bytes") as raised:
        encode({"password": b"hunter2"})
    assert "hunter2" not in str(raised.value)


def test_secrets_are_hidden_in_text_and_found_at_any_depth() -> None:
    nested = {"a": [{"b": Secret({"c": UNKNOWN})}]}
    assert "hunter2" not in repr(Secret("hunter2"))
    assert has_secret(nested)
    assert has_unknown(nested)
    assert plain(nested) == {"a": [{"b": {"c": UNKNOWN}}]}
    assert not has_secret(plain(nested))


def test_secrets_are_kept_by_name_and_lists_as_a_whole() -> None:
    inputs = {"tags": {"token": Secret("x"), "open": "y"}, "rules": [{"key": Secret("z")}], "gone": Secret(1)}
    outputs = {"tags": {"token": "new", "open": "y"}, "rules": [{"key": "new"}, {}], "arn": "arn"}
    assert keep_secrets(outputs, inputs) == {
        "tags": {"token": Secret("new"), "open": "y"},
        "rules": Secret([{"key": "new"}, {}]),
        "arn": "arn",
    }


def test_a_secret_repeated_under_another_name_is_kept_too() -> None:
    kept = keep_secrets({"tags": {"a": "hunter2"}, "all": [{"a": "hunter2"}]}, {"tags": {"a": Secret("hunter2")}})
    assert kept == {"tags": {"a": Secret("hunter2")}, "all": [{"a": Secret("hunter2")}]}
