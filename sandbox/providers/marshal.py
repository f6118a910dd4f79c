"""Carries property values between the engine's protobuf structs and plain Python, with secrets and unknowns.

The signature keys and the unknown sentinels are those of the engine's plugin protocol
(`sdk/go/common/resource/plugin/rpc.go` in pulumi/pulumi).
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Any, Final

from google.protobuf import struct_pb2

Properties = dict[str, Any]
"""Property values by camelCase name: JSON values, `UNKNOWN` and `Secret`."""

SIGNATURE: Final = "4dabf18193072939515e22adb298388d"
SECRET: Final = "1b47061264138c4ac30d75fd1eb44270"
OUTPUT: Final = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
UNKNOWN_STRING: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
UNKNOWNS: Final = frozenset(
    {
        UNKNOWN_STRING,
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
        "030794c1-ac77-496b-92df-f27374a8bd58",
        "e48ece36-62e2-4504-bad9-02848725956a",
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
    }
)


class Unknown(enum.Enum):
    """The type of `UNKNOWN`, so that it can be named in annotations and compared by identity."""

    TOKEN = "unknown"

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = Unknown.TOKEN
"""A value that a preview cannot know yet."""


@dataclass(frozen=True)
class Secret:
    """A value that the engine encrypts in its state and hides in its output; hidden in `repr` too."""

    value: Any = field(repr=False)


def decode(struct: struct_pb2.Struct) -> Properties:
    """Read the engine's struct; whole numbers become `int`, secrets `Secret`, unknowns `UNKNOWN`."""
    return {key: _decode_value(value) for key, value in struct.fields.items()}


def encode(properties: Mapping[str, Any]) -> struct_pb2.Struct:
    """Write properties as the engine's struct.

    Raises:
        TypeError: a value has no representation, named by its type alone since it may be a secret.
    """
    return struct_pb2.Struct(fields={key: _encode_value(value) for key, value in properties.items()})


def plain(value: Any) -> Any:
    """The value without its `Secret` wrappers, at any depth; unknowns stay."""
    if isinstance(value, Secret):
        return plain(value.value)
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def has_secret(value: Any) -> bool:
    """Whether a `Secret` is anywhere within the value."""
    return _any(value, lambda item: isinstance(item, Secret))


def has_unknown(value: Any) -> bool:
    """Whether `UNKNOWN` is anywhere within the value, secrets included."""
    return _any(plain(value), lambda item: item is UNKNOWN)


def keep_secrets(values: Mapping[str, Any], like: Mapping[str, Any]) -> Properties:
    """Wrap every value whose namesake in `like` is or contains a secret, and every text that is one of its secrets.

    Maps are followed key by key; a list with a secret in it is secret as a whole, because its items may
    have moved. This is what the engine does itself for providers that do not accept secrets. A secret that
    is repeated elsewhere, as tags are in `tagsAll`, is found by its text.
    """
    marked = _by_name(values, like)
    texts = {text for text in _secret_texts(like) if text}
    return {key: _by_text(value, texts) for key, value in marked.items()} if texts else marked


def _by_name(values: Mapping[str, Any], like: Mapping[str, Any]) -> Properties:
    result: Properties = dict(values)
    for key, marked in like.items():
        if key not in result or isinstance(result[key], Secret):
            continue
        if isinstance(marked, Mapping) and isinstance(result[key], Mapping):
            result[key] = _by_name(result[key], marked)
        elif has_secret(marked):
            result[key] = Secret(plain(result[key]))
    return result


def _secret_texts(value: Any, *, secret: bool = False) -> Iterator[str]:
    if isinstance(value, Secret):
        yield from _secret_texts(value.value, secret=True)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _secret_texts(item, secret=secret)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _secret_texts(item, secret=secret)
    elif secret and isinstance(value, str):
        yield value


def _by_text(value: Any, texts: Set[str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _by_text(item, texts) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_by_text(item, texts) for item in value]
    return Secret(value) if isinstance(value, str) and value in texts else value


def _any(value: Any, matches: Any) -> bool:
    if matches(value):
        return True
    if isinstance(value, Mapping):
        return any(_any(item, matches) for item in value.values())
    if isinstance(value, list | tuple):
        return any(_any(item, matches) for item in value)
    return False


def _decode_value(value: struct_pb2.Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return _decode_object(value.struct_value)
    if kind == "list_value":
        return [_decode_value(item) for item in value.list_value.values]
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() else number
    if kind == "string_value":
        return UNKNOWN if value.string_value in UNKNOWNS else value.string_value
    if kind == "bool_value":
        return value.bool_value
    return None


def _decode_object(struct: struct_pb2.Struct) -> Any:
    signature = struct.fields[SIGNATURE].string_value if SIGNATURE in struct.fields else ""
    if signature == SECRET:
        return Secret(plain(_decode_value(struct.fields["value"])))
    if signature == OUTPUT:
        value = plain(_decode_value(struct.fields["value"])) if "value" in struct.fields else UNKNOWN
        secret = "secret" in struct.fields and struct.fields["secret"].bool_value
        return Secret(value) if secret else value
    return decode(struct)


def _encode_value(value: Any) -> struct_pb2.Value:
    if value is None:
        return struct_pb2.Value(null_value=struct_pb2.NULL_VALUE)
    if value is UNKNOWN:
        return struct_pb2.Value(string_value=UNKNOWN_STRING)
    if isinstance(value, Secret):
        return struct_pb2.Value(struct_value=encode({SIGNATURE: SECRET, "value": plain(value.value)}))
    if isinstance(value, bool):
        return struct_pb2.Value(bool_value=value)
    if isinstance(value, int | float):
        return struct_pb2.Value(number_value=value)
    if isinstance(value, str):
        return struct_pb2.Value(string_value=value)
    if isinstance(value, Mapping):
        return struct_pb2.Value(struct_value=encode(value))
    if isinstance(value, list | tuple):
        items = [_encode_value(item) for item in value]
        return struct_pb2.Value(list_value=struct_pb2.ListValue(values=items))
    raise TypeError(f"a value of type {type(value).__name__} cannot be sent to the Pulumi engine")
