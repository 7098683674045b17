"""Watches of the embedded drivers: history first, then commits as they are published.

A watcher has a bounded buffer. One that falls behind is not cut: its buffer is dropped and it reads what it missed from
the driver's history, from the revision it had reached, until it has caught up.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable

from steersman.aio.clock import Clock
from steersman.store.api import StoreUnavailable, WatchBatch

BUFFER = 1024
"""Batches that a watcher may be behind before it has to read history again."""
PAGE = 1000
"""About how many changes are read from history at once."""
PROGRESS_INTERVAL_S = 10.0

ReadHistory = Callable[[str, int, int], Awaitable[WatchBatch]]
"""``(prefix, first revision, about how many)`` -> the changes from that revision on, and how far they reach.

Never splits a revision. Raises ``CompactedError``.
"""


class _Watcher:
    """The buffer of one watch that has caught up."""

    def __init__(self, prefix: str, position: int, told: int) -> None:
        self.prefix = prefix
        self.position = position
        """The revision it wants next."""
        self.told = told
        """The revision of the last batch that its reader got."""
        self.behind = False
        self.error: Exception | None = None
        self._buffer: deque[WatchBatch] = deque()
        self._waiter: asyncio.Future[None] | None = None

    def offer(self, batch: WatchBatch) -> None:
        if batch.revision < self.position:
            return
        events = [event for event in batch.events if event.key.startswith(self.prefix)]
        if not events:
            return
        if len(self._buffer) >= BUFFER:
            self.behind = True
            self._buffer.clear()
        elif len(events) == len(batch.events):
            self._buffer.append(batch)
        else:
            self._buffer.append(WatchBatch(revision=batch.revision, events=events))
        self._wake()

    def offer_progress(self, revision: int) -> None:
        if not self._buffer and revision > self.told:
            self._buffer.append(WatchBatch(revision=revision))
            self._wake()

    def fail(self, error: Exception) -> None:
        self.error = error
        self._wake()

    async def take(self) -> WatchBatch | None:
        """The next batch; None when this watcher has to read history."""
        while not self._buffer:
            if self.behind:
                return None
            if self.error is not None:
                raise self.error
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        batch = self._buffer.popleft()
        self.position, self.told = batch.revision + 1, batch.revision
        return batch

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class WatchHub:
    """Publishes each commit to observers, at once, and to watchers, through their buffers."""

    def __init__(self, read_history: ReadHistory, clock: Clock) -> None:
        self._read_history = read_history
        self._clock = clock
        self._watchers: set[_Watcher] = set()
        self._observers: list[Callable[[WatchBatch], None]] = []
        self._ticker: asyncio.Task[None] | None = None
        self._closed = False
        self.revision = 1
        """The last one published."""

    def observe(self, observer: Callable[[WatchBatch], None]) -> Callable[[], None]:
        self._observers.append(observer)
        return lambda: self._observers.remove(observer)

    def publish(self, batch: WatchBatch) -> None:
        """``batch`` is committed. Batches are published in order of their revisions."""
        self.revision = batch.revision
        for observer in tuple(self._observers):
            observer(batch)
        for watcher in self._watchers:
            watcher.offer(batch)

    async def watch(self, prefix: str, start_revision: int) -> AsyncGenerator[WatchBatch, None]:
        if start_revision < 1:
            raise ValueError("a watch starts at revision 1 or later")
        position, told = start_revision, start_revision - 1
        while True:
            while position <= self.revision:
                page = await self._read_history(prefix, position, PAGE)
                position = page.revision + 1
                if page.events:
                    told = page.revision
                    yield page
            watcher = _Watcher(prefix, position, told)
            self._add(watcher)
            try:
                while (batch := await watcher.take()) is not None:
                    yield batch
            finally:
                self._watchers.discard(watcher)
            position, told = watcher.position, watcher.told

    def fail(self, error: Exception) -> None:
        """The store goes away: every watch ends with ``error`` after what it has buffered."""
        self._closed = True
        for watcher in self._watchers:
            watcher.fail(error)
        if self._ticker is not None:
            self._ticker.cancel()

    def _add(self, watcher: _Watcher) -> None:
        if self._closed:
            raise StoreUnavailable("the store is closed")
        self._watchers.add(watcher)
        if self._ticker is None or self._ticker.done():
            self._ticker = asyncio.get_running_loop().create_task(self._tick(), name="store/progress")

    async def _tick(self) -> None:
        while self._watchers:
            await self._clock.sleep(PROGRESS_INTERVAL_S)
            for watcher in self._watchers:
                watcher.offer_progress(self.revision)
