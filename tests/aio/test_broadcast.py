"""One producer and many readers: each sees everything in order or learns that it did not."""

from __future__ import annotations

import asyncio

import pytest

from steersman.aio.broadcast import Broadcaster, Overrun


async def test_every_reader_sees_everything_since_it_came() -> None:
    source = Broadcaster[int]()
    early = source.subscribe()
    source.publish(1)
    late = source.subscribe()
    source.publish(2)
    source.close()
    assert [item async for item in early] == [1, 2]
    assert [item async for item in late] == [2]
    assert len(source) == 0


async def test_a_reader_that_falls_behind_is_cut_and_others_go_on() -> None:
    source = Broadcaster[int]()
    slow, quick = source.subscribe(limit=2), source.subscribe(limit=10)
    for number in range(3):
        source.publish(number)
    with pytest.raises(Overrun):
        await anext(slow)
    assert [await anext(quick) for _ in range(3)] == [0, 1, 2]
    assert len(source) == 1


async def test_a_waiting_reader_ends_when_it_is_closed() -> None:
    reader = Broadcaster[int]().subscribe()
    waiting = asyncio.ensure_future(anext(reader))
    await asyncio.sleep(0)
    reader.close()
    with pytest.raises(StopAsyncIteration):
        await waiting
