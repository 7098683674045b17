"""Families of metrics, by upstream's names without the kubelet's prefix."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class MetricFamilies:
    """Makes them in ``registry``."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry

    def counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"kubelet_{name}", text, labels, registry=self.registry)

    def bare_counter(self, name: str, text: str, *labels: str) -> Gauge:
        """One whose name does not end in ``_total``, as the library's counters' do."""
        return self.gauge(name, text, *labels)

    def gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"kubelet_{name}", text, labels, registry=self.registry)

    def histogram(self, name: str, text: str, *labels: str, buckets: Iterable[float] | None = None) -> Histogram:
        bounds = tuple(buckets) if buckets is not None else Histogram.DEFAULT_BUCKETS
        return Histogram(f"kubelet_{name}", text, labels, registry=self.registry, buckets=bounds)
