"""From JSON objects to wire bytes, as Go's generated code writes them: fields by number, keys of maps sorted, and every
field that is no pointer also when it is zero.

A message is compiled when it is first met, to a list of its zero fields' bytes and a closure for each field: only the fields
that an object has cost anything.
"""

from __future__ import annotations

import binascii
import struct
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from steersman.schema.protobuf import tables, wire
from steersman.schema.protobuf.specials import SPECIALS, WRAPPINGS, Encode
from steersman.schema.protobuf.tables import Field
from steersman.schema.protobuf.wire import delimited, tag, varint

_SIZES = tuple(varint(size) for size in range(512))
"""Lengths as they are written: most are small."""
_TRUE, _FALSE = b"\x01", b"\x00"


def _size(size: int) -> bytes:
    return _SIZES[size] if size < 512 else varint(size)


@cache
def encoder(name: str) -> Encode:
    """The encoder of the message called ``core.v1.Pod``. Raises ``UnknownMessage``."""
    special = SPECIALS.get(name)
    if special is not None:
        return special.encode
    message = tables.message(name)
    if message.element:
        return _list_encoder(1, message.element)
    fields = fields_encoder(message.fields, field_encoder)
    wrapping = WRAPPINGS.get(name)
    if wrapping is None:
        return fields
    wrap = wrapping.wrap
    return lambda value: fields(wrap(value))


def fields_encoder(fields: Sequence[Field], make: Callable[[Field], Encode]) -> Encode:
    """The encoder of a message; ``make`` gives that of each field, with its tag."""
    zeros: list[bytes] = []
    slots: dict[str, tuple[int, Encode]] = {}
    inline: list[tuple[int, Encode]] = []
    for index, field in enumerate(fields):
        zeros.append(zero_of(field))
        if field.is_inline:
            inline.append((index, make(field)))
        else:
            slots[field.name] = (index, make(field))
    slot_of = slots.get

    def encode(obj: Mapping[str, Any]) -> bytes:
        parts = zeros.copy()
        for key, value in obj.items():
            slot = slot_of(key)
            if slot is not None and value is not None:
                parts[slot[0]] = slot[1](value)
        for index, encode_inline in inline:
            parts[index] = encode_inline(obj)
        return b"".join(parts)

    return encode


def zero_of(field: Field) -> bytes:
    """What Go writes where the JSON object does not have the field."""
    if field.is_pointer or field.shape or field.type == "bytes":
        return b""
    if field.type == "string":
        return delimited(field.number, b"")
    if field.type == "double":
        return tag(field.number, wire.FIXED64) + bytes(8)
    if field.type in tables.SCALARS:
        return tag(field.number, wire.VARINT) + b"\x00"
    special = SPECIALS.get(field.type)
    if special is not None:
        return delimited(field.number, special.zero)
    if tables.message(field.type).element:  # a nil list
        return b""
    return delimited(field.number, encoder(field.type)({}))


def field_encoder(field: Field) -> Encode:
    """A field with its tag. Of an inline one: of the object that it stands in."""
    if field.shape == "list":
        return _list_encoder(field.number, field.type)
    if field.shape == "map":
        return _map_encoder(field.number, field.type)
    return _single_encoder(field.number, field.type)


def _single_encoder(number: int, name: str) -> Encode:
    """A field with its tag."""
    if name == "string":
        return _string_encoder(number)
    if name == "double":
        head = tag(number, wire.FIXED64)
        return lambda value: head + struct.pack("<d", value)
    if name == "bool":
        yes, no = tag(number, wire.VARINT) + _TRUE, tag(number, wire.VARINT) + _FALSE
        return lambda value: yes if value else no
    if name == "bytes":
        head = tag(number, wire.BYTES)
        return lambda value: _bytes_field(head, value)
    if name in tables.SCALARS:
        head = tag(number, wire.VARINT)
        return lambda value: head + varint(value)
    return _message_encoder(number, name)


def _bytes_field(head: bytes, value: str) -> bytes:
    data = binascii.a2b_base64(value)
    return head + _size(len(data)) + data


def _string_encoder(number: int) -> Encode:
    head = tag(number, wire.BYTES)

    def encode(value: str) -> bytes:
        data = value.encode()
        size = len(data)
        return head + (_SIZES[size] if size < 512 else varint(size)) + data

    return encode


def message_field(number: int, encode_message: Encode) -> Encode:
    """A field of a message that is compiled already."""
    head = tag(number, wire.BYTES)

    def encode(value: Any) -> bytes:
        data = encode_message(value)
        size = len(data)
        return head + (_SIZES[size] if size < 512 else varint(size)) + data

    return encode


def _message_encoder(number: int, name: str) -> Encode:
    """Compiles the message when a first value of it is met: messages contain themselves, and most are never met."""
    head = tag(number, wire.BYTES)
    encode_message: Encode | None = None

    def encode(value: Any) -> bytes:
        nonlocal encode_message
        if encode_message is None:
            encode_message = encoder(name)
        data = encode_message(value)
        size = len(data)
        return head + (_SIZES[size] if size < 512 else varint(size)) + data

    return encode


def _list_encoder(number: int, name: str) -> Encode:
    encode_item = _single_encoder(number, name)
    return lambda values: b"".join([encode_item(value) for value in values])


def _map_encoder(number: int, name: str) -> Encode:
    head = tag(number, wire.BYTES)
    encode_key, encode_value = _string_encoder(1), _single_encoder(2, name)

    def encode(values: Mapping[str, Any]) -> bytes:
        parts = []
        for key in sorted(values):
            entry = encode_key(key) + encode_value(values[key])
            parts.append(head + _size(len(entry)) + entry)
        return b"".join(parts)

    return encode
