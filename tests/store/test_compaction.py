"""Periodic compaction leaves at least one interval of history."""

from __future__ import annotations

import asyncio

import pytest

from steersman.aio.clock import FakeClock
from steersman.store.api import CompactedError, Put
from steersman.store.compaction import Compactor
from steersman.store.drivers.memory import MemoryStore
from steersman.store.objects import ObjectStore


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


async def test_what_is_compacted_is_not_told_even_where_the_cache_remembers_it() -> None:
    """A page of a list that nothing has changed since could be told for ever; a client must see its token expire."""
    clock = FakeClock()
    store = MemoryStore(clock)
    await store.start()
    objects = ObjectStore(store, clock=clock)
    await objects.start()
    compactors = [
        asyncio.ensure_future(Compactor(store, clock=clock, interval_s=300, compacted=told).run())
        for told in (objects.compacted, lambda revision: None)
    ]
    await clock.settle()
    old = await objects.create("/registry/maps/a", {"metadata": {"name": "a"}})
    for number in range(3):
        await objects.create(f"/registry/others/{number}", {"metadata": {"name": str(number)}})
    assert (await objects.list("/registry/maps/", revision=old.revision)).items
    await clock.advance(300)
    await objects.create("/registry/others/z", {"metadata": {"name": "z"}})
    await clock.advance(300)
    with pytest.raises(CompactedError):
        await objects.list("/registry/maps/", revision=old.revision)
    for compactor in compactors:
        compactor.cancel()
    await objects.close()
    await store.close()
