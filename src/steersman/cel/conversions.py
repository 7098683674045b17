"""``int()``, ``string()``, ``timestamp()`` and their like, with Go's text forms of durations, times and numbers."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from fractions import Fraction

from steersman.cel.errors import EvaluationError
from steersman.cel.operators import duration, integer, timestamp, unsigned
from steersman.cel.values import INT_MAX, INT_MIN, NANOS, UINT_MAX, Duration, Timestamp, Uint, go_float, plain_float

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INT = re.compile(r"[+-]?[0-9]+", re.ASCII)
_UINT = re.compile(r"[0-9]+", re.ASCII)
_FLOAT = re.compile(
    r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|inf(?:inity)?|nan)", re.ASCII | re.IGNORECASE
)
_TRUE, _FALSE = {"1", "t", "T", "TRUE", "true", "True"}, {"0", "f", "F", "FALSE", "false", "False"}
_RFC3339 = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(?:(Z)|([+-])(\d\d):(\d\d))", re.ASCII)
_DURATION_PART = re.compile(r"(\d*)(?:\.(\d*))?(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_UNIT_NS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}


def _unconvertible(source: str, target: str) -> EvaluationError:
    return EvaluationError(f"type conversion error from '{source}' to '{target}'")


def double_to_int(value: float) -> int:
    if not -(2.0**63) < value < 2.0**63:
        raise EvaluationError("integer overflow")
    return int(value)


def double_to_uint(value: float) -> Uint:
    if not 0 <= value < 2.0**64:
        raise EvaluationError("unsigned integer overflow")
    return Uint(value)


def string_to_int(text: str) -> int:
    if _INT.fullmatch(text) and INT_MIN <= int(text) <= INT_MAX:
        return int(text)
    raise _unconvertible("string", "int")


def string_to_uint(text: str) -> Uint:
    if _UINT.fullmatch(text) and int(text) <= UINT_MAX:
        return Uint(text)
    raise _unconvertible("string", "uint")


def string_to_double(text: str) -> float:
    if _FLOAT.fullmatch(text):
        value = float(text)
        if math.isfinite(value) or not text.lstrip("+-")[:1].isdigit():
            return value
    raise _unconvertible("string", "double")


def string_to_bool(text: str) -> bool:
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise _unconvertible("string", "bool")


def string_to_timestamp(text: str) -> Timestamp:
    return timestamp(*parse_timestamp(text))


def string_to_duration(text: str) -> Duration:
    try:
        return Duration(parse_duration(text))
    except ValueError as error:
        raise _unconvertible("string", "google.protobuf.Duration") from error


def int_to_uint(value: int) -> Uint:
    return unsigned(value)


def uint_to_int(value: Uint) -> int:
    return integer(int(value))


def int_to_timestamp(seconds: int) -> Timestamp:
    return timestamp(seconds * NANOS)


def int_to_duration(ns: int) -> Duration:
    return duration(ns)


def bool_to_string(value: bool) -> str:
    return "true" if value else "false"


def bytes_to_string(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise EvaluationError("invalid UTF-8 in bytes, cannot convert to string") from error


def double_to_string(value: float) -> str:
    return go_float(value)


def duration_to_string(value: Duration) -> str:
    return f"{plain_float(value.ns / NANOS)}s"


def timestamp_to_string(value: Timestamp) -> str:
    """RFC 3339 with as many digits of nanoseconds as there are."""
    seconds, nanos = divmod(value.ns, NANOS)
    moment = (_EPOCH + timedelta(seconds=seconds)).replace(tzinfo=None)
    zone = "Z"
    if value.offset_s:
        ahead = abs(value.offset_s) // 60
        zone = f"{'+' if value.offset_s > 0 else '-'}{ahead // 60:02d}:{ahead % 60:02d}"
        moment += timedelta(seconds=value.offset_s)
    fraction = f".{nanos:09d}".rstrip("0") if nanos else ""
    return f"{moment.year:04d}-{moment.month:02d}-{moment.day:02d}T{moment:%H:%M:%S}{fraction}{zone}"


def parse_timestamp(text: str) -> tuple[int, int]:
    """(nanoseconds since the epoch, seconds that its time zone is ahead of UTC) of an RFC 3339 time.

    Raises ``EvaluationError``.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise _unconvertible("string", "google.protobuf.Timestamp")
    year, month, day, hour, minute, second, fraction, _, sign, offset_hour, offset_minute = match.groups()
    try:
        moment = datetime(max(int(year), 1), int(month), int(day), int(hour), int(minute), int(second), tzinfo=UTC)
    except ValueError as error:
        raise _unconvertible("string", "google.protobuf.Timestamp") from error
    seconds = (moment - _EPOCH) // timedelta(seconds=1)
    if int(year) == 0:
        raise EvaluationError("timestamp overflow")
    offset_s = 0
    if sign:
        if int(offset_hour) > 23 or int(offset_minute) > 59:
            raise _unconvertible("string", "google.protobuf.Timestamp")
        offset_s = (int(offset_hour) * 3600 + int(offset_minute) * 60) * (1 if sign == "+" else -1)
    nanos = int(fraction[:9].ljust(9, "0")) if fraction else 0
    return (seconds - offset_s) * NANOS + nanos, offset_s


def parse_duration(text: str) -> int:
    """Nanoseconds of Go's form, ``1h2m3.5s``. Raises ``ValueError``."""
    negative = text.startswith("-")
    rest = text[1:] if text[:1] in ("-", "+") else text
    if rest == "0":
        return 0
    total = Fraction(0)
    position = 0
    while position < len(rest):
        part = _DURATION_PART.match(rest, position)
        if part is None or not (part[1] or part[2]):
            raise ValueError(f'time: invalid duration "{text}"')
        total += int(Fraction(f"{part[1] or 0}.{part[2] or 0}") * _UNIT_NS[part[3]])
        position = part.end()
    ns = int(-total if negative else total)
    if not rest or not INT_MIN <= ns <= INT_MAX:
        raise ValueError(f'time: invalid duration "{text}"')
    return ns
