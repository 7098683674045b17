"""Periodic compaction leaves at least one interval of history."""

from __future__ import annotations

import asyncio

import pytest

from steersman.aio.clock import FakeClock
from steersman.store.api import CompactedError, Put
from steersman.store.compaction import Compactor
from steersman.store.drivers.memory import MemoryStore


async def test_history_is_kept_for_one_interval_and_gone_after_two() -> None:
    clock = FakeClock()
    store = MemoryStore(clock)
    await store.start()
    compactor = asyncio.ensure_future(Compactor(store, clock=clock, interval_s=300).run())
    await clock.settle()
    for _ in range(5):
        await store.transact([], [Put(key="/a", value=b"")])
    await clock.advance(300)
    assert await store.get("/a", revision=3) is not None
    await store.transact([], [Put(key="/a", value=b"")])
    await clock.advance(300)
    with pytest.raises(CompactedError):
        await store.get("/a", revision=3)
    assert await store.get("/a", revision=6) is not None
    compactor.cancel()
    await store.close()
