"""Metrics of aggregation, under upstream's names."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from steersman.apiserver.metrics.series import counters, gauges

_NAME = "aggregator_unavailable_apiservice"


class AvailabilityMetrics(Collector):
    """Which APIServices are unavailable, and how often each became so.

    A collector of its own: the gauge and the counter have one name but for ``_total``, which the client library takes for a
    clash.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._available: dict[str, bool] = {}
        self._became: dict[tuple[str, str], int] = {}
        registry.register(self)

    def observe(self, name: str, is_available: bool) -> None:
        self._available[name] = is_available

    def became_unavailable(self, name: str, reason: str) -> None:
        self._became[name, reason] = self._became.get((name, reason), 0) + 1

    def forget(self, name: str) -> None:
        self._available.pop(name, None)

    def describe(self) -> Iterator[Metric]:
        return iter(())

    def collect(self) -> Iterator[Metric]:
        text = "Gauge of APIServices which are marked as unavailable broken down by APIService name."
        values = {(name,): 0.0 if is_available else 1.0 for name, is_available in self._available.items()}
        yield gauges(_NAME, text, ("name",), values)
        text = "Counter of APIServices which are marked as unavailable broken down by APIService name and reason."
        yield counters(_NAME, text, ("name", "reason"), dict(self._became))
