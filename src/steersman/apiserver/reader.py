"""Objects for admission plugins and authorizers: the watch cache, read synchronously."""

from __future__ import annotations

from collections.abc import Sequence

from steersman.apiserver.admission.api import Reader
from steersman.apiserver.api import ServedKinds
from steersman.meta.objects import Object
from steersman.meta.resources import Resource
from steersman.store.objects import ObjectStore

FEW = 32
"""Objects of a list that is kept, decoded, until one of its kind changes: admission asks for the same few again and again."""
_LISTS_KEPT = 1024


class CacheReader:
    """What this server's watch cache has. Objects are shared: never changed.

    Custom resources that a webhook converts are read through ``served.resolving``.
    """

    def __init__(self, objects: ObjectStore, kinds: ServedKinds) -> None:
        self._objects = objects
        self._kinds = kinds
        self._lists: dict[tuple[str, str], tuple[int, int, Sequence[Object]]] = {}
        """By prefix: the kinds' generation, the revision of the last change, the objects."""

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        served = self._kinds.of(resource)
        stored = self._objects.cached(served.key(namespace, name))
        if stored is None or not served.converts:
            return None if stored is None else stored.obj
        return served.obj(served.at_hand((stored,))[0])

    def list(self, resource: Resource, namespace: str = "") -> Sequence[Object]:
        prefix = self._kinds.of(resource).prefix
        generation, revision = self._kinds.generation, self._objects.changed_at(prefix)
        kept = self._lists.get((prefix, namespace))
        if kept is not None and kept[0] == generation and kept[1] == revision:
            return kept[2]
        found = self._listed(resource, namespace)
        if len(found) <= FEW:
            if len(self._lists) >= _LISTS_KEPT:
                self._lists.clear()
            self._lists[prefix, namespace] = (generation, revision, found)
        return found

    def _listed(self, resource: Resource, namespace: str) -> Sequence[Object]:
        served = self._kinds.of(resource)
        items = served.at_hand(self._objects.cached_list(served.collection(namespace)).items)
        return [served.obj(stored) for stored in items]

    def revision(self, resource: Resource) -> int:
        return self._objects.changed_at(self._kinds.of(resource).prefix)


def _conforms(objects: ObjectStore, kinds: ServedKinds) -> Reader:
    return CacheReader(objects, kinds)
