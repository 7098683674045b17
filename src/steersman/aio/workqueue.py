"""A queue of keys to work on: each key at most once in the queue and at most once in work.

The rules are those of client-go's workqueue: a key added while it is in work runs again afterwards; ``add_after``
delays; ``add_rate_limited`` backs off per key until ``forget``. The queue is bounded by the number of distinct keys.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

from steersman.aio.backoff import ItemBackoff
from steersman.aio.clock import Clock

K = TypeVar("K", bound=Hashable)


class QueueShutDown(Exception):
    """The queue is closed and empty; its workers end."""


class WorkQueue(Generic[K]):
    """Keys in the order of their first ``add``. Use from one event loop only."""

    def __init__(self, clock: Clock, backoff: ItemBackoff | None = None) -> None:
        self._clock = clock
        self._backoff = backoff or ItemBackoff()
        self._ready: deque[K] = deque()
        self._dirty: set[K] = set()
        self._in_work: set[K] = set()
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._timers: dict[K, tuple[float, asyncio.Task[None]]] = {}
        self._closed = False

    def __len__(self) -> int:
        return len(self._ready)

    @property
    def idle(self) -> bool:
        """Nothing is queued, delayed or in work."""
        return not (self._ready or self._in_work or self._timers)

    @property
    def quiet(self) -> bool:
        """Nothing is queued or in work; delayed keys may remain."""
        return not (self._ready or self._in_work)

    def add(self, key: K) -> None:
        """Queue ``key`` unless it is queued already; if it is in work, it is queued again when that is done."""
        if self._closed or key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._in_work:
            self._push(key)

    def add_after(self, key: K, delay_s: float) -> None:
        """Queue ``key`` after ``delay_s``; of several delays for one key the earliest wins."""
        if delay_s <= 0:
            self.add(key)
            return
        if self._closed:
            return
        due_s = self._clock.monotonic() + delay_s
        pending = self._timers.get(key)
        if pending is not None:
            if pending[0] <= due_s:
                return
            pending[1].cancel()
        self._timers[key] = (due_s, asyncio.ensure_future(self._add_later(key, delay_s)))

    def add_rate_limited(self, key: K, *, at_least_s: float = 0.0) -> None:
        """Queue ``key`` after its own backoff, which grows with each call until ``forget``, and not before ``at_least_s``."""
        self.add_after(key, max(self._backoff.when(key), at_least_s))

    def forget(self, key: K) -> None:
        """``key`` succeeded: its backoff starts anew."""
        self._backoff.forget(key)

    def failures(self, key: K) -> int:
        """How often ``key`` was rate limited since it was last forgotten."""
        return self._backoff.failures(key)

    async def get(self) -> K:
        """The next key, marked as in work until ``done``. Raises ``QueueShutDown`` once closed and empty."""
        while not self._ready:
            if self._closed:
                raise QueueShutDown
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                # It may have been woken for a key already; another worker must hear of that key then.
                if self._ready and waiter.done() and not waiter.cancelled():
                    self._wake()
                raise
        key = self._ready.popleft()
        self._dirty.discard(key)
        self._in_work.add(key)
        return key

    def done(self, key: K) -> None:
        """``key`` is no longer in work; it is queued again if it was added meanwhile."""
        self._in_work.discard(key)
        if key in self._dirty:
            self._push(key)

    def close(self) -> None:
        """Accept nothing more; what is queued can still be taken."""
        self._closed = True
        for _, timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        while self._waiters:
            self._wake()

    def _push(self, key: K) -> None:
        self._ready.append(key)
        self._wake()

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    async def _add_later(self, key: K, delay_s: float) -> None:
        await self._clock.sleep(delay_s)
        self._timers.pop(key, None)
        self.add(key)
