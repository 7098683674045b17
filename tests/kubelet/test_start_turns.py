"""Sandboxes are made a few at a time, in order, and one that hangs keeps no others."""

from __future__ import annotations

import asyncio

from steersman.aio.clock import FakeClock
from steersman.kubelet.start_turns import StartTurns


class Starts:
    def __init__(self, at_once: int) -> None:
        self.clock = FakeClock()
        self.turns = StartTurns(at_once, counts_s=5.0, clock=self.clock)
        self.began: list[int] = []
        self.ends: dict[int, asyncio.Event] = {}
        self.tasks: dict[int, asyncio.Task[None]] = {}

    async def start(self, *numbers: int) -> None:
        for number in numbers:
            self.ends[number] = asyncio.Event()
            self.tasks[number] = asyncio.create_task(self._one(number))
        await self.clock.advance(0)

    async def end(self, number: int) -> None:
        self.ends[number].set()
        await self.tasks[number]
        await self.clock.advance(0)

    async def _one(self, number: int) -> None:
        async with self.turns.turn():
            self.began.append(number)
            await self.ends[number].wait()


async def test_a_few_at_a_time_in_order() -> None:
    starts = Starts(2)
    await starts.start(1, 2, 3, 4)
    assert starts.began == [1, 2]
    await starts.end(2)
    assert starts.began == [1, 2, 3]
    await starts.end(1)
    await starts.end(3)
    await starts.end(4)
    await starts.start(5, 6, 7)
    assert starts.began == [1, 2, 3, 4, 5, 6]
    for number in (5, 6, 7):
        await starts.end(number)


async def test_one_that_hangs_stops_counting() -> None:
    starts = Starts(1)
    await starts.start(1, 2)
    assert starts.began == [1]
    await starts.clock.advance(5)
    assert starts.began == [1, 2]
    await starts.end(1)
    await starts.start(3)
    assert starts.began == [1, 2], "the turn of the first was given back once"
    await starts.end(2)
    await starts.end(3)


async def test_whoever_gives_up_waiting_leaves_the_turn_to_the_next() -> None:
    starts = Starts(1)
    await starts.start(1, 2, 3)
    starts.tasks[2].cancel()
    await asyncio.gather(starts.tasks[2], return_exceptions=True)
    await starts.end(1)
    assert starts.began == [1, 3]
    await starts.end(3)
