"""Time that a coroutine itself takes."""

from __future__ import annotations

import asyncio

import pytest

from steersman.aio.stopwatch import Stopwatch


class Ticks:
    """A clock that only moves when told."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


async def test_waiting_is_not_counted() -> None:
    ticks = Ticks()

    async def work() -> str:
        ticks.now_s += 2
        await asyncio.sleep(0)
        ticks.now_s += 3
        return "done"

    async def other() -> None:
        ticks.now_s += 100

    watch = Stopwatch(work(), timer=ticks)
    task = asyncio.ensure_future(other())
    assert await watch == "done"
    await task
    assert watch.busy_s == 5


async def test_an_error_comes_through() -> None:
    async def work() -> None:
        await asyncio.sleep(0)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await Stopwatch(work(), timer=Ticks())


async def test_a_cancellation_reaches_the_work() -> None:
    seen: list[str] = []

    async def work() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    async def run() -> None:
        await Stopwatch(work(), timer=Ticks())

    task = asyncio.ensure_future(run())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["cancelled"]


async def test_work_may_catch_what_is_thrown_into_it() -> None:
    async def work() -> str:
        try:
            async with asyncio.timeout(0):
                await asyncio.get_running_loop().create_future()
        except TimeoutError:
            return "in time"
        return "never"

    assert await Stopwatch(work(), timer=Ticks()) == "in time"
