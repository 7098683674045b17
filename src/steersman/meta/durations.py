"""Durations as Go writes them on command lines and in configuration files: ``1h30m``, ``500ms``, ``0``."""

from __future__ import annotations

import re

from steersman.meta.quoting import quoted

_UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_NUMBER = re.compile(r"\d+\.?\d*|\.\d+", re.ASCII)
_UNIT = re.compile(r"[^.\d]+", re.ASCII)


def parse_duration(text: str) -> float:
    """Seconds. Raises ``ValueError`` for what Go's ``time.ParseDuration`` refuses."""
    sign, rest = (-1.0, text[1:]) if text.startswith("-") else (1.0, text.removeprefix("+"))
    if rest == "0":
        return 0.0
    position, total_s = 0, 0.0
    while position < len(rest):
        part = _PART.match(rest, position)
        if part is None:
            break
        total_s += float(part.group(1)) * _UNITS_S[part.group(2)]
        position = part.end()
    if not rest or position != len(rest):
        raise ValueError(_refusal(text))
    return sign * total_s


def _refusal(text: str) -> str:
    """What is wrong with what is no duration, in Go's words."""
    rest = text[1:] if text[:1] in ("+", "-") else text
    while number := _NUMBER.match(rest):
        unit = _UNIT.match(rest, number.end())
        if unit is None:
            return f"time: missing unit in duration {quoted(text)}"
        if unit.group() not in _UNITS_S:
            return f"time: unknown unit {quoted(unit.group())} in duration {quoted(text)}"
        rest = rest[unit.end() :]
    return f"time: invalid duration {quoted(text)}"


def format_duration(seconds: float) -> str:
    """As Go prints a duration: ``10s``, ``1m20s``, ``1h0m0s``, ``1.5s``, ``500ms``."""
    if not seconds:
        return "0s"
    if abs(seconds) < 1:
        return f"{_number(seconds * 1000)}ms"
    sign, rest = ("-", -seconds) if seconds < 0 else ("", seconds)
    hours, minutes = int(rest // 3600), int(rest % 3600 // 60)
    last = f"{_number(rest - 3600 * hours - 60 * minutes)}s"
    if hours:
        return f"{sign}{hours}h{minutes}m{last}"
    return f"{sign}{minutes}m{last}" if minutes else f"{sign}{last}"


def _number(value: float) -> str:
    return f"{value:.9f}".rstrip("0").rstrip(".")
