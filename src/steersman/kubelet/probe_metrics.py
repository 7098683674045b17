"""``GET /metrics/probes``: how often each container's probes found what, and how long they took."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec import Struct, field
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from steersman.kubelet.handlers import Outcome, Target
from steersman.kubelet.probe_results import ProbeKind
from steersman.meta import objects

KINDS: Final[dict[ProbeKind, str]] = {"liveness": "Liveness", "readiness": "Readiness", "startup": "Startup"}
RESULTS: Final = {"success": "successful", "warning": "successful", "failure": "failed", "error": "unknown"}
BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

_Key = tuple[str, str, str, str, str]
"""Probe type, container, pod, namespace, pod uid."""


class _Durations(Struct):
    total_s: float = 0.0
    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))


class ProbeMetrics(Collector):
    """Counts by container and forgets with the pod, so that series do not pile up."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(self)
        self._totals: dict[tuple[_Key, str], int] = {}
        self._durations: dict[_Key, _Durations] = {}

    def observe(self, target: Target, kind: ProbeKind, outcome: Outcome, seconds: float) -> None:
        """One probe has ended."""
        pod = target.pod
        key = (KINDS[kind], target.container.name, objects.name(pod), objects.namespace(pod), objects.uid(pod))
        result = RESULTS[outcome.result]
        self._totals[key, result] = self._totals.get((key, result), 0) + 1
        if result == "unknown":
            return
        durations = self._durations.setdefault(key, _Durations())
        durations.total_s += seconds
        durations.counts[sum(seconds > bound for bound in BUCKETS)] += 1

    def forget(self, uid: str) -> None:
        self._totals = {entry: number for entry, number in self._totals.items() if entry[0][4] != uid}
        self._durations = {key: durations for key, durations in self._durations.items() if key[4] != uid}

    def collect(self) -> Iterator[Metric]:
        labels = ("probe_type", "container", "pod", "namespace", "pod_uid")
        totals = CounterMetricFamily(
            "prober_probe", "Cumulative number of a liveness, readiness or startup probe for a container by result.",
            labels=(*labels, "result"),
        )  # fmt: skip
        for (key, result), number in self._totals.items():
            totals.add_metric((*key, result), number)
        yield totals
        durations = HistogramMetricFamily(
            "prober_probe_duration_seconds", "Duration in seconds for a probe response.", labels=labels[:4]
        )
        for key, found in self._durations.items():
            seen, buckets = 0, []
            for bound, count in zip((*map(str, BUCKETS), "+Inf"), found.counts, strict=True):
                seen += count
                buckets.append((bound, float(seen)))
            durations.add_metric(key[:4], buckets, found.total_s)
        yield durations
