"""Changes of objects, and the window of the latest ones from which watches resume and past states are rebuilt."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Sequence
from typing import Any, Literal

from msgspec import Struct, field

from steersman.store.stored import Stored

EventType = Literal["ADDED", "MODIFIED", "DELETED"]


class ObjectEvent(Struct, frozen=True, kw_only=True):
    """One change of one object, shared by every watcher."""

    type: EventType
    stored: Stored
    """The object after the change; for DELETED as it last was, with the revision of the deletion."""
    previous: Stored | None
    """The version before the change; None for ADDED."""
    revision: int
    frames: dict[Hashable, Any] = field(default_factory=dict)
    """Watch frames already built, by representation: whoever serves watches builds each once."""

    @property
    def key(self) -> str:
        return self.stored.key


class EventWindow:
    """The latest events, bounded by number and by the bytes of their JSON; the oldest go first."""

    def __init__(self, *, max_events: int = 10_000, max_bytes: int = 32 << 20) -> None:
        self.capacity = max_events
        self._max_bytes = max_bytes
        self._events: list[ObjectEvent] = []
        self._first = 0
        self._bytes = 0
        self.start = 0
        """Every event after this revision is in the window."""

    def __len__(self) -> int:
        return len(self._events) - self._first

    def reset(self, start: int) -> None:
        """Forget everything; the next event comes after ``start``."""
        self._events.clear()
        self._first = self._bytes = 0
        self.start = start

    def append(self, event: ObjectEvent) -> None:
        self._events.append(event)
        self._bytes += len(event.stored.json)
        while len(self) > self.capacity or (self._bytes > self._max_bytes and len(self) > 1):
            oldest = self._events[self._first]
            self.start = oldest.revision
            self._bytes -= len(oldest.stored.json)
            self._first += 1
        if self._first > 1000 and self._first * 2 > len(self._events):
            del self._events[: self._first]
            self._first = 0

    def since(self, revision: int, prefix: str) -> Sequence[ObjectEvent] | None:
        """The events after ``revision`` whose keys begin with ``prefix``; None where the window does not reach back."""
        if revision < self.start:
            return None
        at = bisect_right(self._events, revision, lo=self._first, key=lambda event: event.revision)
        return [event for event in self._events[at:] if event.key.startswith(prefix)]
