"""``/metrics/slis``: what the health checks said when they were last asked. Source: component-base's slis."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge


class HealthMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._state = Gauge(
            "kubernetes_healthcheck",
            "This metric records the result of a single healthcheck.",
            ("name", "type"),
            registry=registry,
        )
        self._results = Counter(
            "kubernetes_healthchecks",
            "This metric records the results of all healthcheck.",
            ("name", "type", "status"),
            registry=registry,
        )

    def observe(self, name: str, endpoint: str, *, is_healthy: bool) -> None:
        self._state.labels(name, endpoint).set(1 if is_healthy else 0)
        self._results.labels(name, endpoint, "success" if is_healthy else "error").inc()
