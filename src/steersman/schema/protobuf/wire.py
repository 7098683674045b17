"""The primitive forms of the protobuf wire format. Source: "Encoding" of the Protocol Buffers documentation."""

from __future__ import annotations

VARINT = 0
FIXED64 = 1
BYTES = 2
FIXED32 = 5
MAX_DEPTH = 200
"""Messages within messages; more is refused before Python's own limit is met."""

_MASK64 = (1 << 64) - 1


class MalformedMessage(ValueError):
    """Bytes that are no message of the wanted type."""


def varint(value: int) -> bytes:
    """A number in groups of seven bits; negative ones as 64 bits."""
    if 0 <= value < 0x80:
        return _SMALL[value]
    value &= _MASK64
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


_SMALL = tuple(bytes([value]) for value in range(0x80))


def tag(number: int, wire_type: int) -> bytes:
    return varint(number << 3 | wire_type)


def delimited(number: int, payload: bytes) -> bytes:
    """A field of bytes, text or a message."""
    return tag(number, BYTES) + varint(len(payload)) + payload


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """(value, position after it). Raises ``MalformedMessage``; ``IndexError`` at the end of ``data``."""
    byte = data[position]
    position += 1
    if byte < 0x80:
        return byte, position
    value, shift = byte & 0x7F, 7
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & _MASK64, position
        shift += 7
        if shift > 63:
            raise MalformedMessage("proto: integer overflow")


def skip(data: bytes, position: int, wire_type: int) -> int:
    """The position after a field that is not known. Raises ``MalformedMessage``; groups are refused."""
    if wire_type == VARINT:
        return read_varint(data, position)[1]
    if wire_type == FIXED64:
        return position + 8
    if wire_type == FIXED32:
        return position + 4
    if wire_type == BYTES:
        size, position = read_varint(data, position)
        return position + size
    raise MalformedMessage(f"proto: illegal wireType {wire_type}")


def signed64(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def signed32(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value
