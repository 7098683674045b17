"""From wire bytes to JSON objects as Go would write them: what is a zero value in Go is absent, null or always there
according to the field's struct tag (``tables``).

Nothing that a client sends can do worse than ``MalformedMessage``: lengths are checked before bytes are taken, depth is
bounded, unknown fields are skipped.
"""

from __future__ import annotations

import binascii
import struct
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from steersman.meta.objects import Object
from steersman.schema.protobuf import tables, wire
from steersman.schema.protobuf.specials import SPECIALS, WRAPPINGS, Decode
from steersman.schema.protobuf.tables import Field
from steersman.schema.protobuf.wire import MAX_DEPTH, MalformedMessage, read_varint, signed32, signed64

_Fill = Callable[[Object, bytes, int, int, int], None]
"""(object, data, start, end, depth): read one field of bytes into the object; or a whole message."""
_Zero = Callable[[], Any]
_Put = Callable[[Object, int], None]
"""(object, number off the wire): put one numeric field into the object."""


def decode(name: str, data: bytes, *, depth: int = 0) -> Any:
    """The message called ``core.v1.Pod`` as JSON. Raises ``MalformedMessage`` and ``UnknownMessage``."""
    try:
        return decoder(name)(data, 0, len(data), depth)
    except (IndexError, struct.error) as error:
        raise MalformedMessage("unexpected EOF") from error
    except RecursionError as error:  # the caller is deep in Python's stack already
        raise MalformedMessage("exceeded max depth") from error


@cache
def decoder(name: str) -> Decode:
    """The decoder of a message. What it returns raises ``MalformedMessage`` and, at the end of the data, ``IndexError``."""
    special = SPECIALS.get(name)
    if special is not None:
        return special.decode
    message = tables.message(name)
    if message.element:
        fill_items = _filler([Field(number=1, name="items", type=message.element, shape="list")])

        def decode_list(data: bytes, start: int, end: int, depth: int) -> Any:
            items: Object = {}
            fill_items(items, data, start, end, depth)
            return items.get("items", [])

        return decode_list
    fill = filler(name)
    wrapping = WRAPPINGS.get(name)

    def decode_message(data: bytes, start: int, end: int, depth: int) -> Any:
        obj: Object = {}
        fill(obj, data, start, end, depth)
        return obj

    if wrapping is None:
        return decode_message
    unwrap = wrapping.unwrap
    return lambda data, start, end, depth: unwrap(decode_message(data, start, end, depth))


@cache
def filler(name: str) -> _Fill:
    """Reads the fields of a message into an object that may have some: a message that comes twice is merged."""
    return _filler(tables.message(name).fields)


