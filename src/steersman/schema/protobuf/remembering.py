"""Objects from their JSON straight to the wire, where what many of them have in common is encoded once.

Objects that one controller makes differ in a few fields: environment, resources, tolerations, owned fields are the same text in all
of them. Of an object that nobody has decoded such parts stay JSON, and their encodings are looked up by that text. The bytes are
those of ``encoding.encoder``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any, TypedDict

import msgspec

from steersman.schema.protobuf import encoding, tables
from steersman.schema.protobuf.specials import SPECIALS, WRAPPINGS, Encode
from steersman.schema.protobuf.tables import Field

REMEMBERED = 2048
"""Encodings that are remembered; the one not used for longest goes first."""
REMEMBERED_BYTES = 4096
"""Longer texts are encoded each time."""
_DEPTH = 2
"""Messages so deep in an object, ``spec.containers[]``, are decoded; what is below them is looked up."""
_TIMES = frozenset({"meta.v1.Time", "meta.v1.MicroTime"})
_NULL = b"null"

FromJSON = Callable[[bytes], bytes]


@cache
def from_json(name: str) -> FromJSON:
    """The encoder of the message called ``core.v1.Pod`` for objects that are JSON still. Raises ``UnknownMessage``.

    An object of another shape than the message's is decoded as a whole: what is wrong with it is found as ever.
    """
    plain, decode_plain = encoding.encoder(name), msgspec.json.Decoder().decode
    if not _is_open(name):
        return lambda json: plain(decode_plain(json))
    encode, decode = _encoder(name, 0), msgspec.json.Decoder(_shape(name, 0)).decode

    def encode_json(json: bytes) -> bytes:
        try:
            obj = decode(json)
        except msgspec.ValidationError:
            return plain(decode_plain(json))
        return encode(obj)

    return encode_json


def _is_open(name: str) -> bool:
    """The JSON of the message is an object with the message's fields."""
    return name not in SPECIALS and name not in WRAPPINGS and not tables.message(name).element


def _is_looked_up(field: Field, depth: int) -> bool:
    """A part that tends to be the same in many objects: it says no time, and is deep or a list of what has no parts itself."""
    if field.shape == "map" or field.type in tables.SCALARS or _has_time(field.type):
        return False
    if depth == _DEPTH:
        return True
    return depth == 1 and field.shape == "list" and _is_open(field.type) and not _has_parts(field.type)


@cache
def _has_parts(name: str) -> bool:
    return any(
        field.type not in tables.SCALARS or field.is_inline or bool(field.shape)
        for field in tables.message(name).fields
    )


@cache
def _has_time(name: str) -> bool:
    return _holds_time(name, set())


def _holds_time(name: str, seen: set[str]) -> bool:
    if name in _TIMES:
        return True
    if name in seen or name in tables.SCALARS or name in SPECIALS:
        return False
    seen.add(name)
    message = tables.message(name)
    types = [message.element] if message.element else [field.type for field in message.fields]
    return any(_holds_time(type_, seen) for type_ in types)


def _is_entered(field: Field, depth: int) -> bool:
    """A part of which some is looked up."""
    return depth < _DEPTH and field.shape != "map" and field.type not in tables.SCALARS and _is_open(field.type)


def _shape(name: str, depth: int) -> Any:
    """What the object is decoded as: other parts of it than the message's are dropped, those that are looked up stay JSON."""
    return TypedDict(f"{name}_{depth}", _types(name, depth), total=False)  # type: ignore[operator]


def _types(name: str, depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in tables.message(name).fields:
        if field.is_inline:
            found |= _types(field.type, depth)
        elif _is_looked_up(field, depth):
            found[field.name] = msgspec.Raw
        elif _is_entered(field, depth):
            part: Any = _shape(field.type, depth + 1)
            found[field.name] = (list.__class_getitem__(part) if field.shape == "list" else part) | None
        else:
            found[field.name] = Any
    return found


def _encoder(name: str, depth: int) -> Encode:
    return encoding.fields_encoder(tables.message(name).fields, lambda field: _field(field, depth))


def _field(field: Field, depth: int) -> Encode:
    """A field with its tag, as ``_shape`` has it."""
    if field.is_inline:
        return encoding.message_field(field.number, _encoder(field.type, depth))
    if _is_looked_up(field, depth):
        return _looked_up(field)
    if not _is_entered(field, depth):
        return encoding.field_encoder(field)
    one = encoding.message_field(field.number, _encoder(field.type, depth + 1))
    if field.shape != "list":
        return one
    return lambda values: b"".join([one(value) for value in values])


def _looked_up(field: Field) -> Encode:
    encode, zero = encoding.field_encoder(field), encoding.zero_of(field)

    def encode_raw(raw: msgspec.Raw) -> bytes:
        json = bytes(raw)
        if json == _NULL:
            return zero
        if len(json) > REMEMBERED_BYTES:
            return encode(msgspec.json.decode(json))
        return _remembered(encode, json)

    return encode_raw


@lru_cache(maxsize=REMEMBERED)
def _remembered(encode: Encode, json: bytes) -> bytes:
    return encode(msgspec.json.decode(json))
