"""A Reader over objects that a test lists."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import Resource


class ListedObjects:
    """What ``admission.api.Reader`` asks for, over the objects given; ``put`` changes them."""

    def __init__(self, rows: Iterable[tuple[Resource, Object]] = ()) -> None:
        self._objects: dict[Resource, dict[str, Object]] = {}
        self._revisions: dict[Resource, int] = {}
        for resource, obj in rows:
            self.put(resource, obj)

    def put(self, resource: Resource, obj: Object) -> None:
        self._objects.setdefault(resource, {})[objects.key_of(obj)] = obj
        self._revisions[resource] = self._revisions.get(resource, 0) + 1

    def remove(self, resource: Resource, key: str) -> None:
        del self._objects[resource][key]
        self._revisions[resource] += 1

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        return self._objects.get(resource, {}).get(objects.make_key(namespace, name))

    def list(self, resource: Resource, namespace: str = "") -> Sequence[Object]:
        found = self._objects.get(resource, {}).values()
        return [obj for obj in found if not namespace or objects.namespace(obj) == namespace]

    def revision(self, resource: Resource) -> int:
        return self._revisions.get(resource, 0)


def named(name: str, namespace: str = "", **content: object) -> Object:
    """An object of that name with a uid derived from it."""
    metadata = {"name": name, "uid": f"uid-{namespace}-{name}"}
    if namespace:
        metadata["namespace"] = namespace
    return {"metadata": metadata, **content}