def _filler(fields: Sequence[Field]) -> _Fill:
    fillers: dict[int, _Fill] = {}
    putters: dict[int, _Put] = {}
    doubles: dict[int, str] = {}
    for field in fields:
        key = field.number << 3
        if field.type == "double":
            doubles[key | wire.FIXED64] = field.name
        elif field.type in _NUMBERS and field.shape != "map":
            put = putters[key | wire.VARINT] = _number(field)
            fillers[key | wire.BYTES] = _packed(put)
        else:
            fillers[key | wire.BYTES] = _delimited(field)
    always = _always(fields)
    numbers = {field.number for field in fields}
    filler_of, putter_of = fillers.get, putters.get

    def fill(obj: Object, data: bytes, start: int, end: int, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise MalformedMessage("exceeded max depth")
        position = start
        while position < end:
            key = data[position]
            position += 1
            if key > 0x7F:
                key, position = read_varint(data, position - 1)
            wire_type = key & 7
            if wire_type == 2:
                size = data[position]
                position += 1
                if size > 0x7F:
                    size, position = read_varint(data, position - 1)
                stop = position + size
                if stop > end:
                    raise MalformedMessage("unexpected EOF")
                fill_field = filler_of(key)
                if fill_field is not None:
                    fill_field(obj, data, position, stop, depth)
                    position = stop
                    continue
                position = stop
            elif wire_type == 0:
                number, position = read_varint(data, position)
                put = putter_of(key)
                if put is not None:
                    put(obj, number)
                    continue
            elif key in doubles:
                (real,) = struct.unpack_from("<d", data, position)
                obj[doubles[key]] = int(real) if real.is_integer() and abs(real) < 1e21 else real
                position += 8
                continue
            else:
                position = wire.skip(data, position, wire_type)
            if key >> 3 in numbers or key < 8:
                raise MalformedMessage(f"proto: wrong wireType = {wire_type} for field {key >> 3}")
        if position != end:
            raise MalformedMessage("unexpected EOF")
        for name, zero in always:
            if name not in obj:
                obj[name] = zero()

    return fill


_NUMBERS: dict[str, Callable[[int], Any]] = {"bool": bool, "int32": signed32, "int64": signed64}


def _number(field: Field) -> _Put:
    """A varint. Zero is absent, unless the field is a pointer or always there."""
    name, convert = field.name, _NUMBERS[field.type]
    if field.shape == "list":
        return lambda obj, number: obj.setdefault(name, []).append(convert(number))
    if field.is_pointer or field.is_always:

        def put(obj: Object, number: int) -> None:
            obj[name] = convert(number)

        return put

    def put_unless_zero(obj: Object, number: int) -> None:
        if number:
            obj[name] = convert(number)
        else:
            obj.pop(name, None)

    return put_unless_zero


def _packed(put: _Put) -> _Fill:
    """Several numbers in one field of bytes, as newer generators write lists."""

    def fill(obj: Object, data: bytes, start: int, end: int, depth: int) -> None:
        position = start
        while position < end:
            number, position = read_varint(data, position)
            put(obj, number)
        if position != end:
            raise MalformedMessage("unexpected EOF")

    return fill


def _delimited(field: Field) -> _Fill:
    """A field of bytes: text, binary data, a message, an entry of a map."""
    name = field.name
    if field.shape == "map":
        return _entry(name, field.type)
    if field.type == "string" and not field.shape:
        return _string(field)
    if field.type == "bytes" and not field.shape and not field.is_always:

        def fill_bytes(obj: Object, data: bytes, start: int, end: int, depth: int) -> None:
            obj[name] = _base64(data, start, end, depth)
            if start == end:
                del obj[name]

        return fill_bytes
    if field.shape == "list":
        read_item = _lazy(field.type)

        def append(obj: Object, data: bytes, start: int, end: int, depth: int) -> None:
            item = read_item(data, start, end, depth + 1)
            items = obj.get(name)
            if items is None:
                obj[name] = [item]
            else:
                items.append(item)

        return append
    if field.is_inline:
        return _lazy_filler(field.type)
    return _single(name, field.type)


def _string(field: Field) -> _Fill:
    name, is_kept = field.name, field.is_pointer or field.is_always

    def fill(obj: Object, data: bytes, start: int, end: int, depth: int) -> None:
        if start != end or is_kept:
            obj[name] = str(data[start:end], "utf-8", "replace")
        else:
            obj.pop(name, None)

    return fill


def _single(name: str, type_name: str) -> _Fill:
    """A message or bytes."""
    if type_name in tables.SCALARS or type_name in SPECIALS or type_name in WRAPPINGS or _is_list(type_name):
        read = _lazy(type_name)

        def fill(obj: Object, data: bytes, start: int, end: int, depth: int) -> None:
            value = read(data, start, end, depth + 1)
            if value is not None:
                obj[name] = value

        return fill
    fill_message = _lazy_filler(type_name)

    def merge(obj: Object, data: bytes, start: int, end: int, depth: int) -> None:
        child = obj.get(name)
        if child is None:
            child = obj[name] = {}
        fill_message(child, data, start, end, depth + 1)

    return merge


def _entry(name: str, type_name: str) -> _Fill:
    """One entry of a map: a message of key and value."""
    read = _lazy(type_name)

    def fill(obj: Object, data: bytes, start: int, end: int, depth: int) -> None:
        key, value_start, value_end = "", end, end
        position = start
        while position < end:
            tag, position = read_varint(data, position)
            if tag & 7 != wire.BYTES:
                position = wire.skip(data, position, tag & 7)
                continue
            size, position = read_varint(data, position)
            stop = position + size
            if tag == _KEY:
                key = str(data[position:stop], "utf-8", "replace")
            elif tag == _VALUE:
                value_start, value_end = position, stop
            position = stop
        if position != end:
            raise MalformedMessage("unexpected EOF")
        values = obj.get(name)
        if values is None:
            values = obj[name] = {}
        values[key] = read(data, value_start, value_end, depth + 1)

    return fill


_KEY, _VALUE = 1 << 3 | wire.BYTES, 2 << 3 | wire.BYTES


def _text(data: bytes, start: int, end: int, depth: int) -> Any:
    return str(data[start:end], "utf-8", "replace")


def _base64(data: bytes, start: int, end: int, depth: int) -> Any:
    return binascii.b2a_base64(data[start:end], newline=False).decode("ascii")


def _lazy(name: str) -> Decode:
    """Compiles the message when a first one is met: messages contain themselves, and most are never met."""
    if name == "string":
        return _text
    if name == "bytes":
        return _base64
    if name in SPECIALS:
        return SPECIALS[name].decode
    target: Decode | None = None

    def read(data: bytes, start: int, end: int, depth: int) -> Any:
        nonlocal target
        if target is None:
            target = decoder(name)
        return target(data, start, end, depth)

    return read


def _lazy_filler(name: str) -> _Fill:
    target: _Fill | None = None

    def fill(obj: Object, data: bytes, start: int, end: int, depth: int) -> None:
        nonlocal target
        if target is None:
            target = filler(name)
        target(obj, data, start, end, depth)

    return fill


def _is_list(name: str) -> bool:
    return bool(tables.message(name).element)


def _always(fields: Sequence[Field]) -> Sequence[tuple[str, _Zero]]:
    """The fields that JSON always has, with what makes their zero values."""
    found: list[tuple[str, _Zero]] = []
    for field in fields:
        if field.is_inline:
            found.extend(_always(tables.message(field.type).fields))
        elif field.is_always and not field.shape and not field.is_pointer:
            zero = _zero(field.type)
            if zero is not None:
                found.append((field.name, zero))
    return found


_SCALAR_ZEROS: dict[str, _Zero] = {
    "string": str, "bool": bool, "int32": int, "int64": int, "double": int,
}  # fmt: skip


def _zero(name: str) -> _Zero | None:
    """None where Go has a null, which is absent here."""
    if name == "bytes":
        return None
    if name in _SCALAR_ZEROS:
        return _SCALAR_ZEROS[name]
    special = SPECIALS.get(name)
    if special is not None:
        absent = special.absent
        return None if absent is None else lambda: absent
    if _is_list(name):
        return None
    read = _lazy(name)
    return lambda: read(b"", 0, 0, 0)
