"""The cluster as the scheduler knows it: the node table, and the objects that plugins look things up in.

The shell feeds it from informers, a simulation from a file; plugins only read. Nothing here does I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import (
    CSIDRIVERS,
    CSINODES,
    CSISTORAGECAPACITIES,
    NAMESPACES,
    PERSISTENTVOLUMECLAIMS,
    PERSISTENTVOLUMES,
    PODDISRUPTIONBUDGETS,
    REPLICASETS,
    REPLICATIONCONTROLLERS,
    SERVICES,
    STATEFULSETS,
    STORAGECLASSES,
    VOLUMEATTACHMENTS,
    Resource,
)
from steersman.meta.selectors import LabelSelector
from steersman.scheduler.node_table import NodeTable
from steersman.scheduler.nominations import Nominations

LISTED_RESOURCES: tuple[Resource, ...] = (
    NAMESPACES,
    SERVICES,
    REPLICATIONCONTROLLERS,
    REPLICASETS,
    STATEFULSETS,
    PODDISRUPTIONBUDGETS,
    PERSISTENTVOLUMES,
    PERSISTENTVOLUMECLAIMS,
    STORAGECLASSES,
    CSINODES,
    CSIDRIVERS,
    CSISTORAGECAPACITIES,
    VOLUMEATTACHMENTS,
)
"""What plugins may look up, besides nodes and pods."""


class Lister:
    """The objects of one resource by key. ``version`` rises with every change."""

    def __init__(self) -> None:
        self.version = 0
        self._objects: dict[str, Object] = {}
        self._by_namespace: dict[str, dict[str, Object]] = {}

    def __len__(self) -> int:
        return len(self._objects)

    def put(self, obj: Object) -> None:
        key = objects.key_of(obj)
        self._objects[key] = obj
        self._by_namespace.setdefault(objects.namespace(obj), {})[key] = obj
        self.version += 1

    def remove(self, key: str) -> None:
        obj = self._objects.pop(key, None)
        if obj is not None:
            self._by_namespace[objects.namespace(obj)].pop(key, None)
            self.version += 1

    def get(self, key: str) -> Object | None:
        """By ``namespace/name``, or ``name`` for objects of the cluster."""
        return self._objects.get(key)

    def all(self) -> Iterable[Object]:
        return self._objects.values()

    def of_namespace(self, namespace: str) -> Iterable[Object]:
        return self._by_namespace.get(namespace, {}).values()


class Cluster:
    """Everything a decision depends on."""

    def __init__(self) -> None:
        self.nodes = NodeTable()
        self.nominations = Nominations()
        self._listers = {resource: Lister() for resource in LISTED_RESOURCES}
        self._namespaces_of: dict[LabelSelector, tuple[int, frozenset[str]]] = {}

    def lister(self, resource: Resource) -> Lister:
        """Raises ``KeyError`` for a resource that is not among ``LISTED_RESOURCES``."""
        return self._listers[resource]

    def put(self, resource: Resource, obj: Object) -> None:
        self._listers[resource].put(obj)

    def remove(self, resource: Resource, key: str) -> None:
        self._listers[resource].remove(key)

    def namespace_labels(self, namespace: str) -> Mapping[str, str]:
        """Empty for a namespace that is not known (yet)."""
        return objects.labels(self._listers[NAMESPACES].get(namespace) or {})

    def namespaces_matching(self, selector: LabelSelector) -> frozenset[str]:
        """Names of the namespaces whose labels match."""
        if selector.matches_nothing:
            return frozenset()
        lister = self._listers[NAMESPACES]
        known = self._namespaces_of.get(selector)
        if known is not None and known[0] == lister.version:
            return known[1]
        names = frozenset(objects.name(entry) for entry in lister.all() if selector.matches(objects.labels(entry)))
        self._namespaces_of[selector] = (lister.version, names)
        return names
