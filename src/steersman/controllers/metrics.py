"""Metrics of the controllers' queues, under the names of upstream's workqueue metrics."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_BUCKETS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0, 1000.0)


class ControllerMetrics:
    """All queues of one controller manager, in its own registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.depth = Gauge("workqueue_depth", "Current depth of workqueue", ["name"], registry=registry)
        self.adds = Counter("workqueue_adds", "Total number of adds handled by workqueue", ["name"], registry=registry)
        self.waits = Histogram(
            "workqueue_queue_duration_seconds",
            "How long in seconds an item stays in workqueue before being requested.",
            ["name"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self.work = Histogram(
            "workqueue_work_duration_seconds",
            "How long in seconds processing an item from workqueue takes.",
            ["name"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self.retries = Counter(
            "workqueue_retries", "Total number of retries handled by workqueue", ["name"], registry=registry
        )

    def queue(self, name: str) -> QueueMetrics:
        return QueueMetrics(self, name)


class QueueMetrics:
    """One queue's metrics, their label looked up once."""

    def __init__(self, metrics: ControllerMetrics, name: str) -> None:
        self._depth = metrics.depth.labels(name)
        self._waits = metrics.waits.labels(name)
        self._work = metrics.work.labels(name)
        self.added = metrics.adds.labels(name).inc
        self.retried = metrics.retries.labels(name).inc

    def taken(self, depth: int, waited_s: float) -> None:
        self._depth.set(depth)
        self._waits.observe(waited_s)

    def worked(self, took_s: float) -> None:
        self._work.observe(took_s)
