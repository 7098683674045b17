"""Calendar fields of timestamps, in UTC or in a time zone by name or offset, and parts of durations."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from steersman.cel.errors import EvaluationError
from steersman.cel.values import NANOS, Duration, Timestamp

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OFFSET = re.compile(r"([+-]?)(\d\d):(\d\d)", re.ASCII)


@lru_cache(maxsize=256)
def zone(name: str) -> tzinfo:
    """A time zone by its name or as ``+01:00``. Raises ``EvaluationError``."""
    match = _OFFSET.fullmatch(name)
    if match is not None:
        offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
        if offset < timedelta(hours=24):
            return timezone(-offset if match[1] == "-" else offset)
    if name in ("", "UTC"):
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise EvaluationError(f"unknown time zone {name}") from error


def _moment(value: Timestamp, zone_name: str = "") -> datetime:
    utc = _EPOCH + timedelta(seconds=value.ns // NANOS)
    return utc.astimezone(zone(zone_name)) if zone_name else utc


FIELDS: dict[str, Callable[[datetime], int]] = {
    "getFullYear": lambda moment: moment.year,
    "getMonth": lambda moment: moment.month - 1,
    "getDayOfYear": lambda moment: moment.timetuple().tm_yday - 1,
    "getDayOfMonth": lambda moment: moment.day - 1,
    "getDate": lambda moment: moment.day,
    "getDayOfWeek": lambda moment: moment.isoweekday() % 7,
    "getHours": lambda moment: moment.hour,
    "getMinutes": lambda moment: moment.minute,
    "getSeconds": lambda moment: moment.second,
}


def timestamp_field(name: str) -> Callable[..., int]:
    """The function that reads a field of (timestamp, time zone = UTC)."""
    if name == "getMilliseconds":
        return lambda value, zone_name="": value.ns % NANOS // 1_000_000
    read = FIELDS[name]
    return lambda value, zone_name="": read(_moment(value, zone_name))


def _whole(unit_ns: int) -> Callable[[Duration], int]:
    def count(value: Duration) -> int:
        whole = abs(value.ns) // unit_ns
        return whole if value.ns >= 0 else -whole

    return count


DURATION_FIELDS: dict[str, Callable[[Duration], int]] = {
    "getHours": _whole(3600 * NANOS),
    "getMinutes": _whole(60 * NANOS),
    "getSeconds": _whole(NANOS),
    "getMilliseconds": _whole(1_000_000),
}
