"""Decoding of scalar values as upstream's Go types do it: what they refuse, in which words, and their canonical form.

A decoder takes a JSON value and gives the value to store: the same object where nothing changes. It raises ``Fault``.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec

from steersman.meta import quantities, times

Decoder = Callable[[Any, "list[str] | None"], Any]
"""(value, collector of unknown fields' paths relative to the value or None) -> value to store."""


class Fault(Exception):
    """A value that its type cannot take. Structures on the way up add where it stands."""

    def __init__(self, text: str, go_type: str = "") -> None:
        super().__init__(text)
        self.text = text
        """A whole message, or what was found (``string``, ``number 1.5``) where ``go_type`` says what was wanted."""
        self.go_type = go_type
        self.struct = ""
        """Name of the innermost structure that holds the value."""
        self.fields: list[str] = []
        """Names of the fields down to the value, innermost first, without positions in lists and keys of maps."""

    def within(self, struct: str, field: str, named_type: str) -> None:
        """The value stands in ``field`` of ``struct``; ``named_type`` is the field's own type name where it has one."""
        if not self.struct:
            self.struct = struct
            if named_type and self.go_type == "[]string":
                self.go_type = f"[]{named_type}"
            elif named_type and self.go_type:
                self.go_type = named_type if self.go_type == "string" or "map[" in self.go_type else self.go_type
        self.fields.append(field)

    def __str__(self) -> str:
        """As Go's JSON decoder says it."""
        if not self.go_type:
            return self.text
        if self.struct:
            path = ".".join(reversed(self.fields))
            return (
                f"json: cannot unmarshal {self.text} into Go struct field {self.struct}.{path} of type {self.go_type}"
            )
        return f"json: cannot unmarshal {self.text} into Go value of type {self.go_type}"


def mismatch(value: Any, go_type: str) -> Fault:
    """``value`` has the wrong JSON type for ``go_type``."""
    return Fault(json_type(value, of_number=go_type.startswith(("int", "uint", "float"))), go_type)


def json_type(value: Any, *, of_number: bool = False) -> str:
    """A value's type as Go's JSON decoder calls it; ``of_number`` adds the digits, as it does where a number was wanted."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, dict):
        return "object"
    if isinstance(value, list):
        return "array"
    return f"number {msgspec.json.encode(value).decode()}" if of_number else "number"


def decode_string(value: Any, unknown: list[str] | None) -> Any:
    if type(value) is str:
        return value
    raise mismatch(value, "string")


def decode_boolean(value: Any, unknown: list[str] | None) -> Any:
    if value is True or value is False:
        return value
    raise mismatch(value, "bool")


def integer_decoder(go_type: str) -> Decoder:
    """``int32`` or ``int64``: numbers without fraction or exponent, within range."""
    limit = 1 << (31 if go_type == "int32" else 63)

    def decode_integer(value: Any, unknown: list[str] | None) -> Any:
        if type(value) is int and -limit <= value < limit:
            return value
        raise mismatch(value, go_type)

    return decode_integer


decode_int32 = integer_decoder("int32")


def decode_number(value: Any, unknown: list[str] | None) -> Any:
    if type(value) is float or type(value) is int:
        return value
    raise mismatch(value, "float64")


def decode_int_or_string(value: Any, unknown: list[str] | None) -> Any:
    if type(value) is str:
        return value
    return decode_int32(value, unknown)


def decode_anything(value: Any, unknown: list[str] | None) -> Any:
    return value


@lru_cache(maxsize=16384)
def _canonical_quantity(text: str) -> str:
    return quantities.canonical(text)


def decode_quantity(value: Any, unknown: list[str] | None) -> Any:
    """In canonical form, as upstream writes it back: ``0.5`` becomes ``500m``, ``1024Mi`` becomes ``1Gi``."""
    if type(value) is not str:
        if type(value) is not int and type(value) is not float:
            value = ""
        value = str(value)
    try:
        canonical = _canonical_quantity(value)
    except ValueError as error:
        raise Fault(str(error)) from error
    return value if canonical == value else canonical


_MICRO_FORM = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(?:Z|[+-]\d\d:\d\d)", re.ASCII)
_SECONDS_LAYOUT = "2006-01-02T15:04:05Z07:00"
_MICRO_LAYOUT = "2006-01-02T15:04:05.000000Z07:00"


@lru_cache(maxsize=16384)
def _normal_time(text: str) -> str:
    return times.format_time(times.parse_time(text))


def decode_time(value: Any, unknown: list[str] | None) -> Any:
    """RFC 3339, as whole seconds of UTC."""
    if type(value) is not str:
        raise mismatch(value, "string")
    try:
        normal = _normal_time(value)
    except (ValueError, OverflowError) as error:
        raise Fault(_time_fault(value, _SECONDS_LAYOUT)) from error
    return value if normal == value else normal


def decode_micro_time(value: Any, unknown: list[str] | None) -> Any:
    """RFC 3339 with exactly six digits of fraction, in UTC."""
    if type(value) is not str:
        raise mismatch(value, "string")
    if not _MICRO_FORM.fullmatch(value):
        raise Fault(_time_fault(value, _MICRO_LAYOUT))
    if value.endswith("Z"):
        _check_moment(value, _MICRO_LAYOUT)
        return value
    try:
        # The fraction is kept as text: a float of epoch seconds would not hold it exactly.
        whole = times.format_time(times.parse_time(value[:19] + value[26:]))
    except (ValueError, OverflowError) as error:
        raise Fault(_time_fault(value, _MICRO_LAYOUT)) from error
    return f"{whole[:-1]}{value[19:26]}Z"


def _check_moment(text: str, layout: str) -> None:
    try:
        _normal_time(text[:19] + "Z")
    except (ValueError, OverflowError) as error:
        raise Fault(_time_fault(text, layout)) from error


_LAYOUT_STEPS: tuple[tuple[str, str], ...] = (
    (r"\d{4}", "2006"), ("-", "-"), (r"\d\d", "01"), ("-", "-"), (r"\d\d", "02"), ("T", "T"), (r"\d\d", "15"),
    (":", ":"), (r"\d\d", "04"), (":", ":"), (r"\d\d", "05"),
)  # fmt: skip
_RANGES = {"01": ("month", 1, 12), "15": ("hour", 0, 23), "04": ("minute", 0, 59), "05": ("second", 0, 59)}


def _time_fault(text: str, layout: str) -> str:
    """Where ``text`` leaves ``layout``, in the words of Go's ``time.Parse``."""
    rest = text
    head = f'parsing time "{text}"'
    for pattern, element in _LAYOUT_STEPS:
        match = re.match(pattern, rest, re.ASCII)
        if match is None:
            return f'{head} as "{layout}": cannot parse "{rest}" as "{element}"'
        if element in _RANGES:
            noun, low, high = _RANGES[element]
            if not low <= int(match.group()) <= high:
                return f"{head}: {noun} out of range"
        rest = rest[match.end() :]
    if layout == _MICRO_LAYOUT:
        match = re.match(r"\.\d{6}", rest, re.ASCII)
        if match is None:
            return f'{head} as "{layout}": cannot parse "{rest}" as ".000000"'
    else:
        match = re.match(r"(?:[.,]\d+)?", rest, re.ASCII)
    rest = rest[match.end() :] if match else rest
    match = re.match(r"Z|[+-]\d\d:\d\d", rest, re.ASCII)
    if match is None:
        return f'{head} as "{layout}": cannot parse "{rest}" as "Z07:00"'
    if rest[match.end() :]:
        return f'{head}: extra text: "{rest[match.end() :]}"'
    return f"{head}: day out of range"


def decode_bytes(value: Any, unknown: list[str] | None) -> Any:
    """Standard base64 with padding; line breaks are allowed and go."""
    if type(value) is not str:
        raise mismatch(value, "[]uint8")
    text = value.replace("\n", "").replace("\r", "") if "\n" in value or "\r" in value else value
    try:
        if len(text) % 4:
            raise ValueError("not a multiple of four characters")
        data = binascii.a2b_base64(text, strict_mode=True)
    except ValueError as error:
        raise Fault(f"illegal base64 data at input byte {_illegal_base64(value)}") from error
    if len(data) % 3:  # bits after the last byte are ignored, so that there are several spellings
        return binascii.b2a_base64(data, newline=False).decode("ascii")
    return text


_BASE64 = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")


def _illegal_base64(text: str) -> int:
    """Position of the first byte that Go's decoder refuses, or of the group of four that is not complete."""
    symbols = [(position, byte) for position, byte in enumerate(text.encode()) if byte not in b"\r\n"]
    for count, (position, byte) in enumerate(symbols):
        if byte in _BASE64:
            continue
        filled = count % 4
        if byte != ord("=") or filled < 2:
            return position
        if filled == 2:
            if count + 1 == len(symbols):
                return len(text.encode())
            if symbols[count + 1][1] != ord("="):
                return position
            count += 1
        return symbols[count + 1][0]
    return symbols[len(symbols) // 4 * 4][0]
