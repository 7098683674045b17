"""Objects for admission plugins and authorizers: the watch cache, read synchronously."""

from __future__ import annotations

from collections.abc import Sequence

from steersman.apiserver.admission.api import Reader
from steersman.apiserver.api import ServedKinds
from steersman.meta.objects import Object
from steersman.meta.resources import Resource
from steersman.store.objects import ObjectStore


class CacheReader:
    """What this server's watch cache has. Objects are shared: never changed.

    Custom resources that a webhook converts are read through ``served.resolving``.
    """

    def __init__(self, objects: ObjectStore, kinds: ServedKinds) -> None:
        self._objects = objects
        self._kinds = kinds

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        served = self._kinds.of(resource)
        stored = self._objects.cached(served.key(namespace, name))
        return None if stored is None else served.obj(served.at_hand((stored,))[0])

    def list(self, resource: Resource, namespace: str = "") -> Sequence[Object]:
        served = self._kinds.of(resource)
        items = served.at_hand(self._objects.cached_list(served.collection(namespace)).items)
        return [served.obj(stored) for stored in items]

    def revision(self, resource: Resource) -> int:
        return self._objects.changed_at(self._kinds.of(resource).prefix)


def _conforms(objects: ObjectStore, kinds: ServedKinds) -> Reader:
    return CacheReader(objects, kinds)
