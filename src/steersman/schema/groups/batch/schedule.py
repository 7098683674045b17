"""When CronJobs run: schedules in cron's five fields, and time zones.

Source: robfig/cron's standard parser, which upstream uses: names of months and weekdays, ``?`` for ``*``, steps, ranges, and
``@hourly`` and the like.
"""

from __future__ import annotations

import re
import zoneinfo

_MACROS = frozenset({"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"})
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS: tuple[tuple[int, int, dict[str, int]], ...] = (
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    (0, 6, {name: number for number, name in enumerate(_DAYS)}),
)
_DURATION = re.compile(r"-?(\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)((\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h))*|0")
_ZONE_PART = re.compile(r"[A-Za-z._0-9+\-]{1,14}", re.ASCII)


def schedule_errors(schedule: str) -> list[str]:
    text = schedule
    if text.startswith(("TZ=", "CRON_TZ=")):
        zone, _, text = text.partition("=")[2].partition(" ")
        if not _is_zone(zone):
            return [f"provided bad location {zone}: unknown time zone {zone}"]
    text = text.strip()
    if text.startswith("@"):
        return _descriptor_errors(text)
    fields = text.split()
    if len(fields) != len(_FIELDS):
        return [f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]"]
    for field, (low, high, words) in zip(fields, _FIELDS, strict=True):
        for part in field.split(","):
            error = _range_error(part, low, high, words)
            if error:
                return [error]
    return []


def _descriptor_errors(text: str) -> list[str]:
    if text in _MACROS:
        return []
    if text.startswith("@every "):
        duration = text.removeprefix("@every ")
        if _DURATION.fullmatch(duration):
            return []
        return [f'failed to parse duration {text}: time: invalid duration "{duration}"']
    return [f"unrecognized descriptor: {text}"]


def _range_error(part: str, low: int, high: int, words: dict[str, int]) -> str:
    pieces = part.split("/")
    if len(pieces) > 2:
        return f"too many slashes: {part}"
    ends = pieces[0].split("-")
    if pieces[0] in ("*", "?"):
        first, last = low, high
    else:
        if len(ends) > 2:
            return f"too many hyphens: {part}"
        numbers: list[int] = []
        for end in ends:
            number = words.get(end.lower())
            if number is None:
                if not (end.isascii() and end.isdigit()):
                    return f'failed to parse int from {end}: strconv.Atoi: parsing "{end}": invalid syntax'
                number = int(end)
            numbers.append(number)
        first, last = numbers[0], numbers[-1]
    if len(pieces) == 2:
        if not (pieces[1].isascii() and pieces[1].isdigit()):
            return f'failed to parse int from {pieces[1]}: strconv.Atoi: parsing "{pieces[1]}": invalid syntax'
        if len(ends) == 1:
            last = max(last, high)
        if int(pieces[1]) == 0:
            return f"step of range should be a positive number: {part}"
    if first < low:
        return f"beginning of range ({first}) below minimum ({low}): {part}"
    if last > high:
        return f"end of range ({last}) above maximum ({high}): {part}"
    if first > last:
        return f"beginning of range ({first}) beyond end of range ({last}): {part}"
    return ""


def time_zone_errors(zone: str) -> list[str]:
    if zone == "":
        return ["timeZone must be nil or non-empty string"]
    for part in zone.split("/"):
        if part in (".", "..") or part.startswith("-") or _ZONE_PART.fullmatch(part) is None:
            return [f"unknown time zone {zone}"]
    if zone.lower() == "local":
        return ["timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"]
    return [] if _is_zone(zone) else [f"unknown time zone {zone}"]


def _is_zone(name: str) -> bool:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
