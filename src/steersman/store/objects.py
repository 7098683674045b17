"""Objects above the Store: decoded once, encoded once, read from a watch cache that is never behind what was acknowledged.

On an embedded store the cache sees each commit before its writer is acknowledged, so that reads need not ask anyone. On
a remote store it follows a watch; a consistent read asks the store for its revision and waits until the cache is there.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from steersman.aio.backoff import Backoff
from steersman.aio.clock import Clock
from steersman.aio.tasks import TaskGroup
from steersman.meta.objects import Object
from steersman.store.api import (
    CompactedError,
    Compare,
    Delete,
    EmbeddedStore,
    FutureRevisionError,
    KeyValue,
    Put,
    Store,
    StoreEvent,
    StoreUnavailable,
    WatchBatch,
)
from steersman.store.cache import ROOT, Listing, OwnWrite, WatchCache
from steersman.store.encoding import encode, with_revision
from steersman.store.stored import Stored
from steersman.store.subscriptions import BUFFER, Events, Subscription

log = logging.getLogger(__name__)
R = TypeVar("R")

LOAD_PAGE = 5000
"""Keys read at once when the cache is filled."""
HISTORY = 2000
"""How many revisions back the window of events reaches after a start, where the Store still has them."""
FRESHNESS_TIMEOUT_S = 3.0
"""How long a read waits for a remote store's cache to catch up before it fails; upstream's value."""


class KeyExists(Exception):
    """The key to be created exists as ``current``."""

    def __init__(self, current: Stored) -> None:
        super().__init__(f"{current.key} exists at revision {current.revision}")
        self.current = current


class Modified(Exception):
    """The key is not at the expected revision but is ``current``, None where it does not exist."""

    def __init__(self, key: str, current: Stored | None) -> None:
        super().__init__(f"{key} is at revision {current.revision if current else 0}")
        self.key = key
        self.current = current


class StoreObserver(Protocol):
    """Is told what the Store is asked and what comes from it. Called on hot paths: it must be quick and not raise."""

    def requested(self, operation: str, key: str, elapsed_s: float, *, failed: bool) -> None:
        """The Store answered ``get``, ``list``, ``create``, ``update`` or ``delete`` of ``key`` (of a list: its prefix)."""

    def waited(self, key: str, elapsed_s: float) -> None:
        """A read of ``key`` (of a list: its prefix) had the cache brought up to date with a remote Store before."""

    def received(self, key: str) -> None:
        """A change of ``key`` came into the cache."""


class ObjectStore:
    """API objects by key. Objects given and taken are shared and immutable."""

    def __init__(self, store: Store, *, clock: Clock, observer: StoreObserver | None = None) -> None:
        self._store = store
        self._clock = clock
        self._observer = observer
        self._horizon = 0
        self._cache = WatchCache(observer.received if observer is not None else None)
        self._tasks = TaskGroup("objectstore")
        self._embedded = isinstance(store, EmbeddedStore)
        self._revision_read: asyncio.Task[int] | None = None
        self._next_revision_read: asyncio.Task[int] | None = None
        self._waiters: list[tuple[int, int, asyncio.Future[None]]] = []
        self._waiter_ids = itertools.count()
        self._stop_observing: Callable[[], None] | None = None

    async def start(self) -> None:
        """Fill the cache from the Store, which must have been started. Raises ``StoreUnavailable``."""
        if isinstance(self._store, EmbeddedStore):
            early: list[WatchBatch] = []
            stop = self._store.observe(early.append)
            await self._load()
            stop()
            for batch in early:
                self._apply(batch)
            self._stop_observing = self._store.observe(self._apply)
        else:
            await self._load()
            self._tasks.supervise(
                self._follow, name="follow", clock=self._clock, backoff=Backoff(initial_s=0.05, cap_s=2.0)
            )

    async def close(self) -> None:
        """Stop following the Store, which stays open, and end every subscription."""
        if self._stop_observing is not None:
            self._stop_observing()
        await self._tasks.close()
        self._cache.subscriptions.close()
        for _, _, waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(StoreUnavailable("the object store is closed"))
        self._waiters.clear()

    @property
    def revision(self) -> int:
        """The revision the cache is at."""
        return self._cache.revision

    @property
    def window_capacity(self) -> int:
        """How many of the latest events the cache keeps, of all kinds together."""
        return self._cache.window.capacity

    def cached(self, key: str) -> Stored | None:
        """``key`` as the cache has it, without asking a remote store whether that is the latest."""
        return self._cache.get(key)

    def cached_list(self, prefix: str, *, start: str = "", limit: int = 0) -> Listing:
        """``list`` as the cache has it, without asking a remote store whether that is the latest."""
        return self._cache.list(prefix, start=start, limit=limit)

    def cached_count(self, prefix: str) -> int:
        """How many objects the cache has below ``prefix``."""
        return self._cache.count(prefix)

    def changed_at(self, prefix: str) -> int:
        """A revision that rises with every change below ``prefix``."""
        return self._cache.changed_at(prefix)

    async def get(self, key: str, *, revision: int | None = None) -> Stored | None:
        """``key`` now (after every acknowledged write), or as of ``revision``.

        Raises ``CompactedError``, ``FutureRevisionError`` and ``StoreUnavailable``.
        """
        if revision is None:
            await self._fresh(key)
            return self._cache.get(key)
        await self._reach(revision)
        cached = self._cache.get(key)
        if cached is not None and cached.revision <= revision:
            return cached
        found = await self._timed("get", key, self._store.get(key, revision=revision))
        return None if found is None else self._cache.read(found)

    async def list(self, prefix: str, *, start: str = "", limit: int = 0, revision: int | None = None) -> Listing:
        """Objects whose keys begin with ``prefix`` and are not below ``start``, at most ``limit`` (0: all).

        Now (after every acknowledged write), or exactly as of ``revision``, as a continued list needs it.
        Raises ``CompactedError``, ``FutureRevisionError`` and ``StoreUnavailable``.
        """
        if revision is None:
            await self._fresh(prefix)
            return self._cache.list(prefix, start=start, limit=limit)
        if revision < self._horizon:
            raise CompactedError(self._horizon)
        await self._reach(revision)
        rebuilt = self._cache.list_at(prefix, revision, start=start, limit=limit)
        if rebuilt is not None:
            return rebuilt
        reading = self._store.range(prefix, start=start, limit=limit, revision=revision)
        found = await self._timed("list", prefix, reading)
        items = [stored for item in found.items if (stored := self._cache.read(item)) is not None]
        return Listing(items=items, revision=revision, remaining=found.count - len(found.items))

    def compacted(self, revision: int) -> None:
        """What was before ``revision`` is no longer told, even where the cache remembers it: all servers of a store agree."""
        self._horizon = max(self._horizon, revision)

    async def create(self, key: str, obj: Object) -> Stored:
        """Raises ``KeyExists`` and ``StoreUnavailable``."""
        try:
            return await self._put(key, encode(obj), obj, 0)
        except Modified as conflict:
            assert conflict.current is not None
            raise KeyExists(conflict.current) from None

    async def update(self, key: str, obj: Object, *, expected_revision: int) -> Stored:
        """Replace what was read at ``expected_revision``; where nothing changes, nothing is written.

        Raises ``Modified`` and ``StoreUnavailable``.
        """
        value = encode(obj)
        cached = self._cache.get(key)
        if cached is not None and cached.revision == expected_revision and _same(value, cached):
            await self._check(key, expected_revision)
            return cached
        return await self._put(key, value, obj, expected_revision)

    async def delete(self, key: str, *, expected_revision: int = 0) -> Stored:
        """Remove ``key``, if at ``expected_revision`` where that is given; the object with its deletion's revision.

        Raises ``Modified`` (with no current object where there is none) and ``StoreUnavailable``.
        """
        present = self._cache.get(key)
        while True:
            if present is None or (expected_revision and present.revision != expected_revision):
                present = await self._read(key)
            if present is None or (expected_revision and present.revision != expected_revision):
                raise Modified(key, present)
            compare = Compare(key=key, mod_revision=present.revision)
            result = await self._timed("delete", key, self._store.transact([compare], [Delete(key=key)]))
            if result.succeeded:
                await self._applied(result.revision)
                return present.deleted(result.revision)
            present = self._current(result.current[0])

    def watch(self, prefix: str, *, start_revision: int | None, buffer: int = BUFFER) -> Subscription:
        """The changes below ``prefix`` after ``start_revision`` (that of a list: exactly what follows it); None: from now.

        Reading it raises ``CompactedError`` where they are no longer known and ``Overrun`` where the reader is more than
        ``buffer`` changes late. Close it when done.
        """
        cache = self._cache
        position = cache.revision if start_revision is None else start_revision
        subscription = cache.subscriptions.new(prefix, position, buffer)
        missed = cache.window.since(position, prefix)
        if missed is not None:
            subscription.go_live(missed)
        else:
            subscription.catch_up(self._history(subscription, position))
        return subscription

    async def _history(self, subscription: Subscription, position: int) -> AsyncGenerator[Events, None]:
        """What the window no longer has, from the Store; then ``subscription`` goes live.

        Watches all keys: each revision has a change of some key, so that the watch is known to have reached a revision
        without progress notifications, which old etcd servers get wrong. Reading at ``position`` proves that nothing after
        it had been compacted when the batch was read.
        """
        cache = self._cache
        while (missed := cache.window.since(position, subscription.prefix)) is None:
            batches = self._store.watch("", start_revision=position + 1)
            try:
                async for batch in batches:
                    await self._store.get(ROOT, revision=position)
                    events = self._objects_of(batch, subscription.prefix)
                    if events:
                        yield events
                    position = batch.revision
                    if position >= cache.window.start:
                        break
            finally:
                await batches.aclose()
        subscription.go_live(missed)

    def _objects_of(self, batch: WatchBatch, prefix: str) -> Events:
        changes = [change for change in batch.events if change.key.startswith(prefix)]
        return [event for change in changes if (event := self._cache.event_of(change)) is not None]

    async def _put(self, key: str, value: bytes, obj: Object, expected_revision: int) -> Stored:
        write = OwnWrite(key=key, value=value, obj=obj)
        self._cache.expect(write)
        try:
            compare = Compare(key=key, mod_revision=expected_revision)
            operation = "update" if expected_revision else "create"
            result = await self._timed(operation, key, self._store.transact([compare], [Put(key=key, value=value)]))
            if not result.succeeded:
                raise Modified(key, self._current(result.current[0]))
            await self._applied(result.revision)
        finally:
            self._cache.forget(write)
        if write.stored is not None and write.stored.revision == result.revision:
            return write.stored
        return Stored.written(key=key, revision=result.revision, value=value, obj=obj, window=self._cache.decoded)

    async def _check(self, key: str, expected_revision: int) -> None:
        if self._embedded:
            return
        compare = Compare(key=key, mod_revision=expected_revision)
        result = await self._timed("get", key, self._store.transact([compare], []))
        if not result.succeeded:
            raise Modified(key, self._current(result.current[0]))

    async def _read(self, key: str) -> Stored | None:
        if self._embedded:
            return self._cache.get(key)
        return self._current(await self._timed("get", key, self._store.get(key)))

    async def _timed(self, operation: str, key: str, asking: Awaitable[R]) -> R:
        """The Store's answer, told to the observer."""
        if self._observer is None:
            return await asking
        began_s = self._clock.monotonic()
        failed = True
        try:
            answer = await asking
            failed = False
            return answer
        finally:
            self._observer.requested(operation, key, self._clock.monotonic() - began_s, failed=failed)

    def _current(self, found: KeyValue | None) -> Stored | None:
        return None if found is None else self._cache.version(found)

    def _apply(self, batch: WatchBatch) -> None:
        self._cache.apply(batch)
        self._wake_waiters()

    def _wake_waiters(self) -> None:
        while self._waiters and self._waiters[0][0] <= self._cache.revision:
            _, _, waiter = heapq.heappop(self._waiters)
            if not waiter.done():
                waiter.set_result(None)

    async def _load(self) -> None:
        items: list[KeyValue] = []
        page = await self._store.range(ROOT, limit=LOAD_PAGE)
        items += page.items
        while page.count > len(page.items):
            start = page.items[-1].key + "\0"
            page = await self._store.range(ROOT, start=start, limit=LOAD_PAGE, revision=page.revision)
            items += page.items
        history_start, history = await self._load_history(page.revision)
        self._cache.reset(items, page.revision, history_start=history_start, history=history)
        self._wake_waiters()

    async def _load_history(self, revision: int) -> tuple[int, Sequence[StoreEvent]]:
        """The latest changes up to ``revision``, so that clients resume their watches after a restart of this process."""
        start = max(revision - HISTORY, 1)
        while True:
            history: deque[StoreEvent] = deque()
            if start >= revision:
                return revision, ()
            batches = self._store.watch("", start_revision=start + 1)
            try:
                async for batch in batches:
                    history += (event for event in batch.events if event.revision <= revision)
                    if batch.revision >= revision:
                        await self._store.get(ROOT, revision=start)
                        return start, tuple(history)
            except CompactedError as error:
                start = max(error.compacted, start + 1)
            finally:
                await batches.aclose()

    async def _follow(self) -> None:
        try:
            batches = self._store.watch("", start_revision=self._cache.revision + 1)
            try:
                async for batch in batches:
                    self._apply(batch)
            finally:
                await batches.aclose()
        except CompactedError as error:
            log.warning("the store was compacted beyond what this process has seen; reading everything anew")
            await self._load()
            self._cache.subscriptions.fail(error)

    async def _fresh(self, key: str = "") -> None:
        """Until the cache reflects every write acknowledged so far; ``key``: what will be read then."""
        if self._embedded:
            return
        began_s = self._clock.monotonic()
        await self._applied(await self._store_revision())
        if self._observer is not None and key:
            self._observer.waited(key, self._clock.monotonic() - began_s)

    async def _reach(self, revision: int) -> None:
        """Until the cache is at ``revision``. Raises ``FutureRevisionError`` where the Store is not."""
        if revision > self._cache.revision:
            await self._fresh()
            if revision > self._cache.revision:
                raise FutureRevisionError(revision)

    async def _applied(self, revision: int) -> None:
        if revision <= self._cache.revision:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiters, (revision, next(self._waiter_ids), waiter))
        try:
            await self._clock.wait_for(waiter, FRESHNESS_TIMEOUT_S)
        except TimeoutError:
            raise StoreUnavailable(f"the watch cache did not reach revision {revision} in time") from None

    async def _store_revision(self) -> int:
        """The Store's revision, asked for after this call began; calls that come meanwhile share the next answer."""
        running = self._revision_read
        if running is None or running.done():
            task = self._revision_read = asyncio.ensure_future(self._store.revision())
            return await asyncio.shield(task)
        if self._next_revision_read is None or self._next_revision_read.done():
            self._next_revision_read = asyncio.ensure_future(self._ask_after(running))
        return await asyncio.shield(self._next_revision_read)

    async def _ask_after(self, running: asyncio.Task[int]) -> int:
        await asyncio.wait({running})
        self._revision_read = asyncio.current_task()
        self._next_revision_read = None
        return await self._store.revision()


def _same(value: bytes, stored: Stored) -> bool:
    added = len(f'"resourceVersion":"{stored.revision}",')
    if not added - 1 <= len(stored.json) - len(value) <= added:  # metadata without anything else needs no comma
        return False
    return with_revision(value, stored.revision) == stored.json
