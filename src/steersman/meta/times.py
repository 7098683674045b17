"""RFC 3339 times as Kubernetes writes them: ``Time`` in seconds, ``MicroTime`` in microseconds, always UTC with ``Z``."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache

_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?(?:([Zz])|([+-])(\d\d):(\d\d))", re.ASCII
)


def format_time(epoch_s: float) -> str:
    """``metav1.Time``: whole seconds, cut off rather than rounded, ``2026-01-02T03:04:05Z``."""
    return _format_second(int(epoch_s // 1))


@lru_cache(maxsize=256)
def _format_second(epoch_s: int) -> str:
    """Remembered, as thousands of writes in one second carry it (10 µs each)."""
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def format_micro_time(epoch_s: float) -> str:
    """``metav1.MicroTime``: microseconds, ``2026-01-02T03:04:05.000006Z``."""
    return f"{datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec='microseconds')[:26]}Z"


def parse_time(text: str) -> float:
    """Seconds since the epoch of an RFC 3339 time. Raises ``ValueError`` for anything else."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not an RFC 3339 time")
    year, month, day, hour, minute, second, fraction, _, sign, offset_hour, offset_minute = match.groups()
    moment = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second), tzinfo=UTC)
    epoch_s = moment.timestamp()
    if sign:
        offset_s = int(offset_hour) * 3600 + int(offset_minute) * 60
        epoch_s -= offset_s if sign == "+" else -offset_s
    return epoch_s + (float(f"0.{fraction}") if fraction else 0.0)
