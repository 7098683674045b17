"""An informer's objects, each as new as what its controller itself wrote last.

For controllers that choose among many objects, such as a volume for a claim: what was written a moment ago for one key must be
seen when the next key is reconciled, and waiting for the cache (``expectations``) would hold up every key.
"""

from __future__ import annotations

from collections.abc import Iterator

from steersman.client.informer import Change, Informer
from steersman.meta import objects
from steersman.meta.objects import Object


class Latest:
    """Reads of ``informer`` with the answers to own writes put over them until the cache has caught up."""

    def __init__(self, informer: Informer) -> None:
        self._informer = informer
        self._written: dict[str, Object] = {}
        informer.subscribe(self._changed)

    def get(self, key: str) -> Object | None:
        cached = self._informer.get(key)
        return self._newest(key, cached) if cached is not None else None

    def list(self) -> Iterator[Object]:
        for cached in self._informer.list():
            yield self._newest(objects.key_of(cached), cached)

    def by_index(self, index: str, value: str) -> Iterator[Object]:
        """Objects that the cache has under ``value``; the newest of each, which need not belong there any more."""
        for cached in self._informer.by_index(index, value):
            yield self._newest(objects.key_of(cached), cached)

    def wrote(self, obj: Object) -> None:
        """``obj`` is what the server answered to an update or patch."""
        key = objects.key_of(obj)
        cached = self._informer.get(key)
        if cached is not None and _version(cached) < _version(obj):
            self._written[key] = obj

    def _newest(self, key: str, cached: Object) -> Object:
        written = self._written.get(key)
        return written if written is not None else cached

    def _changed(self, change: Change) -> None:
        written = self._written.get(change.key)
        if written is not None and (change.new is None or _version(change.new) >= _version(written)):
            del self._written[change.key]


def _version(obj: Object) -> int:
    """Resource versions are comparable integers since Kubernetes v1.35."""
    return int(objects.resource_version(obj) or 0)
