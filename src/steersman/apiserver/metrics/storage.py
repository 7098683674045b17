"""Metrics of the store and of the watch cache above it.

What a driver is asked counts as ``etcd_request_*`` whichever driver it is: dashboards look for that name.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from steersman.apiserver.metrics.series import Distribution, Labels, counters, gauges, histograms
from steersman.schema.registry import Registry
from steersman.store.api import SizedStore, Store, StoreUnavailable
from steersman.store.objects import ObjectStore

if TYPE_CHECKING:
    from steersman.apiserver.api import ServedKinds

_DURATIONS = (0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60)
_WAITS = (0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2, 3)
_KIND = ("group", "resource")
_Kind = tuple[str, str]
_UNKNOWN: _Kind = ("", "")


class StorageMetrics(Collector):
    """An observer of an ``ObjectStore`` (``store.objects.StoreObserver``), and a collector of what it has."""

    def __init__(self, registry: CollectorRegistry, kinds: ServedKinds) -> None:
        self._kinds = kinds
        self._objects: ObjectStore | None = None
        self._requests: dict[tuple[str, _Kind], Distribution] = {}
        self._errors: dict[tuple[str, _Kind], int] = {}
        self._events: dict[_Kind, int] = {}
        self._lists: dict[Labels, list[int]] = {}
        self._waits: dict[_Kind, Distribution] = {}
        self._size_bytes = 0
        self._registry: Registry | None = None
        self._by_prefix: dict[str, _Kind] = {}
        registry.register(self)

    def expose(self, objects: ObjectStore) -> None:
        """Collect what ``objects`` has, too."""
        self._objects = objects

    async def refresh(self, store: Store) -> None:
        """Ask the store how large it is."""
        if isinstance(store, SizedStore):
            try:
                self._size_bytes = await store.size_bytes()
            except StoreUnavailable:
                self._size_bytes = 0

    # -- what happens

    def requested(self, operation: str, key: str, elapsed_s: float, *, failed: bool) -> None:
        """The store was asked for something."""
        at = (operation, self._kind_of(key))
        found = self._requests.get(at)
        if found is None:
            found = self._requests[at] = Distribution(_DURATIONS)
        found.observe(elapsed_s)
        if failed:
            self._errors[at] = self._errors.get(at, 0) + 1

    def received(self, key: str) -> None:
        """A change of ``key`` came into the watch cache."""
        kind = self._kind_of(key)
        self._events[kind] = self._events.get(kind, 0) + 1

    def waited(self, key: str, elapsed_s: float) -> None:
        """A read of ``key`` (of a list: its prefix) had the watch cache brought up to date before."""
        kind = self._kind_of(key)
        found = self._waits.get(kind)
        if found is None:
            found = self._waits[kind] = Distribution(_WAITS)
        found.observe(elapsed_s)

    def listed(self, group: str, resource: str, *, fetched: int, returned: int) -> None:
        """A LIST was answered from the watch cache."""
        counts = self._lists.get((group, resource))
        if counts is None:
            counts = self._lists[group, resource] = [0, 0, 0]
        counts[0] += 1
        counts[1] += fetched
        counts[2] += returned

    def _kind_of(self, key: str) -> _Kind:
        """Whose objects ``key`` is one of: its first folder, or its first two, is the kind's."""
        if self._kinds.registry is not self._registry:
            self._registry = self._kinds.registry
            self._by_prefix = {
                served.prefix: (served.resource.group, served.resource.plural) for served in self._kinds.all()
            }
        first = key.find("/", 10) + 1
        found = self._by_prefix.get(key[:first])
        if found is None:
            found = self._by_prefix.get(key[: key.find("/", first) + 1], _UNKNOWN)
        return found

    # -- collecting

    def describe(self) -> Iterator[Metric]:
        return iter(())

    def collect(self) -> Iterator[Metric]:
        requests = {(operation, *kind): found for (operation, kind), found in self._requests.items()}
        labels = ("operation", *_KIND)
        yield histograms(
            "etcd_request_duration_seconds",
            "Etcd request latency in seconds for each operation and object type.",
            labels,
            requests,
        )
        yield counters(
            "etcd_requests",
            "Etcd request counts for each operation and object type.",
            labels,
            {key: sum(found.counts) for key, found in requests.items()},
        )
        yield counters(
            "etcd_request_errors",
            "Etcd failed request counts for each operation and object type.",
            labels,
            {(operation, *kind): count for (operation, kind), count in self._errors.items()},
        )
        yield gauges(
            "apiserver_storage_size_bytes",
            "Size of the storage database file physically allocated in bytes.",
            ("storage_cluster_id",),
            {("etcd-0",): self._size_bytes} if self._size_bytes else {},
        )
        yield from self._of_lists()
        if self._objects is not None:
            yield from self._of_objects(self._objects)

    def _of_lists(self) -> Iterator[Metric]:
        indexed = {(*key, ""): counts for key, counts in self._lists.items()}
        yield counters(
            "apiserver_cache_list",
            "Number of LIST requests served from watch cache",
            (*_KIND, "index"),
            {key: counts[0] for key, counts in indexed.items()},
        )
        yield counters(
            "apiserver_cache_list_fetched_objects",
            "Number of objects read from watch cache in the course of serving a LIST request",
            (*_KIND, "index"),
            {key: counts[1] for key, counts in indexed.items()},
        )
        yield counters(
            "apiserver_cache_list_returned_objects",
            "Number of objects returned for a LIST request from watch cache",
            _KIND,
            {key: counts[2] for key, counts in self._lists.items()},
        )

    def _of_objects(self, objects: ObjectStore) -> Iterator[Metric]:
        prefixes: dict[_Kind, str] = {}
        for served in self._kinds.all():
            if served.kind.is_stored:
                prefixes.setdefault((served.resource.group, served.resource.plural), served.prefix)
        counts = {kind: objects.cached_count(prefix) for kind, prefix in prefixes.items()}
        yield gauges(
            "apiserver_resource_objects",
            "Number of stored objects at the time of last check split by kind. In case of a fetching error, the value will "
            "be -1.",
            _KIND,
            counts,
        )
        yield gauges(
            "apiserver_storage_objects",
            "[DEPRECATED, consider using apiserver_resource_objects instead] Number of stored objects at the time of last "
            "check split by kind. In case of a fetching error, the value will be -1.",
            ("resource",),
            {(f"{plural}.{group}" if group else plural,): count for (group, plural), count in counts.items()},
        )
        yield gauges(
            "apiserver_resource_size_estimate_bytes",
            "Estimated size of stored objects in database. Estimate is based on sum of last observed sizes of serialized "
            "objects. In case of a fetching error, the value will be -1.",
            _KIND,
            {
                kind: sum([len(stored.json) for stored in objects.cached_list(prefix).items])
                for kind, prefix in prefixes.items()
                if counts[kind]
            },
        )
        yield gauges(
            "apiserver_watch_cache_resource_version",
            "Current resource version of watch cache broken by resource type. This is truncated to the 15 least significant "
            "digits.",
            _KIND,
            dict.fromkeys(prefixes, objects.revision % 10**15),
        )
        yield gauges(
            "watch_cache_capacity",
            "Total capacity of watch cache broken by resource type.",
            _KIND,
            dict.fromkeys(prefixes, objects.window_capacity),
        )
        yield from self._of_events(prefixes)

    def _of_events(self, prefixes: dict[_Kind, str]) -> Iterator[Metric]:
        by_kind = {kind: count for kind, count in self._events.items() if kind != _UNKNOWN}
        for name, text in (
            ("watch_cache_events_received", "Counter of events received in watch cache broken by resource type."),
            ("watch_cache_events_dispatched", "Counter of events dispatched in watch cache broken by resource type."),
            ("storage_events_received", "Number of etcd events received split by kind."),
        ):
            yield counters(f"apiserver_{name}", text, _KIND, by_kind)
        yield histograms(
            "apiserver_watch_cache_read_wait_seconds",
            "Histogram of time spent waiting for a watch cache to become fresh.",
            _KIND,
            {kind: found for kind, found in self._waits.items() if kind != _UNKNOWN},
        )
        yield counters(
            "apiserver_watch_cache_initializations",
            "Counter of watch cache initializations broken by resource type.",
            _KIND,
            dict.fromkeys(prefixes, 1.0),
        )
