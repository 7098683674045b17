"""Metrics of conversion webhooks, under upstream's names."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

_BUCKETS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 45, 60)
_OBJECT_BUCKETS = tuple(0.001 * 2**power for power in range(15))


class ConversionMetrics:
    """What conversions took and how they ended."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._conversions = Histogram(
            "apiserver_crd_conversion_webhook_duration_seconds",
            "CRD webhook conversion duration in seconds",
            ("crd_name", "from_version", "to_version", "succeeded"),
            buckets=_OBJECT_BUCKETS,
            registry=registry,
        )
        labels = ("result", "failure_type")
        self._durations = Histogram(
            "apiserver_conversion_webhook_duration_seconds",
            "Conversion webhook request latency",
            labels,
            buckets=_BUCKETS,
            registry=registry,
        )
        self._requests = Counter(
            "apiserver_conversion_webhook_request",
            "Counter for conversion webhook requests with success/failure and failure error type",
            labels,
            registry=registry,
        )

    def succeeded(self, crd: str, from_version: str, to_version: str, seconds: float) -> None:
        self._observe(crd, from_version, to_version, "success", "", seconds)

    def failed(self, crd: str, from_version: str, to_version: str, failure: str, seconds: float) -> None:
        """``failure`` is upstream's word, e.g. ``conversion_webhook_call_failure``."""
        self._observe(crd, from_version, to_version, "failure", failure, seconds)

    def _observe(self, crd: str, from_version: str, to_version: str, result: str, failure: str, seconds: float) -> None:
        succeeded = "true" if result == "success" else "false"
        self._conversions.labels(crd, from_version, to_version, succeeded).observe(seconds)
        self._durations.labels(result, failure).observe(seconds)
        self._requests.labels(result, failure).inc()
