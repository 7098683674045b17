"""How long it takes to tell whether an update changes anything but times of managed fields, and by which way that is found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from steersman.apiserver.metrics.series import Distribution, histograms

Way = Literal["unequal_objects_fast", "unequal_objects_slow", "equal_objects"]
"""Other managed fields; equal ones, but another object; nothing has changed."""
_DURATIONS = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 5.0)


class ComparisonMetrics(Collector):
    def __init__(self, registry: CollectorRegistry) -> None:
        self._durations: dict[tuple[Way], Distribution] = {}
        registry.register(self)

    def compared(self, way: Way, elapsed_s: float) -> None:
        found = self._durations.get((way,))
        if found is None:
            found = self._durations[way,] = Distribution(_DURATIONS)
        found.observe(elapsed_s)

    def describe(self) -> Iterator[Metric]:
        return iter(())

    def collect(self) -> Iterator[Metric]:
        yield histograms(
            "apiserver_request_timestamp_comparison_time",
            "Time taken for comparison of old vs new objects in UPDATE or PATCH requests",
            ("code_path",),
            dict(self._durations),
        )
