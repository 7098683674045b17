"""Waiting for something to become true: on predicates with a deadline, never on time passing."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any

from steersman.aio.clock import Clock, FakeClock

REAL_POLL_S = 0.01


async def eventually(
    predicate: Callable[[], Any | Awaitable[Any]], *, clock: Clock | None = None, timeout_s: float = 30.0
) -> Any:
    """The first true value of ``predicate()`` (which may be asynchronous); an ``AssertionError`` after ``timeout_s``.

    An ``AssertionError`` of the predicate counts as "not yet", and the last one is shown. With a ``FakeClock``, time moves
    from one sleeper's deadline to the next until the predicate holds, and ``timeout_s`` is that clock's time.
    """
    if isinstance(clock, FakeClock):
        return await _on_fake_clock(predicate, clock, timeout_s)
    deadline_s = time.monotonic() + timeout_s
    while True:
        value, failure = await _ask(predicate)
        if value:
            return value
        if time.monotonic() > deadline_s:
            raise AssertionError(f"not so within {timeout_s:g} s: {_describe(predicate)}") from failure
        await asyncio.sleep(REAL_POLL_S)


async def _on_fake_clock(predicate: Callable[[], Any], clock: FakeClock, timeout_s: float) -> Any:
    deadline_s = clock.now() + timeout_s
    while True:
        await clock.settle()
        value, failure = await _ask(predicate)
        if value:
            return value
        next_s = clock.next_deadline()
        if next_s is None or next_s > deadline_s:
            raise AssertionError(
                f"not so within {timeout_s:g} s of the cluster's time: {_describe(predicate)}"
            ) from failure
        await clock.advance(max(next_s - clock.now(), 0.0))


async def _ask(predicate: Callable[[], Any]) -> tuple[Any, AssertionError | None]:
    try:
        value = predicate()
        if inspect.isawaitable(value):
            value = await value
    except AssertionError as failure:
        return None, failure
    return value, None


def _describe(predicate: Callable[[], Any]) -> str:
    return getattr(predicate, "__name__", repr(predicate))
