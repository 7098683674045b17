"""Random histories of writes, reads, watches, compactions and restarts, checked against a model of the Store.

``run_history`` is one example; ``steps`` is hypothesis' strategy for its steps. Every driver's tests run both.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from hypothesis import strategies
from msgspec import Struct, field

from steersman.store.api import (
    CompactedError,
    Compare,
    Delete,
    KeyValue,
    Operation,
    Put,
    Store,
    StoreEvent,
    WatchBatch,
)
from steersman.testing.store_suite import DEADLINE_S, Driver

KEYS = ("a/x", "a/y", "a", "b/x", "b/y", "b0")
PREFIXES = ("", "a", "a/", "b/")
TURNS = 5
"""Turns of the event loop in which an embedded driver's watch goes live."""


class Write(Struct, frozen=True, kw_only=True):
    """Put (value) or delete (None) keys in one transaction, guarded by the first key's revision as it is, or by a wrong one."""

    changes: Mapping[str, bytes | None]
    guard: bool | None = None


class Read(Struct, frozen=True, kw_only=True):
    prefix: str
    start: str
    limit: int
    back: int
    """How many revisions before the present one."""


class Watch(Struct, frozen=True, kw_only=True):
    prefix: str
    back: int
    eager: bool
    """Read as events come, rather than at the end of the history."""


class Compact(Struct, frozen=True, kw_only=True):
    back: int


class Restart(Struct, frozen=True, kw_only=True):
    """Close the store and open it again; watches resume from where they were."""


Step = Write | Read | Watch | Compact | Restart

_backs = strategies.integers(0, 12)
_prefixes = strategies.sampled_from(PREFIXES)
_values = strategies.one_of(strategies.none(), strategies.binary(max_size=3))
_changes = strategies.dictionaries(strategies.sampled_from(KEYS), _values, min_size=1, max_size=3)
_write = strategies.builds(Write, changes=_changes, guard=strategies.sampled_from((None, None, True, False)))
_read = strategies.builds(
    Read, prefix=_prefixes, start=strategies.sampled_from(("", *KEYS)), limit=strategies.integers(0, 3), back=_backs
)
_watch = strategies.builds(Watch, prefix=_prefixes, back=_backs, eager=strategies.booleans())
_compact = strategies.builds(Compact, back=_backs)
_restart = strategies.just(Restart())
_weighted: Sequence[strategies.SearchStrategy[Any]] = (*[_write] * 6, *[_watch] * 2, _read, _compact, _restart)
_step: strategies.SearchStrategy[Step] = strategies.sampled_from(_weighted).flatmap(lambda kind: kind)
steps: strategies.SearchStrategy[list[Step]] = strategies.lists(_step, min_size=15, max_size=50)


class Model(Struct):
    """What a store must hold: the state after every revision since ``base``, and every event."""

    base: int
    compacted: int = 0
    states: list[dict[str, KeyValue]] = field(default_factory=lambda: [{}])
    events: list[StoreEvent] = field(default_factory=list)

    @property
    def revision(self) -> int:
        return self.base + len(self.states) - 1

    def at(self, revision: int) -> dict[str, KeyValue]:
        return self.states[revision - self.base]

    def apply(self, operations: Sequence[Operation]) -> None:
        state, revision = self.states[-1], self.revision + 1
        new = dict(state)
        events = []
        for operation in operations:
            key, old = operation.key, state.get(operation.key)
            if isinstance(operation, Put):
                created = old.create_revision if old else revision
                new[key] = KeyValue(
                    key=key,
                    value=operation.value,
                    create_revision=created,
                    mod_revision=revision,
                    version=old.version + 1 if old else 1,
                )
                events.append(_event("put", new[key], revision, old))
            elif old is not None:
                del new[key]
                events.append(_event("delete", old, revision, old))
        if events:
            self.states.append(new)
            self.events += events

    def changes(self, prefix: str, start: int) -> list[StoreEvent]:
        return [event for event in self.events if event.revision >= start and event.key.startswith(prefix)]


def _event(kind: str, version: KeyValue, revision: int, old: KeyValue | None) -> StoreEvent:
    return StoreEvent(
        type="put" if kind == "put" else "delete",
        key=version.key,
        revision=revision,
        value=version.value if kind == "put" else b"",
        create_revision=version.create_revision,
        previous=old,
    )


