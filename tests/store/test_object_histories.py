"""Random histories on the ObjectStore with a tiny window: watches and past lists, with no gap, duplicate or reordering."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings, strategies

from steersman.aio.clock import FakeClock
from steersman.store.api import CompactedError
from steersman.store.drivers.memory import MemoryStore
from steersman.store.objects import ObjectStore
from steersman.store.subscriptions import Subscription

ROOT = "/registry/pods/"
NAMES = ("n/a", "n/b", "m/a", "n/ab")
PREFIXES = ("", "n/", "n/a", "m/")

Change = tuple[str, str, int]
"""type, name, revision"""

_name = strategies.sampled_from(NAMES)
_prefix = strategies.sampled_from(PREFIXES)
_back = strategies.integers(0, 12)
_kinds: Sequence[strategies.SearchStrategy[Any]] = (
    *[strategies.tuples(strategies.just("put"), _name)] * 5,
    strategies.tuples(strategies.just("delete"), _name),
    strategies.tuples(strategies.just("watch"), _prefix, _back),
    strategies.tuples(strategies.just("list"), _prefix, _back),
    strategies.tuples(strategies.just("compact"), _back),
    strategies.tuples(strategies.just("restart")),
)
steps = strategies.lists(strategies.sampled_from(_kinds).flatmap(lambda kind: kind), min_size=15, max_size=50)


@dataclass(slots=True)
class Watch:
    prefix: str
    start: int
    subscription: Subscription


class History:
    def __init__(self) -> None:
        self.store = MemoryStore(FakeClock())
        self.changes: list[Change] = []
        self.states: list[dict[str, int]] = [{}]
        self.watches: list[Watch] = []
        self.compacted = 0
        self.objects: ObjectStore

    async def open(self) -> None:
        self.objects = ObjectStore(self.store, clock=FakeClock())
        await self.objects.start()
        self.objects._cache.window.capacity = 3

    @property
    def revision(self) -> int:
        return len(self.states)

    def applied(self, kind: str, name: str, revision: int, state: dict[str, int]) -> None:
        assert revision == self.revision + 1
        self.states.append(state)
        self.changes.append((kind, name, revision))

    async def put(self, name: str) -> None:
        state = self.states[-1]
        obj = {"metadata": {"name": name}, "spec": self.revision}
        if name in state:
            stored = await self.objects.update(ROOT + name, obj, expected_revision=state[name])
        else:
            stored = await self.objects.create(ROOT + name, obj)
        kind = "MODIFIED" if name in state else "ADDED"
        self.applied(kind, name, stored.revision, {**state, name: stored.revision})

    async def delete(self, name: str) -> None:
        state = self.states[-1]
        if name in state:
            stored = await self.objects.delete(ROOT + name, expected_revision=state[name])
            self.applied("DELETED", name, stored.revision, {key: at for key, at in state.items() if key != name})

    async def watch(self, prefix: str, back: int) -> None:
        start = max(self.revision - back, 1)
        self.watches.append(Watch(prefix, start, self.objects.watch(ROOT + prefix, start_revision=start)))

    async def list(self, prefix: str, back: int) -> None:
        revision = max(self.revision - back, 1)
        try:
            found = await self.objects.list(ROOT + prefix, revision=revision)
        except CompactedError:
            assert revision < self.compacted
            return
        expected = {name: at for name, at in self.states[revision - 1].items() if name.startswith(prefix)}
        assert {item.key.removeprefix(ROOT): item.revision for item in found.items} == expected
        assert [item.key for item in found.items] == sorted(item.key for item in found.items)
        for item in found.items:
            assert item.obj["metadata"]["resourceVersion"] == str(item.revision)

    async def compact(self, back: int) -> None:
        revision = max(self.revision - back, 1)
        if revision > self.compacted:
            await self.store.compact(revision)
            self.compacted = revision

    async def restart(self) -> None:
        await self.check()
        await self.objects.close()
        await self.open()

    async def check(self) -> None:
        for watch in self.watches:
            expected = [
                change for change in self.changes if change[2] > watch.start and change[1].startswith(watch.prefix)
            ]
            seen: list[Change] = []
            try:
                while len(seen) < len(expected):
                    for event in await asyncio.wait_for(anext(watch.subscription), 1):
                        seen.append((event.type, event.key.removeprefix(ROOT), event.revision))
                        assert event.stored.revision == event.revision
                        assert (event.previous is None) == (event.type == "ADDED")
            except CompactedError:
                assert watch.start < self.compacted
                expected = expected[: len(seen)]
            else:
                assert not watch.subscription._buffer
            assert seen == expected
        self.watches = []


@given(steps)
@settings(max_examples=300, deadline=None)
def test_watches_and_past_lists_keep_to_the_history(history: Sequence[tuple[str, *tuple[str | int, ...]]]) -> None:
    async def run() -> None:
        state = History()
        await state.store.start()
        await state.open()
        for step, *args in history:
            await getattr(state, step)(*args)
        await state.check()
        await state.objects.close()
        await state.store.close()

    asyncio.run(run())
