"""Metrics of watches: what they send, what they begin with, which of them are cut."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from steersman.apiserver.metrics.series import Distribution, counters, histograms
from steersman.meta.resources import Resource
from steersman.meta.wire import WatchFrame

_SIZES = tuple(1024.0 * 2**power for power in range(8))
_LIST_DURATIONS = (0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 2, 4, 6, 8, 10, 15, 20, 30, 45, 60)


class WatchMeter:
    """What the watches of one resource count; each watch keeps it, so that an event costs no look-up."""

    __slots__ = ("events", "initial", "list_durations", "resource", "sizes", "terminated")

    def __init__(self, resource: Resource) -> None:
        self.resource = resource
        self.events = 0
        self.sizes = Distribution(_SIZES)
        self.initial = 0
        self.terminated = 0
        self.list_durations: dict[str, Distribution] = {}

    def sent(self, frames: Sequence[WatchFrame]) -> None:
        self.events += len(frames)
        observe = self.sizes.observe
        for frame in frames:
            observe(len(frame.data))

    def listed(self, scope: str, elapsed_s: float) -> None:
        """A streaming list has sent what there was."""
        found = self.list_durations.get(scope)
        if found is None:
            found = self.list_durations[scope] = Distribution(_LIST_DURATIONS)
        found.observe(elapsed_s)


class WatchMetrics(Collector):
    def __init__(self, registry: CollectorRegistry) -> None:
        self._meters: dict[Resource, WatchMeter] = {}
        registry.register(self)

    def of(self, resource: Resource) -> WatchMeter:
        meter = self._meters.get(resource)
        if meter is None:
            meter = self._meters[resource] = WatchMeter(resource)
        return meter

    def describe(self) -> Iterator[Metric]:
        return iter(())

    def collect(self) -> Iterator[Metric]:
        meters = list(self._meters.values())
        full = {(meter.resource.group, meter.resource.version, meter.resource.plural): meter for meter in meters}
        short = {(meter.resource.group, meter.resource.plural): meter for meter in meters}
        labels, kind = ("group", "version", "resource"), ("group", "resource")
        yield counters(
            "apiserver_watch_events",
            "Number of events sent in watch clients",
            labels,
            {key: meter.events for key, meter in full.items() if meter.events},
        )
        yield histograms(
            "apiserver_watch_events_sizes",
            "Watch event size distribution in bytes",
            labels,
            {key: meter.sizes for key, meter in full.items() if meter.events},
        )
        yield histograms(
            "apiserver_watch_list_duration_seconds",
            "Response latency distribution in seconds for watch list requests broken by group, version, resource and scope.",
            (*labels, "scope"),
            {(*key, scope): found for key, meter in full.items() for scope, found in meter.list_durations.items()},
        )
        yield counters(
            "apiserver_init_events",
            "Counter of init events processed in watch cache broken by resource type.",
            kind,
            {key: meter.initial for key, meter in short.items() if meter.initial},
        )
        yield counters(
            "apiserver_terminated_watchers",
            "Counter of watchers closed due to unresponsiveness broken by resource type.",
            kind,
            {key: meter.terminated for key, meter in short.items() if meter.terminated},
        )
