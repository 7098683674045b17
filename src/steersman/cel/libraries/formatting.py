"""``"%d of %s".format([1, "x"])``, with numbers as Go prints them for American English."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from decimal import Decimal

from steersman.cel.conversions import bytes_to_string, duration_to_string, timestamp_to_string
from steersman.cel.effort import CHARACTERS_PER_STEP, METER
from steersman.cel.errors import EvaluationError
from steersman.cel.types import Type
from steersman.cel.values import Duration, Timestamp, Uint, Value, from_map_key, go_float, type_of

_CLAUSE = re.compile(r"%(?:%|(?:\.(\d*))?(.?))", re.DOTALL)
_SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
_DEFAULT_PRECISION = 6
_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def format_string(template: str, arguments: list[Value]) -> str:
    """Raises ``EvaluationError`` for clauses that do not exist or do not suit their argument."""
    position = 0

    def replaced(match: re.Match[str]) -> str:
        nonlocal position
        if match.group() == "%%":
            return "%"
        precision, clause = match.groups()
        if not clause:
            raise EvaluationError("unexpected end of string")
        if position >= len(arguments):
            raise EvaluationError(f"index {position} out of range")
        formatter = _CLAUSES.get(clause)
        if formatter is None:
            raise EvaluationError(f'could not parse formatting clause: unrecognized formatting clause "{clause}"')
        argument = arguments[position]
        position += 1
        METER.spend(int(precision or 0) // CHARACTERS_PER_STEP)
        text = formatter(argument, int(precision) if precision else _DEFAULT_PRECISION)
        METER.spend(len(text) // CHARACTERS_PER_STEP)
        return text

    return _CLAUSE.sub(replaced, template)


def _unsuited(what: str, argument: Value) -> EvaluationError:
    return EvaluationError(f"error during formatting: {what}, was given {type_of(argument).name}")


def as_text(argument: Value) -> str:
    """``%s``"""
    match argument:
        case str():
            return argument
        case bool():
            return "true" if argument else "false"
        case None:
            return "null"
        case int():
            return str(int(argument))
        case float():
            return go_float(argument)
        case bytes():
            return bytes_to_string(argument)
        case Timestamp():
            return timestamp_to_string(argument)
        case Duration():
            return duration_to_string(argument)
        case Type():
            return argument.name
        case list():
            METER.spend(10 * (1 + len(argument)))
            return f"[{', '.join(map(_nested, argument))}]"
        case dict():
            METER.spend(10 * (1 + len(argument)))
            pairs = sorted((_nested(from_map_key(key)), _nested(value)) for key, value in argument.items())
            return f"{{{', '.join(f'{key}:{value}' for key, value in pairs)}}}"
    raise _unsuited(_STRING, argument)


def _nested(argument: Value) -> str:
    """Inside a list or map: as a literal."""
    match argument:
        case str():
            return _go_quoted(argument)
        case bytes():
            return f"b{_go_quoted(bytes_to_string(argument))}"
        case float():
            return f"{argument:.{_DEFAULT_PRECISION}f}" if math.isfinite(argument) else f'"{go_float(argument)}"'
        case Timestamp():
            return f'timestamp("{timestamp_to_string(argument)}")'
        case Duration():
            return f'duration("{duration_to_string(argument)}")'
    return as_text(argument)


def _go_quoted(text: str) -> str:
    escapes = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}
    parts = []
    for character in text:
        if character in '"\\':
            parts.append(f"\\{character}")
        elif character in escapes:
            parts.append(escapes[character])
        elif not character.isprintable():
            code = ord(character)
            parts.append(f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
        else:
            parts.append(character)
    return f'"{"".join(parts)}"'


def _decimal(argument: Value, _: int) -> str:
    if type(argument) not in (int, Uint):
        raise _unsuited("decimal clause can only be used on integers", argument)
    return str(int(argument))


def _double(argument: Value, clause: str) -> float:
    if type(argument) is float:
        return argument
    if type(argument) is str and argument in _SPECIAL:
        return _SPECIAL[argument]
    raise _unsuited(f"{clause} clause can only be used on doubles", argument)


def _fixed(argument: Value, precision: int) -> str:
    value = _double(argument, "fixed-point")
    return f"{value:,.{precision}f}" if math.isfinite(value) else _not_finite(value)


def _scientific(argument: Value, precision: int) -> str:
    value = _double(argument, "scientific")
    if not math.isfinite(value):
        return _not_finite(value)
    mantissa, _, exponent = (
        f"{Decimal(value):.{precision}e}".partition("e") if value else (f"{0:.{precision}f}", "", "0")
    )
    power = int(exponent)
    digits = f"{'-' if power < 0 else ''}{abs(power):02d}"
    return f"{mantissa}×10{digits.translate(_SUPERSCRIPTS)}"


def _not_finite(value: float) -> str:
    return "NaN" if math.isnan(value) else "∞" if value > 0 else "-∞"


def _binary(argument: Value, _: int) -> str:
    if type(argument) is bool:
        return "1" if argument else "0"
    if type(argument) not in (int, Uint):
        raise _unsuited("only integers and bools can be formatted as binary", argument)
    return f"{int(argument):b}"


def _octal(argument: Value, _: int) -> str:
    if type(argument) not in (int, Uint):
        raise _unsuited("octal clause can only be used on integers", argument)
    return f"{int(argument):o}"


def _hexadecimal(argument: Value, _: int) -> str:
    match argument:
        case str():
            return argument.encode().hex()
        case bytes():
            return argument.hex()
        case int() if type(argument) is not bool:
            return f"{int(argument):x}"
    raise _unsuited(_HEXADECIMAL, argument)


_CLAUSES: dict[str, Callable[[Value, int], str]] = {
    "s": lambda argument, _: as_text(argument),
    "d": _decimal,
    "f": _fixed,
    "e": _scientific,
    "b": _binary,
    "o": _octal,
    "x": _hexadecimal,
    "X": lambda argument, precision: _hexadecimal(argument, precision).upper(),
}
_STRING = "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps"
_INTEGERS = frozenset({"int", "uint", "dyn"})
_STRING_KINDS = frozenset(
    {"string", "bool", "bytes", "int", "uint", "double", "duration", "timestamp", "list", "map", "null", "type", "dyn"}
)
_HEXADECIMAL = "only integers, byte buffers, and strings can be formatted as hex"
_SUITED: dict[str, tuple[frozenset[str], str]] = {
    "s": (_STRING_KINDS, _STRING),
    "d": (_INTEGERS, "decimal clause can only be used on integers"),
    "f": (frozenset({"double", "string", "dyn"}), "fixed-point clause can only be used on doubles"),
    "e": (frozenset({"double", "string", "dyn"}), "scientific clause can only be used on doubles"),
    "b": (_INTEGERS | {"bool"}, "only integers and bools can be formatted as binary"),
    "o": (_INTEGERS, "octal clause can only be used on integers"),
    "x": (_INTEGERS | {"string", "bytes"}, _HEXADECIMAL),
    "X": (_INTEGERS | {"string", "bytes"}, _HEXADECIMAL),
}
"""Which kinds of arguments a clause takes, and what is said to others."""


class Misformatted(Exception):
    """A call that is written out will fail. ``at`` is the argument that is to blame, None for the call."""

    def __init__(self, message: str, at: int | None = None) -> None:
        super().__init__(message)
        self.at = at


def check_template(template: str, given: Sequence[Type]) -> None:
    """Raises ``Misformatted`` where arguments of these types do not suit the template."""
    asked = 0
    for match in _CLAUSE.finditer(template):
        if match.group() == "%%":
            continue
        clause = match.group(2)
        if not clause:
            raise Misformatted("unexpected end of string")
        if asked >= len(given):
            raise Misformatted(f"index {asked} out of range")
        suited = _SUITED.get(clause)
        if suited is None:
            raise Misformatted(f'could not parse formatting clause: unrecognized formatting clause "{clause}"')
        kinds, what = suited
        if given[asked].kind not in kinds:
            raise Misformatted(f"error during formatting: {what}, was given {given[asked].name}", at=asked)
        asked += 1
    if len(given) > asked:
        raise Misformatted(f"too many arguments supplied to string.format (expected {asked}, got {len(given)})")
