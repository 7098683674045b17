"""Looks for what a runtime may wait for in vain, while calls of it take long."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Final

from msgspec import Struct

from steersman.aio.clock import Clock

FIRST_LOOK_S: Final = 2.0
"""After the beginning of a call; the next after twice that time, and so on: a command may take long for good reasons."""


class _Call(Struct, eq=False):
    began_s: float
    look_at_s: float


class HangWatch:
    """Make it and use it on one event loop. It costs nothing while no call takes longer than ``FIRST_LOOK_S``."""

    def __init__(self, look: Callable[[], None], *, clock: Clock) -> None:
        """``look`` is called in a thread, never twice at a time."""
        self._look = look
        self._clock = clock
        self._calls: dict[int, _Call] = {}
        self._task: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Around a call that may hang."""
        now_s = self._clock.monotonic()
        call = _Call(began_s=now_s, look_at_s=now_s + FIRST_LOOK_S)
        self._calls[id(call)] = call
        if self._task is None:
            self._task = asyncio.ensure_future(self._watch())
        try:
            yield
        finally:
            del self._calls[id(call)]

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _watch(self) -> None:
        """As long as calls are under way."""
        while True:
            await self._clock.sleep(FIRST_LOOK_S)
            if not self._calls:
                break
            now_s = self._clock.monotonic()
            due = [call for call in self._calls.values() if now_s >= call.look_at_s]
            for call in due:
                call.look_at_s = now_s + (now_s - call.began_s)
            if due:
                await asyncio.to_thread(self._look)
        self._task = None
