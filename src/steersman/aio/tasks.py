"""Named task groups: every background task has an owner, a name and a stated rule for its death.

``spawn`` is for tasks whose failure must stop the owner; ``supervise`` restarts a task that fails, visibly.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any, TypeVar

from steersman.aio.backoff import Backoff
from steersman.aio.clock import Clock

T = TypeVar("T")
log = logging.getLogger(__name__)


class TaskGroup:
    """Tasks that live no longer than their owner.

    Leaving the ``async with`` block cancels every task that is still running and waits for it. A ``spawn``ed task that
    raises is reported, cancels its siblings, and its error is raised by ``wait`` and on leaving the block.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._tasks: set[asyncio.Task[Any]] = set()
        self._failure: BaseException | None = None
        self._failed = asyncio.Event()
        self._closing = False

    async def __aenter__(self) -> TaskGroup:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
        if self._failure is not None and error is None:
            raise self._failure

    def spawn(self, work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        """Run ``work`` as ``<group>/<name>``; its failure is the failure of the group."""
        task = asyncio.get_running_loop().create_task(work, name=f"{self.name}/{name}")
        self._tasks.add(task)
        task.add_done_callback(self._on_done)
        return task

    def supervise(
        self, start: Callable[[], Awaitable[None]], *, name: str, clock: Clock, backoff: Backoff | None = None
    ) -> asyncio.Task[None]:
        """Run ``start()`` again and again: after a failure with backoff and a logged error, after a return at once."""
        return self.spawn(self._supervise(start, name, clock, backoff or Backoff()), name=name)

    async def wait(self) -> None:
        """Until every task has ended. Raises the first failure."""
        while self._tasks and self._failure is None:
            failed = asyncio.ensure_future(self._failed.wait())
            try:
                await asyncio.wait({*self._tasks, failed}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                failed.cancel()
        if self._failure is not None:
            raise self._failure

    def cancel(self) -> None:
        """Ask every task to end, without waiting for it."""
        self._closing = True
        for task in self._tasks:
            task.cancel()

    async def close(self) -> None:
        """Cancel what is running and wait for it to end."""
        self._closing = True
        current = asyncio.current_task()
        while pending := {task for task in self._tasks if task is not current}:
            for task in pending:
                task.cancel()
            await asyncio.wait(pending)

    def _on_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            return
        log.error("task %s failed", task.get_name(), exc_info=error)
        if self._failure is None and not self._closing:
            self._failure = error
            self._failed.set()
            for sibling in self._tasks:
                sibling.cancel()

    async def _supervise(self, start: Callable[[], Awaitable[None]], name: str, clock: Clock, backoff: Backoff) -> None:
        while True:
            began_s = clock.monotonic()
            try:
                await start()
                delay_s = 0.0
            except Exception:
                if clock.monotonic() - began_s > backoff.cap_s:
                    backoff.reset()
                delay_s = backoff.next()
                log.exception("task %s/%s failed; restarting it in %.1f s", self.name, name, delay_s)
            await clock.sleep(delay_s)
