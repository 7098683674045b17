"""Random histories over API servers: writers, watchers and listers at once, restarts and compactions between.

No watch has a gap, a duplicate or a change out of order; every list is the whole of one state; no write is lost, none
happens twice; what one server acknowledged the other has.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from steersman.aio.clock import SystemClock
from steersman.meta.resources import CONFIGMAPS
from steersman.store.api import CompactedError, Store, StoreUnavailable
from steersman.store.drivers.etcd import EtcdStore
from steersman.store.drivers.memory import MemoryStore
from steersman.store.drivers.sqlite import SQLiteStore
from steersman.testing.etcd import EtcdServer, find_etcds
from steersman.testing.waiting import eventually
from tests.apiserver.histories.actors import DOWN, END, LABELS, Actor, Lister, Memory, Watcher, Writer, manifest
from tests.apiserver.histories.truth import Truth
from tests.apiserver.histories.world import World

WRITERS = 3
DEADLINE_S = 120

Disturbance = Callable[[], Awaitable[None]]

programs = find_etcds()
needs_etcd = pytest.mark.skipif(not programs, reason="no etcd on this machine")


class LastingMemoryStore(MemoryStore):
    """Outlives the server that closes it: a restart in one process."""

    async def start(self) -> None:
        if not self._open:
            await super().start()

    async def close(self) -> None:
        return None


class History:
    """One run. ``disturbances`` come one after another while the writers write, evenly."""

    def __init__(self, world: World, *, seed: int, witness: Store | None = None) -> None:
        self.world = world
        self.memory = Memory()
        self.truth = Truth()
        self.rng = random.Random(seed)
        self._witness = witness

    def _store(self) -> Store:
        return self._witness or self.world.store()

    def _seeded(self) -> random.Random:
        return random.Random(self.rng.random())

    async def restart(self) -> None:
        await self.world.restart(self.rng.randrange(len(self.world.servers)))

    async def compact(self) -> None:
        revision = max(self.truth.revision - self.rng.randrange(40), 2)
        while True:
            try:
                await self.world.compact(revision)
                return
            except CompactedError:
                return
            except StoreUnavailable:
                await asyncio.sleep(0.01)

    async def run(self, *, writes: int, disturbances: Sequence[Disturbance]) -> None:
        await self.world.start()
        following = asyncio.create_task(self.truth.follow(self._store))
        try:
            async with asyncio.timeout(DEADLINE_S):
                await self.truth.reach(self.world.servers[0].objects.revision)
                await self._act(writes, disturbances)
                await self.truth.reach(self.memory.latest)
        finally:
            following.cancel()
            await asyncio.wait([following])
            await self.world.close()
        self._check()

    async def _act(self, writes: int, disturbances: Sequence[Disturbance]) -> None:
        world, memory = self.world, self.memory
        writers = [
            Writer(world=world, memory=memory, rng=self._seeded(), name=f"writer-{number}") for number in range(WRITERS)
        ]
        watchers = [Watcher(world=world, memory=memory, rng=self._seeded(), label=label) for label in LABELS * 2]
        listers = [Lister(world=world, memory=memory, rng=self._seeded()) for _ in range(2)]
        async with asyncio.TaskGroup() as tasks:
            writing = [tasks.create_task(writer.run(writes)) for writer in writers]
            for watcher in watchers:
                tasks.create_task(watcher.run())
            for lister in listers:
                tasks.create_task(lister.run())
            for number, disturb in enumerate(disturbances, 1):
                await self._answered(WRITERS * writes * number // (len(disturbances) + 1))
                await disturb()
            await asyncio.wait(writing)
            await self._end()
            memory.is_over = True

    async def _answered(self, count: int) -> None:
        await eventually(lambda: self.memory.answered >= count, timeout_s=DEADLINE_S)

    async def _end(self) -> None:
        client = Actor(world=self.world, memory=self.memory, rng=self._seeded())
        while True:
            try:
                last = await client.client.create(
                    CONFIGMAPS, manifest(END, {"end": "1"}, dict.fromkeys(LABELS[1:], ""))
                )
                break
            except DOWN:
                await asyncio.sleep(0.01)
        self.memory.acknowledge("end=1", last)

    def _check(self) -> None:
        truth, memory = self.truth, self.memory
        truth.check_writes(memory.acknowledged)
        for chain in memory.chains:
            truth.check_chain(chain)
        for snapshot in memory.snapshots:
            truth.check_snapshot(snapshot)
        for reading in memory.readings:
            truth.check_reading(reading)
        assert sum(len(chain.events) for chain in memory.chains) > len(memory.acknowledged)
        assert len(memory.snapshots) > len(LABELS)


@pytest.mark.parametrize("seed", range(3))
async def test_on_memory(seed: int) -> None:
    store = LastingMemoryStore(SystemClock())
    history = History(World(lambda: store), seed=seed)
    compact, restart = history.compact, history.restart
    await history.run(writes=300, disturbances=[compact, restart, compact, compact, restart])


@pytest.mark.parametrize("seed", range(2))
async def test_on_sqlite(seed: int, tmp_path: Path) -> None:
    def opened() -> Store:
        return SQLiteStore(tmp_path / "store.db", SystemClock())

    history = History(World(opened), seed=seed)
    compact, restart = history.compact, history.restart
    await history.run(writes=100, disturbances=[restart, compact, compact, restart, compact])


@asynccontextmanager
async def witnessed(folder: Path) -> AsyncIterator[tuple[EtcdServer, EtcdStore]]:
    """An etcd, and a client of it beside the servers."""
    with EtcdServer(programs[0], folder) as etcd:
        witness = EtcdStore(etcd.config)
        await witness.start()
        yield etcd, witness
        await witness.close()


@needs_etcd
@pytest.mark.parametrize("seed", range(2))
async def test_two_servers_on_etcd(seed: int, tmp_path: Path) -> None:
    async with witnessed(tmp_path) as (etcd, witness):
        history = History(World(lambda: EtcdStore(etcd.config), count=2), seed=seed, witness=witness)
        compact, restart = history.compact, history.restart
        await history.run(writes=80, disturbances=[compact, restart, compact, restart])


@needs_etcd
async def test_two_servers_on_an_etcd_that_is_killed(tmp_path: Path) -> None:
    async with witnessed(tmp_path) as (etcd, witness):
        history = History(World(lambda: EtcdStore(etcd.config), count=2), seed=5, witness=witness)

        async def kill() -> None:
            etcd.kill()
            await asyncio.to_thread(etcd.start)

        await history.run(writes=150, disturbances=[kill, history.compact, kill])
        assert history.memory.failed
