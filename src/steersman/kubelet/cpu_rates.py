"""Rates from counters: how many cores something uses, from two readings of the time its processes ran."""

from __future__ import annotations

from collections.abc import Collection, Hashable
from typing import Final

from msgspec import Struct

INTERVAL_S: Final = 5.0
"""Readings that are nearer to each other say more about their noise than about use."""


class _Reading(Struct):
    time_s: float
    total_ns: int
    rate: int | None = None


class CPURates:
    """Keeps the last reading of each key; ``keep`` forgets the others."""

    def __init__(self) -> None:
        self._readings: dict[Hashable, _Reading] = {}

    def update(self, key: Hashable, total_ns: int | None, time_s: float) -> int | None:
        """Nano-cores, as of the last two readings at least ``INTERVAL_S`` apart; None before there are two."""
        if total_ns is None:
            return None
        last = self._readings.get(key)
        if last is None or total_ns < last.total_ns:
            self._readings[key] = _Reading(time_s, total_ns)
            return None
        elapsed_s = time_s - last.time_s
        if elapsed_s >= INTERVAL_S:
            last.rate = int((total_ns - last.total_ns) / elapsed_s)
            last.time_s, last.total_ns = time_s, total_ns
        return last.rate

    def keep(self, keys: Collection[Hashable]) -> None:
        for key in [key for key in self._readings if key not in keys]:
            del self._readings[key]
