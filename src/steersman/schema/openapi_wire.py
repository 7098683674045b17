"""The pieces that gnostic's messages of OpenAPI v2 and v3 are written of."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from steersman.schema.protobuf import wire
from steersman.schema.protobuf.wire import delimited, tag, varint

Write = Callable[[int, Any], bytes]
"""(field number, JSON value) -> the field as it goes out, tag and all."""
Encode = Callable[[Any], bytes]
"""A JSON value as the bytes of its message, without a tag."""


def text(number: int, value: str) -> bytes:
    return delimited(number, value.encode()) if value else b""


def texts(number: int, values: Iterable[str]) -> bytes:
    return b"".join(delimited(number, value.encode()) for value in values)


def flag(number: int, value: bool) -> bytes:
    return tag(number, wire.VARINT) + b"\x01" if value else b""


def count(number: int, value: int) -> bytes:
    return tag(number, wire.VARINT) + varint(value)


def double(number: int, value: float) -> bytes:
    return tag(number, wire.FIXED64) + struct.pack("<d", value)


def any_value(value: Any) -> bytes:
    """gnostic's ``Any``: the value as YAML, of which JSON is a part."""
    return text(2, msgspec.json.encode(value).decode() + "\n")


def named(number: int, entries: Mapping[str, Any], encode: Encode) -> bytes:
    """A map as repeated (name, value) messages."""
    return b"".join(delimited(number, text(1, name) + delimited(2, encode(value))) for name, value in entries.items())


def extensions(number: int, source: Mapping[str, Any]) -> bytes:
    return named(number, {key: value for key, value in source.items() if key.startswith("x-")}, any_value)


def one(encode: Encode) -> Write:
    """A field of one message."""
    return lambda number, value: delimited(number, encode(value))


def many(encode: Encode) -> Write:
    """A repeated field of messages."""
    return lambda number, values: b"".join([delimited(number, encode(value)) for value in values])


def by_name(encode: Encode) -> Write:
    """A field of a message whose first field is a map."""
    return lambda number, entries: delimited(number, named(1, entries, encode))


def message(fields: Mapping[str, tuple[int, Write]], *, extensions_number: int = 0) -> Encode:
    """The encoder of a message whose JSON form has ``fields``.

    What a document has beside them and ``x-…`` is not written: the format has no place for it.
    """

    def encode(source: Mapping[str, Any]) -> bytes:
        parts = [fields[key][1](fields[key][0], value) for key, value in source.items() if key in fields]
        if extensions_number:
            parts.append(extensions(extensions_number, source))
        return b"".join(parts)

    return encode
