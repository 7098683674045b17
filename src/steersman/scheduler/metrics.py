"""The scheduler's metrics, under upstream's names."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from steersman.scheduler.queue import SchedulingQueue

_SECONDS = tuple(0.001 * 2**exponent for exponent in range(15))


class SchedulerMetrics:
    """Made per component: many schedulers can live in one process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._attempts = Counter(
            "scheduler_schedule_attempts_total", "Attempts to schedule pods, by the result.", ["result", "profile"],
            registry=registry,
        )  # fmt: skip
        self._attempts_by: dict[tuple[str, str], Counter] = {}
        self._algorithm = Histogram(
            "scheduler_scheduling_algorithm_duration_seconds", "Scheduling algorithm latency in seconds",
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self._preemptions = Counter(
            "scheduler_preemption_attempts_total", "Total preemption attempts in the cluster till now",
            registry=registry,
        )  # fmt: skip
        self._victims = Histogram(
            "scheduler_preemption_victims", "Number of selected preemption victims",
            buckets=tuple(2.0**exponent for exponent in range(7)), registry=registry,
        )  # fmt: skip

    def watch_queue(self, queue: Callable[[], SchedulingQueue]) -> None:
        """Report the lengths of the queue whenever asked."""
        pending = Gauge(
            "scheduler_pending_pods", "Number of pending pods, by the queue type.", ["queue"], registry=self._registry
        )
        for place in ("active", "backoff", "unschedulable", "gated"):
            pending.labels(queue=place).set_function(_length_of(queue, place))

    def attempted(self, result: str, profile: str) -> None:
        """``result`` is scheduled, unschedulable or error."""
        counter = self._attempts_by.get((result, profile))
        if counter is None:
            counter = self._attempts_by[result, profile] = self._attempts.labels(result=result, profile=profile)
        counter.inc()

    def decided(self, seconds: float) -> None:
        self._algorithm.observe(seconds)

    def preempted(self, victims: int) -> None:
        self._preemptions.inc()
        self._victims.observe(victims)


def _length_of(queue: Callable[[], SchedulingQueue], place: str) -> Callable[[], float]:
    return lambda: float(getattr(queue().lengths(), place))
