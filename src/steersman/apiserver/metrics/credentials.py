"""Metrics of what users prove themselves with: client certificates and tokens of service accounts."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from steersman.apiserver.metrics.series import Distribution, counters, histograms

_MINUTE, _DAY = 60.0, 86400.0
_LIFETIMES = (
    0.0, 30 * _MINUTE, 60 * _MINUTE, 120 * _MINUTE, 360 * _MINUTE, 720 * _MINUTE, _DAY, 2 * _DAY, 4 * _DAY, 7 * _DAY, 30 * _DAY,
    90 * _DAY, 180 * _DAY, 360 * _DAY,
)  # fmt: skip
_TOKENS = {
    "valid_tokens": "Cumulative valid projected service account tokens used",
    "stale_tokens": "Cumulative stale projected service account tokens used",
    "legacy_tokens": "Cumulative legacy service account tokens used",
    "legacy_auto_token_uses": "Cumulative auto-generated legacy tokens used",
    "legacy_manual_token_uses": "Cumulative manually created legacy tokens used",
    "invalid_legacy_auto_token_uses": "Cumulative invalid auto-generated legacy tokens used",
}


class CredentialMetrics(Collector):
    def __init__(self, registry: CollectorRegistry) -> None:
        self.certificate_lifetimes = Distribution(_LIFETIMES)
        """Seconds that are left of the certificate of each request."""
        self._tokens = dict.fromkeys(_TOKENS, 0)
        registry.register(self)

    def token(self, name: str) -> None:
        """A token was used; ``name``: that of the counter, without ``serviceaccount`` and ``total``."""
        self._tokens[name] += 1

    def describe(self) -> Iterator[Metric]:
        return iter(())

    def collect(self) -> Iterator[Metric]:
        yield histograms(
            "apiserver_client_certificate_expiration_seconds",
            "Distribution of the remaining lifetime on the certificate used to authenticate a request.",
            (),
            {(): self.certificate_lifetimes},
        )
        for name, text in _TOKENS.items():
            yield counters(f"serviceaccount_{name}", text, (), {(): self._tokens[name]})
