"""Time limits for many requests at once: one timer of the event loop looks after all of them.

``asyncio.timeout`` sets and cancels a timer for each, which is 8 µs of the 106 µs that a small request over TLS costs its
client. In exchange, what takes too long is cut up to ``SWEEP_S`` late.
"""

from __future__ import annotations

import asyncio
from types import TracebackType

SWEEP_S = 1.0


class Deadlines:
    """Cancels tasks that are inside of a ``Limited`` for longer than ``limit_s``."""

    def __init__(self, limit_s: float, *, sweep_s: float = SWEEP_S) -> None:
        self.limit_s = limit_s
        self._sweep_s = sweep_s
        self._loop = asyncio.get_running_loop()
        self._running: dict[Limited, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def enter(self, entry: Limited) -> None:
        self._running[entry] = self._loop.time() + self.limit_s
        if self._timer is None:
            self._timer = self._loop.call_later(self._sweep_s, self._sweep)

    def leave(self, entry: Limited) -> None:
        self._running.pop(entry, None)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _sweep(self) -> None:
        now_s = self._loop.time()
        for entry, due_s in [*self._running.items()]:
            if due_s > now_s:
                break  # they are in the order in which they began, and all have the same limit
            del self._running[entry]
            entry.expire()
        self._timer = self._loop.call_later(self._sweep_s, self._sweep) if self._running else None


class Limited:
    """``with Limited(deadlines):`` raises ``TimeoutError`` where what is inside takes too long.

    A cancellation from elsewhere stays one, also where it comes together with the expiry.
    """

    __slots__ = ("_cancelling", "_deadlines", "_expired", "_task")

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._expired = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("only a task can be given a deadline")
        self._task, self._cancelling = task, task.cancelling()
        self._deadlines.enter(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._deadlines.leave(self)
        if not self._expired or self._task is None:
            return
        if self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError(f"no answer within {self._deadlines.limit_s:g} s") from error

    def expire(self) -> None:
        self._expired = True
        if self._task is not None:
            self._task.cancel()
