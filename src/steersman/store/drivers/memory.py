"""The store in memory: for tests and simulations. Nothing is durable; everything else is as in the other drivers."""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import AsyncGenerator, Callable, Sequence

from steersman.aio.clock import Clock
from steersman.store.api import (
    CompactedError,
    Compare,
    Delete,
    EmbeddedStore,
    FutureRevisionError,
    KeyValue,
    Operation,
    RangeResult,
    Store,
    StoreEvent,
    StoreUnavailable,
    TransactionResult,
    WatchBatch,
)
from steersman.store.drivers.leases import LeasedKeys, LeaseTimer
from steersman.store.drivers.transaction import changes, check, failed_compare
from steersman.store.drivers.watching import WatchHub
from steersman.store.sorted_map import SortedMap

Versions = list[tuple[int, KeyValue | None]]
"""(revision, what the key was from then on), ascending; None where it did not exist."""


class MemoryStore:
    """Every version of every key since the last compaction, and every event in order."""

    def __init__(self, clock: Clock) -> None:
        self._keys: SortedMap[Versions] = SortedMap()
        self._events: list[StoreEvent] = []
        self._revision = 1
        self._compacted = 0
        self._open = False
        self._hub = WatchHub(self._read_history, clock)
        self._leased = LeasedKeys()
        self._lease_ids = itertools.count(1)
        self._timer = LeaseTimer(clock, self.revoke_lease)

    async def start(self) -> None:
        self._open = True

    async def close(self) -> None:
        self._open = False
        self._hub.fail(StoreUnavailable("the store is closed"))
        await self._timer.close()

    async def revision(self) -> int:
        self._check_open()
        return self._revision

    async def size_bytes(self) -> int:
        self._check_open()
        versions = (found for history in self._keys.range_values() for _, found in history if found is not None)
        return sum(len(found.key) + len(found.value) for found in versions)

    async def get(self, key: str, *, revision: int = 0) -> KeyValue | None:
        at = self._check_revision(revision)
        return _as_of(self._keys.get(key), at)

    async def range(self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0) -> RangeResult:
        at = self._check_revision(revision)
        found = [_as_of(versions, at) for versions in self._keys.range_values(prefix, start=start)]
        items = [version for version in found if version is not None]
        return RangeResult(items=items[:limit] if limit else items, revision=at, count=len(items))

    async def transact(self, compares: Sequence[Compare], operations: Sequence[Operation]) -> TransactionResult:
        self._check_open()
        check(operations)
        self._leased.check(operations)
        current = failed_compare(compares, self._latest)
        if current is not None:
            return TransactionResult(succeeded=False, revision=self._revision, current=current)
        self._apply(operations)
        return TransactionResult(succeeded=True, revision=self._revision)

    def watch(self, prefix: str, *, start_revision: int) -> AsyncGenerator[WatchBatch, None]:
        return self._hub.watch(prefix, start_revision)

    def observe(self, observer: Callable[[WatchBatch], None]) -> Callable[[], None]:
        return self._hub.observe(observer)

    async def compact(self, revision: int) -> None:
        self._check_open()
        if revision > self._revision:
            raise FutureRevisionError(revision)
        if revision <= self._compacted:
            raise CompactedError(self._compacted)
        self._compacted = revision
        del self._events[: bisect_left(self._events, revision, key=lambda event: event.revision)]
        for key in self._keys.range_keys():
            versions = self._keys[key]
            while len(versions) > 1 and versions[1][0] <= revision:
                del versions[0]
            if versions[0][1] is None and versions[0][0] < revision:
                del versions[0]
            if not versions:
                self._keys.pop(key)

    async def grant_lease(self, ttl_s: int) -> int:
        self._check_open()
        lease = next(self._lease_ids)
        self._leased.grant(lease)
        self._timer.grant(lease, ttl_s)
        return lease

    async def renew_lease(self, lease: int) -> None:
        self._check_open()
        self._timer.renew(lease)

    async def revoke_lease(self, lease: int) -> None:
        self._check_open()
        self._timer.forget(lease)
        self._apply([Delete(key=key) for key in self._leased.revoke(lease)])

    def _apply(self, operations: Sequence[Operation]) -> None:
        made = changes(operations, self._latest, self._revision + 1)
        if not made:
            return
        self._revision += 1
        for change in made:
            key = change.event.key
            versions = self._keys.get(key)
            if versions is None:
                self._keys[key] = versions = []
            versions.append((self._revision, change.version))
        self._leased.apply(made)
        events = [change.event for change in made]
        self._events += events
        self._hub.publish(WatchBatch(revision=self._revision, events=events))

    def _latest(self, key: str) -> KeyValue | None:
        versions = self._keys.get(key)
        return versions[-1][1] if versions else None

    async def _read_history(self, prefix: str, first_revision: int, limit: int) -> WatchBatch:
        self._check_open()
        if first_revision < self._compacted:
            raise CompactedError(self._compacted)
        events: list[StoreEvent] = []
        at = bisect_left(self._events, first_revision, key=lambda event: event.revision)
        for event in itertools.islice(self._events, at, None):
            if len(events) >= limit and event.revision > events[-1].revision:
                return WatchBatch(revision=event.revision - 1, events=events)
            if event.key.startswith(prefix):
                events.append(event)
        return WatchBatch(revision=self._revision, events=events)

    def _check_open(self) -> None:
        if not self._open:
            raise StoreUnavailable("the store is not open")

    def _check_revision(self, revision: int) -> int:
        self._check_open()
        if revision > self._revision:
            raise FutureRevisionError(revision)
        if revision and revision < self._compacted:
            raise CompactedError(self._compacted)
        return revision or self._revision


def _as_of(versions: Versions | None, revision: int) -> KeyValue | None:
    for since, version in reversed(versions or ()):
        if since <= revision:
            return version
    return None


def _conforms(store: MemoryStore) -> tuple[Store, EmbeddedStore]:
    return store, store
