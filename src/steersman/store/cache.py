"""The watch cache: the present state of every object, the latest events, and who watches. No I/O and no waiting."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import lru_cache

from msgspec import Struct

from steersman.meta.objects import Object
from steersman.store.api import CompactedError, KeyValue, StoreEvent, WatchBatch
from steersman.store.encoding import UndecodableValue
from steersman.store.events import EventType, EventWindow, ObjectEvent
from steersman.store.sorted_map import SortedMap
from steersman.store.stored import DecodedWindow, Stored
from steersman.store.subscriptions import Subscriptions

log = logging.getLogger(__name__)

ROOT = "/registry/"
"""Where objects are; other keys of the Store are not the cache's business."""


class Listing(Struct, frozen=True, kw_only=True):
    """Objects in order of their keys, as they were at ``revision``."""

    items: Sequence[Stored]
    revision: int
    remaining: int
    """How many more there are beyond the limit."""


class OwnWrite(Struct, kw_only=True, eq=False):
    """A write of this process that is under way: when its event comes, it need not be decoded.

    Two that would write the same are two: one of them will fail.
    """

    key: str
    value: bytes
    obj: Object
    stored: Stored | None = None
    """Set once the event has come."""


class WatchCache:
    """Fed with the Store's batches in order. Everything it gives out is immutable and shared."""

    def __init__(self, received: Callable[[str], None] | None = None) -> None:
        """``received`` is told the key of each event."""
        self._received = received
        self.decoded = DecodedWindow()
        self.window = EventWindow()
        self.subscriptions = Subscriptions()
        self.revision = 0
        self._objects: SortedMap[Stored] = SortedMap()
        self._own: dict[str, list[OwnWrite]] = {}
        self._changed: dict[str, int] = {}
        self._reset_at = 0

    def __len__(self) -> int:
        return len(self._objects)

    def get(self, key: str) -> Stored | None:
        return self._objects.get(key)

    def changed_at(self, prefix: str) -> int:
        """A revision that rises with every change below ``prefix`` (and, seldom, with changes beside it)."""
        return self._changed.get(_top_of_prefix(prefix), self._reset_at)

    def count(self, prefix: str) -> int:
        return self._objects.count(prefix)

    def list(self, prefix: str, *, start: str = "", limit: int = 0) -> Listing:
        items = self._objects.range_values(prefix, start=start, limit=limit)
        remaining = self._objects.count(prefix, start=start) - len(items) if limit else 0
        return Listing(items=items, revision=self.revision, remaining=remaining)

    def list_at(self, prefix: str, revision: int, *, start: str = "", limit: int = 0) -> Listing | None:
        """The state at an earlier ``revision``, rebuilt by undoing the events since; None where the window is too short."""
        events = self.window.since(revision, prefix)
        if events is None:
            return None
        then: dict[str, Stored | None] = {event.key: event.previous for event in reversed(events) if event.key >= start}
        objects = self._objects
        keys = objects.range_keys(prefix, start=start)
        if then:
            keys = [key for key in keys if key not in then]
            keys += [key for key, stored in then.items() if stored is not None]
            keys.sort()
        chosen = keys[:limit] if limit else keys
        items = [then.get(key) or objects[key] for key in chosen]
        return Listing(items=items, revision=revision, remaining=len(keys) - len(items))

    def reset(
        self, items: Sequence[KeyValue], revision: int, *, history_start: int, history: Sequence[StoreEvent]
    ) -> None:
        """Begin anew from everything the Store has at ``revision`` and its ``history`` from after ``history_start`` on."""
        self._objects.clear()
        self._changed.clear()
        self._reset_at = revision
        for item in items:
            stored = self.read(item)
            if stored is not None:
                self._objects[item.key] = stored
        self.window.reset(history_start)
        for event in history:
            made = self.event_of(event)
            if made is not None:
                self.window.append(made)
        self.revision = self.subscriptions.revision = revision

    def version(self, item: KeyValue) -> Stored:
        """``item`` as an object, the cached one where it is that version. Raises ``UndecodableValue``."""
        cached = self._objects.get(item.key)
        if cached is not None and cached.revision == item.mod_revision:
            return cached
        return Stored.read(key=item.key, revision=item.mod_revision, value=item.value, window=self.decoded)

    def read(self, item: KeyValue) -> Stored | None:
        """``version``, but None, and an error logged, if it is no object."""
        try:
            return self.version(item)
        except UndecodableValue as error:
            log.error("%s at revision %d is left out: %s", item.key, item.mod_revision, error)
            return None

    def event_of(self, event: StoreEvent) -> ObjectEvent | None:
        """``event`` of the Store's history as an event of objects; None if it is no object's.

        Raises ``CompactedError`` where the version before it is gone.
        """
        if not event.key.startswith(ROOT):
            return None
        if event.previous is None and event.create_revision != event.revision:
            raise CompactedError(event.revision)
        previous = self.read(event.previous) if event.previous else None
        if event.type == "put":
            stored = self._decode(event.key, event.revision, event.value)
            if stored is None:
                return None
            kind: EventType = "ADDED" if event.create_revision == event.revision else "MODIFIED"
            return ObjectEvent(type=kind, stored=stored, previous=previous, revision=event.revision)
        if previous is None:
            return None
        deleted = previous.deleted(event.revision)
        return ObjectEvent(type="DELETED", stored=deleted, previous=previous, revision=event.revision)

    def apply(self, batch: WatchBatch) -> None:
        """Take in what was committed and hand it to the watchers. Batches up to ``self.revision`` are known already."""
        if batch.revision <= self.revision:
            return
        for event in batch.events:
            if event.key.startswith(ROOT):
                made = self._apply(event)
                if made is not None:
                    self._changed[_top(event.key)] = event.revision
                    if self._received is not None:
                        self._received(event.key)
                    self.window.append(made)
                    self.subscriptions.publish(made)
        self.revision = self.subscriptions.revision = batch.revision

    def expect(self, write: OwnWrite) -> None:
        self._own.setdefault(write.key, []).append(write)

    def forget(self, write: OwnWrite) -> None:
        writes = self._own[write.key]
        writes.remove(write)
        if not writes:
            del self._own[write.key]

    def _apply(self, event: StoreEvent) -> ObjectEvent | None:
        key, revision = event.key, event.revision
        if event.type == "delete":
            previous = self._objects.pop(key)
            if previous is None:
                return None
            return ObjectEvent(type="DELETED", stored=previous.deleted(revision), previous=previous, revision=revision)
        stored = self._own_version(event) or self._decode(key, revision, event.value)
        if stored is None:
            self._objects.pop(key)
            return None
        previous = self._objects.get(key)
        self._objects[key] = stored
        kind: EventType = "ADDED" if previous is None else "MODIFIED"
        return ObjectEvent(type=kind, stored=stored, previous=previous, revision=revision)

    def _own_version(self, event: StoreEvent) -> Stored | None:
        for write in self._own.get(event.key, ()):
            if write.stored is None and write.value == event.value:
                write.stored = Stored.written(
                    key=event.key, revision=event.revision, value=event.value, obj=write.obj, window=self.decoded
                )
                return write.stored
        return None

    def _decode(self, key: str, revision: int, value: bytes) -> Stored | None:
        return self.read(KeyValue(key=key, value=value, create_revision=0, mod_revision=revision, version=0))


@lru_cache(maxsize=1024)
def _top_of_prefix(prefix: str) -> str:
    """Prefixes are few, unlike keys."""
    return _top(prefix)


def _top(key: str) -> str:
    """The first folder below ``ROOT``: a kind's, or that of a few kinds of one group."""
    return key[: key.find("/", len(ROOT)) + 1] or key
