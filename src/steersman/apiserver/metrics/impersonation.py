"""Metrics of impersonation."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from steersman.apiserver.metrics.series import Distribution, counters, histograms

_DURATIONS = tuple(0.001 * 2**power for power in range(15))
_LABELS = ("mode", "decision")
_Durations = dict[tuple[str, ...], Distribution]


class ImpersonationMetrics(Collector):
    def __init__(self, registry: CollectorRegistry) -> None:
        self._attempts: _Durations = {}
        self._questions: _Durations = {}
        registry.register(self)

    def attempted(self, mode: str, allowed: bool, elapsed_s: float) -> None:
        """A request that was to be made as somebody else; ``mode`` is empty where none allowed it."""
        _observe(self._attempts, mode, allowed, elapsed_s)

    def asked(self, mode: str, allowed: bool, elapsed_s: float) -> None:
        """One question to the authorizer; an attempt asks several."""
        _observe(self._questions, mode, allowed, elapsed_s)

    def describe(self) -> Iterator[Metric]:
        return iter(())

    def collect(self) -> Iterator[Metric]:
        for durations, name, what, latency in (
            (
                self._attempts,
                "attempts",
                "impersonation attempts split by mode and decision",
                "impersonation attempts in seconds split by mode and decision",
            ),
            (
                self._questions,
                "authorization_attempts",
                "authorization checks made by the impersonation handler split by mode and decision",
                "authorization checks made by the impersonation handler in seconds split by mode and decision",
            ),
        ):
            counts = {key: sum(found.counts) for key, found in durations.items()}
            yield counters(f"apiserver_impersonation_{name}", f"Total number of {what}.", _LABELS, counts)
            yield histograms(
                f"apiserver_impersonation_{name}_duration_seconds", f"Latency of {latency}.", _LABELS, dict(durations)
            )


def _observe(durations: _Durations, mode: str, allowed: bool, elapsed_s: float) -> None:
    key = (mode, "allowed" if allowed else "denied")
    found = durations.get(key)
    if found is None:
        found = durations[key] = Distribution(_DURATIONS)
    found.observe(elapsed_s)