class Watcher(Struct):
    """A watch under test, resumed where it was after each restart."""

    prefix: str
    start: int
    eager: bool
    position: int = 0
    seen: list[StoreEvent] = field(default_factory=list)
    compacted: bool = False
    _watch: AsyncGenerator[WatchBatch, None] | None = None
    _next: asyncio.Future[WatchBatch] | None = None
    """Under way already while the next step is taken, so that its changes are met live."""

    async def read(self, store: Store, model: Model) -> None:
        """Everything up to the present, or ``compacted`` where the store says so."""
        expected = len(model.changes(self.prefix, self.start))
        self._watch = self._watch or store.watch(self.prefix, start_revision=self.position)
        try:
            while len(self.seen) < expected:
                batch = await asyncio.wait_for(self._ask(), DEADLINE_S)
                self._next = None
                self.seen += batch.events
                self.position = batch.revision + 1
        except CompactedError:
            assert self.position < model.compacted, "the history is there but the watch says that it is compacted"
            self.compacted, self._next = True, None
            return
        if self.eager:
            self._ask()
            for _ in range(TURNS):
                await asyncio.sleep(0)

    def _ask(self) -> asyncio.Future[WatchBatch]:
        assert self._watch is not None
        if self._next is None:
            self._next = asyncio.ensure_future(anext(self._watch))
        return self._next

    async def stop(self) -> None:
        if self._next is not None:
            self._next.cancel()
            await asyncio.wait({self._next})
            self._next = None
        if self._watch is not None:
            await self._watch.aclose()
            self._watch = None

    def check(self, model: Model) -> None:
        expected = model.changes(self.prefix, self.start)
        if self.compacted:
            expected = expected[: len(self.seen)]
        assert [_plain(event) for event in self.seen] == [_plain(event) for event in expected]
        for seen, event in zip(self.seen, expected, strict=True):
            # the version before the change may be compacted away by the time the change is read
            assert seen.previous == event.previous or (seen.previous is None and event.revision <= model.compacted)


def _plain(event: StoreEvent) -> tuple[str, str, int, bytes]:
    return event.type, event.key, event.revision, event.value


class History:
    """One history on one store, below one folder."""

    def __init__(self, driver: Driver, folder: str) -> None:
        self._driver = driver
        self._folder = folder
        self._watchers: list[Watcher] = []
        self._store: Store
        self._model: Model

    async def run(self, history: Sequence[Step]) -> None:
        await self._open()
        try:
            self._model = Model(base=await self._store.revision())
            for step in history:
                await self._take(step)
                assert await self._store.revision() == self._model.revision
            for watcher in self._watchers:
                if not watcher.compacted:
                    await watcher.read(self._store, self._model)
                watcher.check(self._model)
            for back in range(self._model.revision - self._model.base + 1):
                await self._read(Read(prefix="", start="", limit=0, back=back))
        finally:
            await self._close()

    async def _take(self, step: Step) -> None:
        match step:
            case Write():
                await self._write(step)
            case Read():
                await self._read(step)
            case Watch():
                start = max(self._model.revision - step.back, self._model.base) + 1
                self._watchers.append(
                    Watcher(prefix=self._folder + step.prefix, start=start, position=start, eager=step.eager)
                )
            case Compact():
                await self._compact(step)
            case Restart() if self._driver.durable:
                await self._close()
                await self._open()
        for watcher in self._watchers:
            if watcher.eager and not watcher.compacted:
                await watcher.read(self._store, self._model)

    async def _write(self, step: Write) -> None:
        operations: list[Operation] = [
            Delete(key=self._folder + name) if value is None else Put(key=self._folder + name, value=value)
            for name, value in step.changes.items()
        ]
        model = self._model
        present = model.at(model.revision).get(operations[0].key)
        guard = (present.mod_revision if present else 0) + (0 if step.guard else 1)
        compares = [] if step.guard is None else [Compare(key=operations[0].key, mod_revision=guard)]
        result = await self._store.transact(compares, operations)
        assert result.succeeded == (step.guard is not False)
        if result.succeeded:
            model.apply(operations)
        else:
            assert list(result.current) == [present]
        assert result.revision == model.revision

    async def _read(self, step: Read) -> None:
        model = self._model
        revision = max(model.revision - step.back, model.base)
        prefix, start = self._folder + step.prefix, self._folder + step.start
        try:
            found = await self._store.range(prefix, start=start, limit=step.limit, revision=revision)
        except CompactedError:
            assert revision < model.compacted
            return
        assert revision >= model.compacted
        expected = [
            version for key, version in sorted(model.at(revision).items()) if key.startswith(prefix) and key >= start
        ]
        assert list(found.items) == expected[: step.limit or None]
        assert (found.revision, found.count) == (revision, len(expected))

    async def _compact(self, step: Compact) -> None:
        revision = max(self._model.revision - step.back, self._model.base)
        try:
            await self._store.compact(revision)
        except CompactedError:
            assert revision <= max(self._model.compacted, self._model.base)
        else:
            assert revision > self._model.compacted
            self._model.compacted = revision

    async def _open(self) -> None:
        self._store = self._driver.open()
        await self._store.start()

    async def _close(self) -> None:
        for watcher in self._watchers:
            await watcher.stop()
        await self._store.close()


async def run_history(driver: Driver, folder: str, history: Sequence[Step]) -> None:
    """Raises ``AssertionError`` where the driver and the model differ. Nothing else writes to the store meanwhile."""
    await History(driver, folder).run(history)
