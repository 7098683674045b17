"""Deadlines: a request that is not a watch or a stream is answered within its ``timeout``, or with 504.

One sweeper looks after all requests, so that a deadline costs a dictionary entry rather than a timer and a task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from steersman.aio.clock import Clock
from steersman.apiserver.call import Call
from steersman.apiserver.filters.api import Filter, Next
from steersman.meta.durations import parse_duration
from steersman.meta.errors import APIError, BadRequest, Timeout
from steersman.meta.wire import Response

SWEEP_INTERVAL_S = 0.25


class DeadlineFilter:
    """Cancels what takes too long."""

    NAME = "deadline"

    def __init__(self, clock: Clock, *, limit_s: float, gave_up: Callable[[str], None] = lambda result: None) -> None:
        """``gave_up`` is told how each of the expired came to its end: ``ok`` or ``panic``."""
        self._clock = clock
        self._gave_up = gave_up
        self._limit_s = limit_s
        self._due: dict[asyncio.Task[object], float] = {}
        self._expired: set[asyncio.Task[object]] = set()

    async def __call__(self, call: Call, following: Next) -> Response:
        if call.info.is_long_running:
            return await following(call)
        limit_s = self._limit_s
        wanted = call.query("timeout")
        if wanted:
            wanted_s = _requested(wanted)
            if 0 < wanted_s < limit_s:
                limit_s = wanted_s
        call.time_limit_s = limit_s
        task = asyncio.current_task()
        if task is None or task in self._due:
            return await following(call)
        self._due[task] = call.deadline_s = call.received_s + limit_s
        try:
            response = await following(call)
            self._ended(task, "ok")
            return response
        except asyncio.CancelledError:
            if task in self._expired and not task.uncancel():
                self._ended(task, "ok")
                raise Timeout("Timeout: request did not complete within the allotted timeout") from None
            raise
        except APIError:
            self._ended(task, "ok")
            raise
        except Exception:
            self._ended(task, "panic")
            raise
        finally:
            del self._due[task]
            self._expired.discard(task)

    def _ended(self, task: asyncio.Task[object], result: str) -> None:
        if self._expired and task in self._expired:
            self._gave_up(result)

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            await self._clock.sleep(SWEEP_INTERVAL_S)
            now_s = self._clock.monotonic()
            for task, due_s in tuple(self._due.items()):
                if due_s <= now_s and task not in self._expired:
                    self._expired.add(task)
                    task.cancel()

    @property
    def in_flight(self) -> int:
        return len(self._due)


def _requested(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise BadRequest(f"invalid timeout specified in the request URL - {error}") from error


def _conforms(clock: Clock) -> Filter:
    return DeadlineFilter(clock, limit_s=60)
