"""Time that its owner moves."""

from __future__ import annotations

import asyncio

import pytest

from steersman.aio.clock import FakeClock


async def test_sleepers_wake_in_order_and_at_their_own_time() -> None:
    clock, woken = FakeClock(0), list[tuple[str, float]]()

    async def sleep(name: str, *delays_s: float) -> None:
        for delay_s in delays_s:
            await clock.sleep(delay_s)
            woken.append((name, clock.now()))

    tasks = [asyncio.ensure_future(sleep("a", 3, 3)), asyncio.ensure_future(sleep("b", 1, 4))]
    await clock.advance(10)
    assert woken == [("b", 1), ("a", 3), ("b", 5), ("a", 6)]
    assert clock.now() == 10
    assert clock.next_deadline() is None
    await asyncio.gather(*tasks)


async def test_waiting_gives_the_result_or_cancels_the_work() -> None:
    clock, ended = FakeClock(0), list[str]()

    async def work(delay_s: float) -> str:
        try:
            await clock.sleep(delay_s)
            return "done"
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    quick, slow = (asyncio.ensure_future(clock.wait_for(work(delay_s), 2)) for delay_s in (1, 5))
    await clock.advance(3)
    assert await quick == "done"
    with pytest.raises(TimeoutError):
        await slow
    assert ended == ["cancelled"]
    assert clock.next_deadline() is None
