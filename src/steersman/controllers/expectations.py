"""Writes that a controller has made and its caches do not show yet.

A reconcile that runs on a cache older than its own last writes would create or delete twice. Upstream counts such
"expectations" per key (``ControllerExpectations``) and, since v1.35, compares resource versions (``consistency.go``); this is
the second way: a write is seen once the informer's resource version has reached the one that the write returned, a deletion
once the object is gone, being deleted, or another one of that name.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct, field

from steersman.aio.clock import Clock
from steersman.client.informer import Change, Informer
from steersman.meta import objects

TIMEOUT_S = 300.0
"""After this long a missing event is taken as lost, as upstream's ``ExpectationsTimeout``."""


class _Pending(Struct):
    due_s: float
    versions: dict[Informer, int] = field(default_factory=dict)
    deletions: dict[str, tuple[Informer, str]] = field(default_factory=dict)
    """uid -> where it is cached and under which key."""


class Expectations:
    """Per key of a queue: the writes not seen yet. ``wake`` is called with a key that was ``deferred`` once it has seen them."""

    def __init__(self, clock: Clock, wake: Callable[[str], None]) -> None:
        self._clock = clock
        self._wake = wake
        self._pending: dict[str, _Pending] = {}
        self._followed: dict[Informer, list[tuple[int, str]]] = {}
        self._deferred_deletions: dict[str, str] = {}

    def wrote(self, key: str, informer: Informer, obj: Mapping[str, Any]) -> None:
        """``obj`` is what the server answered to a create, update or patch made for ``key``."""
        version = _version(objects.resource_version(obj))
        if version is None or version <= (_version(informer.resource_version) or 0):
            return
        entry = self._entry(key)
        entry.versions[informer] = max(version, entry.versions.get(informer, 0))

    def deleted(self, key: str, informer: Informer, obj: Mapping[str, Any]) -> None:
        """``obj`` (as cached) was deleted for ``key``."""
        if _is_gone(informer, objects.key_of(obj), objects.uid(obj)):
            return
        self._entry(key).deletions[objects.uid(obj)] = (informer, objects.key_of(obj))

    def satisfied(self, key: str) -> bool:
        """The caches show everything that was written for ``key``, or it took too long."""
        entry = self._pending.get(key)
        if entry is None:
            return True
        if self._clock.monotonic() < entry.due_s:
            for informer, version in [*entry.versions.items()]:
                if (_version(informer.resource_version) or 0) >= version:
                    del entry.versions[informer]
            for uid, (informer, cached_key) in [*entry.deletions.items()]:
                if _is_gone(informer, cached_key, uid):
                    del entry.deletions[uid]
            if entry.versions or entry.deletions:
                return False
        del self._pending[key]
        return True

    def defer(self, key: str) -> None:
        """Wake ``key`` with the event that it waits for."""
        entry = self._pending.get(key)
        if entry is None:
            self._wake(key)
            return
        for informer, version in entry.versions.items():
            heapq.heappush(self._follow(informer), (version, key))
        for uid, (informer, _) in entry.deletions.items():
            self._follow(informer)
            self._deferred_deletions[uid] = key

    def forget(self, key: str) -> None:
        """The object of ``key`` is gone; one of the same name starts clean."""
        self._pending.pop(key, None)

    def _entry(self, key: str) -> _Pending:
        entry = self._pending.get(key)
        if entry is None:
            entry = self._pending[key] = _Pending(0.0)
        entry.due_s = self._clock.monotonic() + TIMEOUT_S
        return entry

    def _follow(self, informer: Informer) -> list[tuple[int, str]]:
        waiting = self._followed.get(informer)
        if waiting is None:
            waiting = self._followed[informer] = []

            def changed(change: Change, informer: Informer = informer) -> None:
                self._changed(informer, change)

            informer.subscribe(changed)
        return waiting

    def _changed(self, informer: Informer, change: Change) -> None:
        waiting = self._followed[informer]
        if waiting:
            seen = _version(informer.resource_version) or 0
            while waiting and waiting[0][0] <= seen:
                self._retry(heapq.heappop(waiting)[1])
        if self._deferred_deletions and change.type != "added":
            key = self._deferred_deletions.get(objects.uid(change.old or change.object))
            if key is not None and (change.new is None or objects.is_deleting(change.new)):
                del self._deferred_deletions[objects.uid(change.old or change.object)]
                self._retry(key)

    def _retry(self, key: str) -> None:
        if self.satisfied(key):
            self._wake(key)


def _is_gone(informer: Informer, key: str, uid: str) -> bool:
    cached = informer.get(key)
    return cached is None or objects.uid(cached) != uid or objects.is_deleting(cached)


def _version(text: str) -> int | None:
    """Resource versions are comparable integers since Kubernetes v1.35; None for what is not one."""
    return int(text) if text.isdecimal() else None
