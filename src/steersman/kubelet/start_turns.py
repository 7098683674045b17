"""How many sandboxes are made at once.

A runtime that is asked for a hundred sandboxes at a time makes all of them slowly, and the first pod runs when the last
one nearly does. With a few at a time pods start one after the other, and no later in all. A sandbox that takes long
stops counting: whatever it waits for is no reason to keep the others.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from steersman.aio.clock import Clock


class StartTurns:
    """Waiters go in the order in which they came; there is one for each pod that starts."""

    def __init__(self, at_once: int, *, counts_s: float, clock: Clock) -> None:
        """``counts_s``: for so long a turn is taken at most."""
        self._free = at_once
        self._counts_s = counts_s
        self._clock = clock
        self._waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        await self._take()
        given_back = asyncio.ensure_future(self._give_back_late())
        try:
            yield
        finally:
            if not given_back.done():
                given_back.cancel()
                self._give_back()

    async def _take(self) -> None:
        if self._free > 0:
            self._free -= 1
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._give_back()
            raise

    async def _give_back_late(self) -> None:
        await self._clock.sleep(self._counts_s)
        self._give_back()

    def _give_back(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._free += 1
