"""Messages whose JSON is not an object of their fields: quantities, times, free JSON, one-of-several forms.

Source: the marshalling methods of these types in k8s.io/apimachinery and k8s.io/apiextensions-apiserver, v1.36.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct

from steersman.schema.protobuf import wire
from steersman.schema.protobuf.wire import MalformedMessage, delimited, read_varint, varint

Encode = Callable[[Any], bytes]
"""JSON value -> the message's bytes, without tag and length."""
Decode = Callable[[bytes, int, int, int], Any]
"""(data, start, end, depth) -> JSON value; None where the field is to be absent."""

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()
_ENVELOPE_DEPTH = wire.MAX_DEPTH // 8
"""What an object within an object counts for: each costs copies of all that is in it."""
MAGIC = b"k8s\x00"
"""Before everything in this media type, so that it is told from JSON."""


class Special(Struct, frozen=True, kw_only=True):
    """How one such message is written and read."""

    encode: Encode
    decode: Decode
    zero: bytes = b""
    """Of a field that is no pointer and that the JSON object does not have."""
    absent: Any = None
    """The JSON of such a field that the wire does not have; None: absent there too."""


def fields_of(data: bytes, start: int, end: int) -> dict[int, Any]:
    """A small message as {number: int or bytes}, the last of each. Raises ``MalformedMessage``."""
    found: dict[int, Any] = {}
    position = start
    while position < end:
        key, position = read_varint(data, position)
        if key & 7 == wire.VARINT:
            found[key >> 3], position = read_varint(data, position)
        elif key & 7 == wire.BYTES:
            size, position = read_varint(data, position)
            found[key >> 3] = data[position : position + size]
            position += size
        else:
            position = wire.skip(data, position, key & 7)
    if position != end:
        raise MalformedMessage("unexpected EOF")
    return found


def bytes_at(found: Mapping[int, Any], number: int) -> bytes:
    """One of ``fields_of``. Raises ``MalformedMessage``."""
    value = found.get(number, b"")
    if not isinstance(value, bytes):
        raise MalformedMessage(f"proto: wrong wireType = 0 for field {number}")
    return value


def _number_at(found: Mapping[int, Any], number: int) -> int:
    value = found.get(number, 0)
    if not isinstance(value, int):
        raise MalformedMessage(f"proto: wrong wireType = 2 for field {number}")
    return value


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _encode_quantity(value: Any) -> bytes:
    return delimited(1, str(value).encode())


def _decode_quantity(data: bytes, start: int, end: int, depth: int) -> Any:
    return _text(bytes_at(fields_of(data, start, end), 1)) or "0"


def _encode_int_or_string(value: Any) -> bytes:
    if isinstance(value, int):
        return b"\x08\x00\x10" + varint(value) + b"\x1a\x00"
    return b"\x08\x01\x10\x00" + delimited(3, value.encode())


def _decode_int_or_string(data: bytes, start: int, end: int, depth: int) -> Any:
    found = fields_of(data, start, end)
    if _number_at(found, 1):
        return _text(bytes_at(found, 3))
    return wire.signed32(_number_at(found, 2))


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=4096)
def _encode_time(value: str | None) -> bytes:
    """Seconds only: what Go writes of a Time. In maps and lists null is the zero time."""
    if not value:
        return b""
    return b"\x08" + varint((datetime.fromisoformat(value) - _EPOCH) // timedelta(seconds=1)) + b"\x10\x00"


@lru_cache(maxsize=4096)
def _encode_micro_time(value: str | None) -> bytes:
    if not value:
        return b""
    moment = datetime.fromisoformat(value)
    seconds = (moment - _EPOCH) // timedelta(seconds=1)
    return b"\x08" + varint(seconds) + b"\x10" + varint(moment.microsecond * 1000)


@lru_cache(maxsize=4096)
def _time_text(message: bytes, has_micros: bool) -> str:
    found = fields_of(message, 0, len(message))
    seconds, nanos = wire.signed64(_number_at(found, 1)), wire.signed32(_number_at(found, 2))
    try:
        moment = _EPOCH + timedelta(seconds=seconds, microseconds=nanos // 1000 if has_micros else 0)
    except OverflowError as error:
        raise MalformedMessage("Time.MarshalJSON: year outside of range [0,9999]") from error
    text = moment.isoformat(timespec="microseconds" if has_micros else "seconds")
    return f"{text.removesuffix('+00:00')}Z"


def _decode_time(data: bytes, start: int, end: int, depth: int) -> Any:
    return _time_text(data[start:end], False) if start != end else None


def _decode_micro_time(data: bytes, start: int, end: int, depth: int) -> Any:
    return _time_text(data[start:end], True) if start != end else None


def _encode_raw(value: Any) -> bytes:
    return delimited(1, _encoder.encode(value))


def _decode_raw(data: bytes, start: int, end: int, depth: int) -> Any:
    raw = bytes_at(fields_of(data, start, end), 1)
    if raw.startswith(MAGIC):
        from steersman.schema.protobuf.envelope import decode_object  # the one way round: objects within objects

        return decode_object(raw, depth=depth + _ENVELOPE_DEPTH)
    return _json(raw)


def _decode_json(data: bytes, start: int, end: int, depth: int) -> Any:
    return _json(bytes_at(fields_of(data, start, end), 1))


def _json(raw: bytes) -> Any:
    if not raw:
        return None
    try:
        return _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedMessage(f"embedded JSON: {error}") from error


RAW_EXTENSION = Special(encode=_encode_raw, decode=_decode_raw)
JSON = Special(encode=_encode_raw, decode=_decode_json)

SPECIALS: Mapping[str, Special] = {
    "resource.Quantity": Special(
        encode=_encode_quantity, decode=_decode_quantity, zero=_encode_quantity("0"), absent="0"
    ),
    "intstr.IntOrString": Special(
        encode=_encode_int_or_string, decode=_decode_int_or_string, zero=_encode_int_or_string(0), absent=0
    ),
    "meta.v1.Time": Special(encode=_encode_time, decode=_decode_time),
    "meta.v1.MicroTime": Special(encode=_encode_micro_time, decode=_decode_micro_time),
    "meta.v1.FieldsV1": JSON,
    "runtime.RawExtension": RAW_EXTENSION,
    "apiextensions.v1.JSON": JSON,
}
"""By name of the message."""


class Wrapping(Struct, frozen=True, kw_only=True):
    """A message that is one of several forms in JSON: what its fields are for a value, and back."""

    wrap: Callable[[Any], dict[str, Any]]
    unwrap: Callable[[dict[str, Any]], Any]


WRAPPINGS: Mapping[str, Wrapping] = {
    "apiextensions.v1.JSONSchemaPropsOrBool": Wrapping(
        wrap=lambda value: {"allows": value} if isinstance(value, bool) else {"allows": True, "schema": value},
        unwrap=lambda fields: fields["schema"] if "schema" in fields else fields["allows"],
    ),
    "apiextensions.v1.JSONSchemaPropsOrArray": Wrapping(
        wrap=lambda value: {"jSONSchemas": value} if isinstance(value, list) else {"schema": value},
        unwrap=lambda fields: fields["schema"] if "schema" in fields else fields.get("jSONSchemas"),
    ),
    "apiextensions.v1.JSONSchemaPropsOrStringArray": Wrapping(
        wrap=lambda value: {"property": value} if isinstance(value, list) else {"schema": value},
        unwrap=lambda fields: fields["schema"] if "schema" in fields else fields.get("property"),
    ),
}
"""By name of the message."""
