"""Which authorizer decided how often."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from steersman.apiserver.metrics.series import counters


class Decisions:
    """Those of one authorizer."""

    __slots__ = ("allowed", "denied")

    def __init__(self) -> None:
        self.allowed = self.denied = 0


class DecisionMetrics(Collector):
    def __init__(self, registry: CollectorRegistry) -> None:
        self._decisions: dict[str, Decisions] = {}
        registry.register(self)

    def of(self, mode: str) -> Decisions:
        """Where the authorizer of ``--authorization-mode=<mode>`` counts."""
        return self._decisions.setdefault(mode, Decisions())

    def describe(self) -> Iterator[Metric]:
        return iter(())

    def collect(self) -> Iterator[Metric]:
        counted = {
            (mode, mode.lower(), decision): count
            for mode, found in self._decisions.items()
            for decision, count in (("allowed", found.allowed), ("denied", found.denied))
            if count
        }
        yield counters(
            "apiserver_authorization_decisions",
            "Total number of terminal decisions made by an authorizer split by authorizer type, name, and decision.",
            ("type", "name", "decision"),
            counted,
        )
