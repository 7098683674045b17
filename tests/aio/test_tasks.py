"""Task groups: tasks live no longer than their owner and do not die unseen."""

from __future__ import annotations

import asyncio

import pytest

from steersman.aio.backoff import Backoff
from steersman.aio.clock import FakeClock
from steersman.aio.tasks import TaskGroup


async def _for_ever(ended: list[str]) -> None:
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        ended.append("ended")


async def _fail() -> None:
    raise ValueError("broken")


async def test_leaving_the_block_ends_every_task() -> None:
    ended: list[str] = []
    async with TaskGroup("test") as group:
        group.spawn(_for_ever(ended), name="a")
        await asyncio.sleep(0)
    assert ended == ["ended"]


async def test_a_failure_ends_the_siblings_and_is_raised() -> None:
    ended: list[str] = []
    with pytest.raises(ValueError, match="broken"):
        async with TaskGroup("test") as group:
            group.spawn(_for_ever(ended), name="a")
            group.spawn(_fail(), name="b")
            await group.wait()
    assert ended == ["ended"]


async def test_a_failure_is_raised_also_where_nobody_waited() -> None:
    with pytest.raises(ValueError, match="broken"):
        async with TaskGroup("test") as group:
            group.spawn(_fail(), name="a")
            await asyncio.sleep(0.01)


async def test_a_supervised_task_starts_again_with_backoff() -> None:
    clock, starts = FakeClock(0), list[float]()

    async def start() -> None:
        starts.append(clock.now())
        await _fail()

    async with TaskGroup("test") as group:
        group.supervise(start, name="a", clock=clock, backoff=Backoff(initial_s=1, cap_s=4))
        await clock.advance(11.5)
    assert starts == [0, 1, 3, 7, 11]
