"""What cells of ``kubectl get`` look like: ages, and the words for what is absent.

Source: upstream's ``duration`` package and its table printers.
"""

from __future__ import annotations

from functools import lru_cache

from steersman.meta import times

NONE = "<none>"
UNSET = "<unset>"
UNKNOWN = "<unknown>"
INVALID = "<invalid>"

_MINUTE = 60
_HOUR = 60 * _MINUTE
_DAY_H = 24
_YEAR_H = 365 * _DAY_H


def human_duration(seconds: float) -> str:
    """Two or three significant figures: ``5s``, ``2m3s``, ``45m``, ``5h10m``, ``3d4h``, ``2y100d``.

    Two seconds into the future count as now, since clocks differ; beyond that a duration is ``<invalid>``.
    """
    whole = int(seconds)
    if whole < -1:
        return INVALID
    if whole < 0:
        return "0s"
    if whole < 2 * _MINUTE:
        return f"{whole}s"
    minutes, hours = whole // _MINUTE, whole // _HOUR
    if minutes < 10:
        return _two_units(minutes, "m", whole % _MINUTE, "s")
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return _two_units(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if hours < 8 * _DAY_H:
        return _two_units(hours // _DAY_H, "d", hours % _DAY_H, "h")
    if hours < 2 * _YEAR_H:
        return f"{hours // _DAY_H}d"
    if hours < 8 * _YEAR_H:
        return _two_units(hours // _YEAR_H, "y", hours // _DAY_H % 365, "d")
    return f"{hours // _YEAR_H}y"


def short_human_duration(seconds: float) -> str:
    """One unit: ``5s``, ``2m``, ``3h``, ``4d``, ``1y``."""
    whole = int(seconds)
    if whole < -1:
        return INVALID
    if whole < 0:
        return "0s"
    if whole < _MINUTE:
        return f"{whole}s"
    if whole < _HOUR:
        return f"{whole // _MINUTE}m"
    hours = whole // _HOUR
    if hours < _DAY_H:
        return f"{hours}h"
    return f"{hours // _DAY_H}d" if hours < _YEAR_H else f"{hours // _YEAR_H}y"


def age(timestamp: str | None, now: float) -> str:
    """How long ago an RFC 3339 time was, ``now`` in epoch seconds: the Age column. ``<unknown>`` without a time."""
    if not timestamp:
        return UNKNOWN
    try:
        return human_duration(now - _parsed(timestamp))
    except ValueError:
        return UNKNOWN


@lru_cache(maxsize=4096)
def _parsed(timestamp: str) -> float:
    """Objects that come into being together have the same time."""
    return times.parse_time(timestamp)


def until(timestamp: str | None, now: float) -> str:
    """How long until an RFC 3339 time."""
    if not timestamp:
        return UNKNOWN
    try:
        return human_duration(times.parse_time(timestamp) - now)
    except ValueError:
        return UNKNOWN


def joined(values: list[str] | None, *, limit: int = 0, separator: str = ",") -> str:
    """``a,b,c``; ``<none>`` for nothing; with ``limit``, ``a,b + 3 more...``."""
    if not values:
        return NONE
    if limit and len(values) > limit:
        return f"{separator.join(values[:limit])} + {len(values) - limit} more..."
    return separator.join(values)


def _two_units(first: int, first_unit: str, second: int, second_unit: str) -> str:
    return f"{first}{first_unit}{second}{second_unit}" if second else f"{first}{first_unit}"
