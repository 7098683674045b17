"""The cluster as the scheduler knows it: the node table, and the objects that plugins look things up in.

The shell feeds it from informers, a simulation from a file; plugins only read. Nothing here does I/O.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from itertools import islice

from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import (
    CSIDRIVERS,
    CSINODES,
    CSISTORAGECAPACITIES,
    DEVICECLASSES,
    NAMESPACES,
    PERSISTENTVOLUMECLAIMS,
    PERSISTENTVOLUMES,
    PODDISRUPTIONBUDGETS,
    REPLICASETS,
    REPLICATIONCONTROLLERS,
    RESOURCECLAIMS,
    RESOURCESLICES,
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
    RESOURCECLAIMS,
    RESOURCESLICES,
    DEVICECLASSES,
)
"""What plugins may look up, besides nodes and pods."""
JOURNAL_LIMIT = 4096
DEVICE_CLASS_PREFIX = "deviceclass.resource.kubernetes.io/"


class Lister:
    """The objects of one resource by key. ``version`` rises with every change; a journal of the last ``JOURNAL_LIMIT``
    changes says which they were."""

    def __init__(self) -> None:
        self.version = 0
        self._journal: deque[str] = deque(maxlen=JOURNAL_LIMIT)
        self._objects: dict[str, Object] = {}
        self._by_namespace: dict[str, dict[str, Object]] = {}

    def __len__(self) -> int:
        return len(self._objects)

    def put(self, obj: Object) -> None:
        key = objects.key_of(obj)
        self._objects[key] = obj
        self._by_namespace.setdefault(objects.namespace(obj), {})[key] = obj
        self._changed(key)

    def remove(self, key: str) -> None:
        obj = self._objects.pop(key, None)
        if obj is not None:
            self._by_namespace[objects.namespace(obj)].pop(key, None)
            self._changed(key)

    def changed_since(self, version: int) -> list[str] | None:
        """Keys that were put or removed since then, with repetitions; None where that is no longer known."""
        behind = self.version - version
        return list(islice(self._journal, len(self._journal) - behind, None)) if behind <= len(self._journal) else None

    def get(self, key: str) -> Object | None:
        """By ``namespace/name``, or ``name`` for objects of the cluster."""
        return self._objects.get(key)

    def keys(self) -> Iterable[str]:
        return self._objects

    def all(self) -> Iterable[Object]:
        return self._objects.values()

    def of_namespace(self, namespace: str) -> Iterable[Object]:
        return self._by_namespace.get(namespace, {}).values()

    def _changed(self, key: str) -> None:
        self.version += 1
        self._journal.append(key)


class Cluster:
    """Everything a decision depends on."""

    def __init__(self) -> None:
        self.nodes = NodeTable()
        self.nominations = Nominations()
        self.now_s = 0.0
        """The time of the decision that is being made, in seconds since the epoch."""
        self._listers = {resource: Lister() for resource in LISTED_RESOURCES}
        self._namespaces_of: dict[LabelSelector, tuple[int, frozenset[str]]] = {}
        self._device_class_of: dict[str, Object] | None = None

    def lister(self, resource: Resource) -> Lister:
        """Raises ``KeyError`` for a resource that is not among ``LISTED_RESOURCES``."""
        return self._listers[resource]

    def put(self, resource: Resource, obj: Object) -> None:
        self._listers[resource].put(obj)
        self._after(resource)

    def remove(self, resource: Resource, key: str) -> None:
        self._listers[resource].remove(key)
        self._after(resource)

    def device_class_of(self, resource_name: str) -> Object | None:
        """The device class whose devices stand for an extended resource; None where devices have nothing to do with it."""
        if self._device_class_of is None:
            self._device_class_of = _by_extended_resource(self._listers[DEVICECLASSES].all())
        return self._device_class_of.get(resource_name)

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

    def _after(self, resource: Resource) -> None:
        if resource == DEVICECLASSES:
            self._device_class_of = None
            self.nodes.epoch += 1


def _by_extended_resource(classes: Iterable[Object]) -> dict[str, Object]:
    """Every class stands for ``deviceclass.resource.kubernetes.io/<its name>``. Of several for one other resource it is the
    newest, of those the first by name."""
    found: dict[str, Object] = {}
    for each in sorted(classes, key=objects.name):
        found[DEVICE_CLASS_PREFIX + objects.name(each)] = each
        stated = (each.get("spec") or {}).get("extendedResourceName")
        if stated and (stated not in found or _created(each) > _created(found[stated])):
            found[stated] = each
    return found


def _created(obj: Object) -> str:
    return str(objects.metadata(obj).get("creationTimestamp") or "")
