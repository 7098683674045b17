"""YAML's scalars as go-yaml (v2) reads them, which upstream's YAML to JSON conversion is built on.

YAML 1.1 with its many booleans, without sexagesimal numbers; timestamps stay text.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Final

Scalar = str | bool | int | float | None

_PREFIX: Final = "tag:yaml.org,2002:"
_WORDS: Mapping[str, Scalar] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
}
_FIRST_OF_NUMBERS: Final = frozenset("+-.0123456789")
_INTEGER = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_LONGEST_INTEGER: Final = 70
"""Characters of one that can be in 64 bits, in binary with sign and prefix; longer ones are floats."""
_SHOWN_WHOLE: Final = 1e21
"""Whole floats below are written without a fraction on the way through JSON."""


class ScalarError(ValueError):
    """A value that its tag does not allow, or that JSON has not."""


def resolve(text: str, tag: str | None, *, is_plain: bool) -> Scalar:
    """The value of a scalar. Raises ``ScalarError``."""
    kind = tag.removeprefix(_PREFIX) if tag is not None and tag.startswith(_PREFIX) else None
    if kind == "str" or (tag is None and not is_plain) or tag == "!":
        return text
    if kind == "binary":
        try:
            return base64.b64decode(text, validate=False).decode("utf-8", errors="replace")
        except (binascii.Error, ValueError) as error:
            raise ScalarError("!!binary value contains invalid base64 data") from error
    if tag is not None and kind not in ("null", "bool", "int", "float"):
        return text
    value = _implied(text)
    if kind is not None and not _is(value, kind):
        raise ScalarError(f"cannot decode !!{_name(value)} `{text}` as a !!{kind}")
    if isinstance(value, float):
        return _shown(value)
    return value


def _implied(text: str) -> Scalar:
    """What a plain scalar is by its looks."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _FIRST_OF_NUMBERS:
        return text
    digits = text.replace("_", "") if text[0] != "." else text
    if _INTEGER.fullmatch(digits) and len(digits) <= _LONGEST_INTEGER:
        value = _integer(digits)
        if -(1 << 63) <= value < 1 << 64:
            return value
    return float(digits) if _FLOAT.fullmatch(digits) else text


def _integer(text: str) -> int:
    """Go's literals: a leading 0 is octal."""
    digits = text.lstrip("+-")
    value = int(digits, 8 if digits.isdigit() and digits[0] == "0" else 0)
    return -value if text[0] == "-" else value


def _is(value: Scalar, kind: str) -> bool:
    return _name(value) == kind or (kind == "float" and _name(value) == "int")


def _name(value: Scalar) -> str:
    if value is None:
        return "null"
    return {bool: "bool", int: "int", float: "float"}.get(type(value), "str")


def _shown(value: float) -> int | float:
    """As it comes out of JSON. Raises ``ScalarError``."""
    if value != value or value in (float("inf"), float("-inf")):
        raise ScalarError(f"json: unsupported value: {'NaN' if value != value else '+Inf' if value > 0 else '-Inf'}")
    return int(value) if value.is_integer() and abs(value) < _SHOWN_WHOLE else value
