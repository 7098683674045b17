"""Looks after every APIService again and again: when something changed, when the last look failed, and once in a while."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from steersman.aio.backoff import ItemBackoff
from steersman.aio.clock import Clock
from steersman.aio.tasks import TaskGroup
from steersman.aio.workqueue import QueueShutDown, WorkQueue
from steersman.meta.errors import APIError
from steersman.store.api import StoreUnavailable

log = logging.getLogger(__name__)


class LookFailed(Exception):
    """Nothing is wrong here, but what was looked at is not as it should be: to be looked at again soon."""


class Refresher:
    """``look(name)`` for each name that is added; again after ``interval_s`` where that returns true, sooner where it
    raises."""

    def __init__(
        self,
        what: str,
        look: Callable[[str], Awaitable[bool]],
        *,
        clock: Clock,
        interval_s: float,
        backoff: ItemBackoff,
        workers: int = 2,
    ) -> None:
        self._what = what
        self._look = look
        self._interval_s = interval_s
        self._queue: WorkQueue[str] = WorkQueue(clock, backoff)
        self._workers = workers

    def add(self, name: str) -> None:
        self._queue.add(name)

    def start(self, tasks: TaskGroup) -> None:
        for number in range(self._workers):
            tasks.spawn(self._work(), name=f"{self._what}-{number}")

    def close(self) -> None:
        self._queue.close()

    async def _work(self) -> None:
        while True:
            try:
                name = await self._queue.get()
            except QueueShutDown:
                return
            try:
                again = await self._look(name)
            except (APIError, LookFailed, StoreUnavailable) as error:
                log.info("%s of %s: %s", self._what, name, error)
                self._queue.add_rate_limited(name)
            except Exception:
                log.exception("%s of %s failed", self._what, name)
                self._queue.add_rate_limited(name)
            else:
                self._queue.forget(name)
                if again:
                    self._queue.add_after(name, self._interval_s)
            finally:
                self._queue.done(name)
