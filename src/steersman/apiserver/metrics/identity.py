"""Metrics of authentication and authorization, and of how long the filters of the request chain take.

Upstream measures the filters of audit and impersonation too; here they do nothing for a request that they do not concern.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from steersman.apiserver.metrics.series import Distribution, counters, exact_counters, histograms, rebucketed

_DURATIONS = tuple(0.001 * 2**power for power in range(15))
FILTER_DURATIONS = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 5.0, 10.0, 15.0, 30.0)
_BOTH = tuple(sorted({*_DURATIONS, *FILTER_DURATIONS}))
"""One observation is for two metrics: that of the step and that of its filter."""
_KNOWN = frozenset({"admin", "client", "kube_proxy", "kubelet", "system:serviceaccount:kube-system:default"})


class _Results:
    """Durations by result."""

    def __init__(self) -> None:
        self.durations: dict[tuple[str], Distribution] = {}

    def observe(self, result: str, elapsed_s: float) -> None:
        found = self.durations.get((result,))
        if found is None:
            found = self.durations[result,] = Distribution(_BOTH)
        found.observe(elapsed_s)

    def by_result(self) -> dict[tuple[str], Distribution]:
        return {key: rebucketed(_DURATIONS, (found,)) for key, found in self.durations.items()}

    def of_filter(self) -> Distribution:
        return rebucketed(FILTER_DURATIONS, self.durations.values())

    def counts(self) -> dict[tuple[str, ...], float]:
        return {key: sum(found.counts) for key, found in self.durations.items()}


class IdentityMetrics(Collector):
    def __init__(self, registry: CollectorRegistry) -> None:
        self._authentication = _Results()
        self._authorization = _Results()
        self._users: dict[tuple[str, ...], float] = {}
        self.flow_control = Distribution(FILTER_DURATIONS)
        """Of the filter between the two."""
        registry.register(self)

    def authenticated(self, user: str, elapsed_s: float) -> None:
        name = user if user in _KNOWN else "email_id" if "@" in user else "other"
        self._users[name,] = self._users.get((name,), 0) + 1
        self._authentication.observe("success", elapsed_s)

    def not_authenticated(self, result: str, elapsed_s: float) -> None:
        """``result``: ``failure`` where there were no credentials, ``error`` where they were wrong."""
        self._authentication.observe(result, elapsed_s)

    def authorized(self, allowed: bool, elapsed_s: float) -> None:
        self._authorization.observe("allowed" if allowed else "no-opinion", elapsed_s)

    def describe(self) -> Iterator[Metric]:
        return iter(())

    def collect(self) -> Iterator[Metric]:
        yield exact_counters(
            "authenticated_user_requests",
            "Counter of authenticated requests broken out by username.",
            ("username",),
            dict(self._users),
        )
        yield exact_counters(
            "authentication_attempts",
            "Counter of authenticated attempts.",
            ("result",),
            self._authentication.counts(),
        )
        yield histograms(
            "authentication_duration_seconds",
            "Authentication duration in seconds broken out by result.",
            ("result",),
            self._authentication.by_result(),
        )
        yield counters(
            "authorization_attempts",
            "Counter of authorization attempts broken down by result. It can be either 'allowed', 'denied', 'no-opinion' or "
            "'error'.",
            ("result",),
            self._authorization.counts(),
        )
        yield histograms(
            "authorization_duration_seconds",
            "Authorization duration in seconds broken out by result.",
            ("result",),
            self._authorization.by_result(),
        )
        yield histograms(
            "apiserver_request_filter_duration_seconds",
            "Request filter latency distribution in seconds, for each filter type",
            ("filter",),
            {
                ("authentication",): self._authentication.of_filter(),
                ("authorization",): self._authorization.of_filter(),
                ("priorityandfairness",): self.flow_control,
            },
        )
