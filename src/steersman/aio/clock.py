"""Time as an argument: nothing in Steersman reads the wall clock behind its caller's back.

``SystemClock`` is time as it passes; ``FakeClock`` is time that a test owns and moves with ``advance``.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Awaitable
from typing import Protocol, TypeVar

T = TypeVar("T")

SETTLE_ROUNDS = 200
"""How many turns of the event loop ``FakeClock`` gives other tasks after each step of time, where it cannot see whether any
of them is runnable."""
SETTLE_LIMIT = 100_000
"""How many turns it gives where it can see: tasks that never rest are cut off here."""


class Clock(Protocol):
    """Where components get the time from and how they let it pass. All values are seconds."""

    def now(self) -> float:
        """Wall-clock time, seconds since the Unix epoch."""

    def monotonic(self) -> float:
        """Time that never goes backwards, from an arbitrary origin."""

    async def sleep(self, delay_s: float) -> None:
        """Return after ``delay_s``; at once (yielding to other tasks) when it is not positive."""

    async def wait_for(self, awaitable: Awaitable[T], timeout_s: float) -> T:
        """The result of ``awaitable``; it is cancelled and ``TimeoutError`` raised after ``timeout_s``."""


class SystemClock:
    """Time as it passes."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)
    """Asked some thirty times in a write of the API server: without a frame of Python between."""

    async def sleep(self, delay_s: float) -> None:
        await asyncio.sleep(max(delay_s, 0.0))

    async def wait_for(self, awaitable: Awaitable[T], timeout_s: float) -> T:
        return await asyncio.wait_for(awaitable, timeout_s)


class FakeClock:
    """Time that stands still until its owner moves it.

    ``advance`` wakes every sleeper in order of its deadline and gives the woken tasks turns of the event loop before
    the next one, so that what they do happens at the time they see.
    """

    def __init__(self, start_s: float = 1_767_225_600.0) -> None:
        self._now_s = start_s
        self._sequence = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self._now_s

    def monotonic(self) -> float:
        return self._now_s

    async def sleep(self, delay_s: float) -> None:
        if delay_s <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now_s + delay_s, next(self._sequence), woken))
        await woken

    async def wait_for(self, awaitable: Awaitable[T], timeout_s: float) -> T:
        work = asyncio.ensure_future(awaitable)
        timer = asyncio.ensure_future(self.sleep(timeout_s))
        try:
            await asyncio.wait({work, timer}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return work.result()
            work.cancel()
            await asyncio.wait({work})
            raise TimeoutError
        finally:
            timer.cancel()
            if not work.done():
                work.cancel()

    async def advance(self, delay_s: float) -> None:
        """Move time forward by ``delay_s``, waking sleepers one deadline at a time."""
        deadline_s = self._now_s + delay_s
        await self.settle()
        while self._sleepers and self._sleepers[0][0] <= deadline_s:
            due_s, _, woken = heapq.heappop(self._sleepers)
            if woken.done():
                continue
            self._now_s = max(self._now_s, due_s)
            woken.set_result(None)
            await self.settle()
        self._now_s = deadline_s
        await self.settle()

    def next_deadline(self) -> float | None:
        """When the earliest sleeper wakes, or None when nothing sleeps."""
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] if self._sleepers else None

    async def settle(self) -> None:
        """Give runnable tasks their turns without moving time, until none is runnable."""
        # asyncio's own loop keeps what is runnable in ``_ready``; other loops do not show it.
        ready = getattr(asyncio.get_running_loop(), "_ready", None)
        if ready is None:
            for _ in range(SETTLE_ROUNDS):
                await asyncio.sleep(0)
            return
        for _ in range(SETTLE_LIMIT):
            await asyncio.sleep(0)
            if not ready:
                return


def _conforms() -> list[Clock]:
    return [SystemClock(), FakeClock()]
