"""The scheduler's metrics, under upstream's names. What can be seen in the queue and the cluster is read when somebody asks."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterator
from typing import Literal, Protocol

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from steersman.scheduler.cluster import Cluster
from steersman.scheduler.queue import SchedulingQueue

Result = Literal["scheduled", "unschedulable", "error"]
MOST_ATTEMPTS = 15
"""Pods that took as many attempts and more are told of together."""


def _doubling(first: float, count: int, factor: float = 2.0) -> tuple[float, ...]:
    return tuple(first * factor**exponent for exponent in range(count))


class SchedulerMetrics:
    """Made per component: many schedulers can live in one process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._attempts = Counter(
            "scheduler_schedule_attempts_total", "Attempts to schedule pods, by the result.", ["result", "profile"],
            registry=registry,
        )  # fmt: skip
        self._attempt_durations = Histogram(
            "scheduler_scheduling_attempt_duration_seconds",
            "Scheduling attempt latency in seconds (scheduling algorithm + binding)", ["result", "profile"],
            buckets=_doubling(0.001, 15), registry=registry,
        )  # fmt: skip
        self._attempts_by: dict[tuple[Result, str], tuple[Counter, Histogram]] = {}
        self._algorithm = Histogram(
            "scheduler_scheduling_algorithm_duration_seconds", "Scheduling algorithm latency in seconds",
            buckets=_doubling(0.001, 15), registry=registry,
        )  # fmt: skip
        self._pod_attempts = Histogram(
            "scheduler_pod_scheduling_attempts", "Number of attempts to successfully schedule a pod.",
            buckets=_doubling(1.0, 5), registry=registry,
        )  # fmt: skip
        self._pod_durations = Histogram(
            "scheduler_pod_scheduling_sli_duration_seconds",
            "Time from when a pod could be tried first to when it was bound, by the number of attempts.", ["attempts"],
            buckets=_doubling(0.01, 20), registry=registry,
        )  # fmt: skip
        self._after_flush = Counter(
            "scheduler_pod_scheduled_after_flush_total",
            "Pods that were scheduled after they had been tried again because of their waiting time alone.",
            registry=registry,
        )  # fmt: skip
        self._preemptions = Counter(
            "scheduler_preemption_attempts_total", "Total preemption attempts in the cluster till now",
            registry=registry,
        )  # fmt: skip
        self._victims = Histogram(
            "scheduler_preemption_victims", "Number of selected preemption victims",
            buckets=_doubling(1.0, 7), registry=registry,
        )  # fmt: skip
        self._points = Histogram(
            "scheduler_framework_extension_point_duration_seconds",
            "Latency for running all plugins of a specific extension point.", ["extension_point", "status", "profile"],
            buckets=_doubling(0.0001, 12), registry=registry,
        )  # fmt: skip
        self._points_by: dict[tuple[str, str, str], Histogram] = {}
        self._permit_waits = Histogram(
            "scheduler_permit_wait_duration_seconds", "Duration of waiting on permit.", ["result"],
            buckets=_doubling(0.001, 15), registry=registry,
        )  # fmt: skip

    def watch(self, observed: Callable[[], Observed]) -> None:
        """Report what ``observed`` gives whenever asked."""
        self._registry.register(_AtWork(observed))

    def attempted(self, result: Result, profile: str, seconds: float) -> None:
        """One try of one pod ended, ``seconds`` after it began."""
        found = self._attempts_by.get((result, profile))
        if found is None:
            found = (
                self._attempts.labels(result=result, profile=profile),
                self._attempt_durations.labels(result=result, profile=profile),
            )
            self._attempts_by[result, profile] = found
        found[0].inc()
        found[1].observe(seconds)

    def decided(self, seconds: float) -> None:
        self._algorithm.observe(seconds)

    def bound(self, attempts: int, seconds: float, *, was_flushed: bool) -> None:
        """A pod has its node, ``seconds`` after it could be tried first."""
        self._pod_attempts.observe(attempts)
        label = str(attempts) if attempts < MOST_ATTEMPTS else f"{MOST_ATTEMPTS}+"
        self._pod_durations.labels(attempts=label).observe(seconds)
        if was_flushed:
            self._after_flush.inc()

    def tried_to_preempt(self) -> None:
        self._preemptions.inc()

    def preempted(self, victims: int) -> None:
        self._victims.observe(victims)

    def ran(self, point: str, profile: str, seconds: float, *, is_error: bool = False) -> None:
        """All plugins of an extension point, under upstream's name of it."""
        key = (point, "Error" if is_error else "Success", profile)
        found = self._points_by.get(key)
        if found is None:
            found = self._points_by[key] = self._points.labels(*key)
        found.observe(seconds)

    def waited_for_permit(self, seconds: float, *, is_allowed: bool) -> None:
        self._permit_waits.labels(result="Success" if is_allowed else "Unschedulable").observe(seconds)


class Observed(Protocol):
    """A scheduler at work."""

    @property
    def queue(self) -> SchedulingQueue: ...

    @property
    def cluster(self) -> Cluster: ...

    @property
    def assumed_count(self) -> int:
        """Pods that have been given a node and that the API does not show on it yet."""

    @property
    def binding_count(self) -> int:
        """Bindings under way."""


class _AtWork(Collector):
    def __init__(self, observed: Callable[[], Observed]) -> None:
        self._observed = observed

    def describe(self) -> Iterator[Metric]:
        return iter(())

    def collect(self) -> Iterator[Metric]:
        observed = self._observed()
        queue, nodes = observed.queue, observed.cluster.nodes
        lengths = queue.lengths()
        pending = GaugeMetricFamily(
            "scheduler_pending_pods", "Number of pending pods, by the queue type.", labels=["queue"]
        )
        for place in ("active", "backoff", "unschedulable", "gated"):
            pending.add_metric([place], getattr(lengths, place))
        yield pending
        size = GaugeMetricFamily(
            "scheduler_cache_size", "Number of nodes, pods, and assumed (bound) pods in the scheduler cache.",
            labels=["type"],
        )  # fmt: skip
        for kind, count in (
            ("nodes", nodes.node_count), ("pods", len(nodes.uids())), ("assumed_pods", observed.assumed_count)
        ):  # fmt: skip
            size.add_metric([kind], count)
        yield size
        running = GaugeMetricFamily(
            "scheduler_goroutines", "Number of running tasks split by the work they do such as binding.",
            labels=["operation"],
        )  # fmt: skip
        running.add_metric(["binding"], observed.binding_count)
        yield running
        yield from self._of_queue(queue)

    def _of_queue(self, queue: SchedulingQueue) -> Iterator[Metric]:
        rejected = GaugeMetricFamily(
            "scheduler_unschedulable_pods", "Pods that wait, by the plugins that rejected them.",
            labels=["plugin", "profile"],
        )  # fmt: skip
        by_plugin = Tally(
            (plugin, queued.pod.scheduler_name)
            for queued in queue.pods()
            if queued.place != "in_flight"
            for plugin in queued.plugins
        )
        for labels, count in by_plugin.items():
            rejected.add_metric(labels, count)
        yield rejected
        incoming = CounterMetricFamily(
            "scheduler_queue_incoming_pods", "Number of pods added to scheduling queues by event and queue type.",
            labels=["queue", "event"],
        )  # fmt: skip
        for labels, count in queue.incoming.items():
            incoming.add_metric(labels, count)
        yield incoming
        kept = GaugeMetricFamily(
            "scheduler_inflight_events", "Number of events currently tracked in the scheduling queue.", labels=["event"]
        )
        for event, count in queue.kept_events().items():
            kept.add_metric([event], count)
        yield kept
