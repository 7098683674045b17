"""Metrics of the CEL rules of custom resources, under upstream's names."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from prometheus_client import CollectorRegistry, Histogram

from steersman.aio.clock import Clock

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
T = TypeVar("T")


class RuleMetrics:
    """How long rules take, where they come to an end."""

    def __init__(self, registry: CollectorRegistry, *, clock: Clock) -> None:
        self._clock = clock
        self._compilations = Histogram(
            "apiserver_cel_compilation_duration_seconds",
            "CEL compilation time in seconds.",
            buckets=_BUCKETS,
            registry=registry,
        )
        self._evaluations = Histogram(
            "apiserver_cel_evaluation_duration_seconds",
            "CEL evaluation time in seconds.",
            buckets=_BUCKETS,
            registry=registry,
        )

    def compiled(self, work: Callable[[], T]) -> T:
        """What ``work`` gives, which compiles the rules of a schema."""
        return self._timed(self._compilations, work)

    def evaluated(self, work: Callable[[], T]) -> T:
        """What ``work`` gives, which evaluates the rules on one object."""
        return self._timed(self._evaluations, work)

    def _timed(self, histogram: Histogram, work: Callable[[], T]) -> T:
        began_s = self._clock.monotonic()
        found = work()
        histogram.observe(self._clock.monotonic() - began_s)
        return found
