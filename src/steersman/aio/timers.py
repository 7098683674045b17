"""Many deadlines, one sleeping task: callbacks that are due at a time, by key."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
from collections.abc import Callable, Hashable

from steersman.aio.clock import Clock

log = logging.getLogger(__name__)


class Timers:
    """One callback per key, at a monotonic time. Setting a key again replaces it. Use from one event loop only.

    Callbacks run from ``run`` and must be quick; one that raises is logged and does not stop the others.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sequence = itertools.count()
        self._heap: list[tuple[float, int, Hashable]] = []
        self._due: dict[Hashable, tuple[int, Callable[[], None]]] = {}
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._due)

    def after(self, key: Hashable, delay_s: float, callback: Callable[[], None]) -> None:
        """Call ``callback`` once, ``delay_s`` from now."""
        at_s = self._clock.monotonic() + max(delay_s, 0.0)
        sequence = next(self._sequence)
        self._due[key] = (sequence, callback)
        heapq.heappush(self._heap, (at_s, sequence, key))
        if self._heap[0][1] == sequence:
            self._changed.set()

    def cancel(self, key: Hashable) -> None:
        self._due.pop(key, None)

    async def run(self) -> None:
        """Call what is due until cancelled."""
        while True:
            self._changed.clear()
            self._fire()
            if not self._heap:
                await self._changed.wait()
                continue
            delay_s = self._heap[0][0] - self._clock.monotonic()
            sleep = asyncio.ensure_future(self._clock.sleep(delay_s))
            change = asyncio.ensure_future(self._changed.wait())
            try:
                await asyncio.wait({sleep, change}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                sleep.cancel()
                change.cancel()

    def _fire(self) -> None:
        now_s = self._clock.monotonic()
        while self._heap and (self._heap[0][0] <= now_s or self._is_stale(self._heap[0])):
            entry = heapq.heappop(self._heap)
            if self._is_stale(entry):
                continue
            _, callback = self._due.pop(entry[2])
            try:
                callback()
            except Exception:
                log.exception("timer %s failed", entry[2])

    def _is_stale(self, entry: tuple[float, int, Hashable]) -> bool:
        current = self._due.get(entry[2])
        return current is None or current[0] != entry[1]
