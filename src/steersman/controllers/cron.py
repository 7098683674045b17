"""Cron schedules by the rules of robfig/cron v3's standard parser, which Kubernetes uses.

Five fields (minute, hour, day of month, month, day of week) or ``@hourly`` and the like or ``@every 1h30m``; ``?`` is ``*``;
names of months and days; 7 is no Sunday. When both days are restricted either may match. A wall clock time that a change to
summer time skips does not happen; one that happens twice runs twice where the hour is ``*``, else once.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Struct

from steersman.meta.durations import parse_duration

_MONTHS = {
    name: number
    for number, name in enumerate(
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], 1
    )
}
_DAYS = {name: number for number, name in enumerate(["sun", "mon", "tue", "wed", "thu", "fri", "sat"])}
_DESCRIPTORS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
YEARS_AHEAD = 5


class ScheduleError(ValueError):
    """The text is no schedule; the message says why."""


class UnknownTimeZone(ValueError):
    """No such zone in the time zone database."""


class Schedule(Protocol):
    def next_s(self, after_s: float) -> float | None:
        """The first time after ``after_s`` (epoch seconds); None where there is none within five years."""


class _Field(Struct, frozen=True):
    values: frozenset[int]
    is_star: bool


class Calendar(Struct, frozen=True, kw_only=True):
    """The five fields in one time zone."""

    minute: _Field
    hour: _Field
    day: _Field
    month: _Field
    weekday: _Field
    zone: tzinfo

    def next_s(self, after_s: float) -> float | None:
        at_s = int(after_s) + 1
        last_year = self._local(at_s).year + YEARS_AHEAD
        while True:
            local = self._local(at_s)
            if local.year > last_year:
                return None
            if local.month not in self.month.values:
                year, month = divmod(local.year * 12 + local.month, 12)
                at_s = self._absolute(datetime(year, month + 1, 1, tzinfo=UTC))
            elif not self._day_matches(local):
                at_s = self._next_day(local)
            elif local.hour not in self.hour.values:
                at_s += 3600 - local.minute * 60 - local.second
            elif local.second or local.minute not in self.minute.values:
                at_s += 60 - local.second
            else:
                return float(at_s)

    def _day_matches(self, local: datetime) -> bool:
        by_day, by_weekday = local.day in self.day.values, local.isoweekday() % 7 in self.weekday.values
        either = not (self.day.is_star or self.weekday.is_star)
        return by_day or by_weekday if either else by_day and by_weekday

    def _next_day(self, local: datetime) -> int:
        """Midnight of the next day; where clocks change at midnight, the first hour that it has."""
        at_s = self._absolute(datetime(local.year, local.month, local.day, tzinfo=UTC) + timedelta(days=1))
        hour = self._local(at_s).hour
        if hour > 12:
            return at_s + (24 - hour) * 3600
        return at_s - hour * 3600

    def _local(self, at_s: int) -> datetime:
        return datetime.fromtimestamp(at_s, self.zone)

    def _absolute(self, as_utc: datetime) -> int:
        """The time that shows here as ``as_utc`` shows in UTC; of a time that is skipped the one before the change, as Go's
        ``time.Date``."""
        offset = as_utc.astimezone(self.zone).utcoffset() or timedelta()
        moment = as_utc - offset
        actual = moment.astimezone(self.zone).utcoffset() or timedelta()
        return int((as_utc - actual).timestamp())


class Every(Struct, frozen=True):
    """A fixed distance, in whole seconds."""

    delay_s: int

    def next_s(self, after_s: float) -> float | None:
        return float(int(after_s) + self.delay_s)


def zone_of(name: str) -> tzinfo:
    """The zone called ``name``; UTC for an empty one. Raises ``UnknownTimeZone``."""
    if name in ("", "UTC"):
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UnknownTimeZone(f"unknown time zone {name}") from error


def parse_schedule(text: str, time_zone: str = "") -> Schedule:
    """``text`` in ``time_zone``; a ``TZ=`` or ``CRON_TZ=`` before the fields wins. Raises ``ScheduleError`` and
    ``UnknownTimeZone``."""
    spec = text.strip()
    for prefix in ("CRON_TZ=", "TZ="):
        if spec.startswith(prefix):
            time_zone, _, spec = spec.removeprefix(prefix).partition(" ")
            spec = spec.strip()
    zone = zone_of(time_zone)
    if spec.startswith("@every "):
        try:
            delay_s = parse_duration(spec.removeprefix("@every ").strip())
        except ValueError as error:
            raise ScheduleError(f"failed to parse duration {spec}: {error}") from error
        return Every(max(int(delay_s), 1))
    if spec.startswith("@"):
        if spec not in _DESCRIPTORS:
            raise ScheduleError(f"unrecognized descriptor: {spec}")
        spec = _DESCRIPTORS[spec]
    fields = spec.split()
    if not spec:
        raise ScheduleError("empty spec string")
    if len(fields) != 5:
        raise ScheduleError(f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]")
    return Calendar(
        minute=_field(fields[0], 0, 59),
        hour=_field(fields[1], 0, 23),
        day=_field(fields[2], 1, 31),
        month=_field(fields[3], 1, 12, _MONTHS),
        weekday=_field(fields[4], 0, 6, _DAYS),
        zone=zone,
    )


def _field(text: str, low: int, high: int, names: Mapping[str, int] | None = None) -> _Field:
    values: set[int] = set()
    is_star = False
    for part in text.split(","):
        found, star = _part(part, low, high, names or {})
        values |= found
        is_star = is_star or star
    return _Field(frozenset(values), is_star)


def _part(text: str, low: int, high: int, names: Mapping[str, int]) -> tuple[set[int], bool]:
    span, slash, step_text = text.partition("/")
    if "/" in step_text:
        raise ScheduleError(f"too many slashes: {text}")
    first_text, dash, last_text = span.partition("-")
    if "-" in last_text:
        raise ScheduleError(f"too many hyphens: {text}")
    is_star = first_text in ("*", "?") and not dash
    if is_star:
        first, last = low, high
    else:
        first = _number(first_text, names)
        last = _number(last_text, names) if dash else (high if slash else first)
    step = _number(step_text, {}) if slash else 1
    if first < low:
        raise ScheduleError(f"beginning of range ({first}) below minimum ({low}): {text}")
    if last > high:
        raise ScheduleError(f"end of range ({last}) above maximum ({high}): {text}")
    if first > last:
        raise ScheduleError(f"beginning of range ({first}) beyond end of range ({last}): {text}")
    if step == 0:
        raise ScheduleError(f"step of range should be a positive number: {text}")
    return set(range(first, last + 1, step)), is_star and step == 1


def _number(text: str, names: Mapping[str, int]) -> int:
    if text.lower() in names:
        return names[text.lower()]
    if not text.isdecimal() or not text.isascii():
        raise ScheduleError(f"failed to parse int from {text}: invalid syntax")
    return int(text)
