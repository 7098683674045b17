"""A machine that announces its shutdown, as the kubelet sees it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from steersman.kubelet.shutdown.bus import Lock, ShutdownBus, ShutdownBusError


class Machine:
    """A logind that shuts down when told to and nobody holds it up."""

    def __init__(self) -> None:
        self.delay_s = 5.0
        self.grants = True
        self.is_reachable = True
        self.locks: set[object] = set()
        self.news: asyncio.Queue[bool | None] = asyncio.Queue()

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[ShutdownBus]:
        if not self.is_reachable:
            raise ShutdownBusError("no system bus: nothing there")
        yield self

    async def longest_delay_s(self) -> float:
        return self.delay_s

    async def ask_for_delay(self, delay_s: float) -> None:
        if self.grants:
            self.delay_s = delay_s

    async def inhibit(self) -> Lock:
        lock = HeldLock(self)
        self.locks.add(lock)
        return lock

    async def next(self) -> bool:
        news = await self.news.get()
        if news is None:
            raise ShutdownBusError("the bus is gone: closed")
        return news


class HeldLock:
    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def release(self) -> None:
        self._machine.locks.discard(self)
