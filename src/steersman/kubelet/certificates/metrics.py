"""What alerts on a kubelet's certificates look at. Only of those that are renewed is there anything to tell."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Gauge, Histogram

LIVED_S: Final = (60, 3600, 14400, 86400, 604800, 2592000, 7776000, 15552000, 31104000, 124416000)
_TTL: Final = (
    "The value is in seconds until certificate expiry (negative if already expired). If {} certificate is invalid or"
    " unused, the value will be +INF."
)
_ERRORS: Final = "Counter of certificate renewal errors."


class ClientCertificateMetrics:
    """Of the one that the kubelet shows the API server."""

    def __init__(self, registry: CollectorRegistry) -> None:
        name = "kubelet_certificate_manager_client_expiration_renew_errors"
        self.errors = Gauge(name, _ERRORS, registry=registry)
        self._registry = registry

    def follow(self, ttl_s: Callable[[], float]) -> None:
        text = f"Gauge of the TTL (time-to-live) of the Kubelet's client certificate. {_TTL.format('client')}"
        _show_ttl("kubelet_certificate_manager_client_ttl_seconds", text, ttl_s, self._registry)


class ServingCertificateMetrics:
    """Of the one that the kubelet's server shows."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.errors = Gauge("kubelet_server_expiration_renew_errors", _ERRORS, registry=registry)
        self.lived = Histogram(
            "kubelet_certificate_manager_server_rotation_seconds",
            "Histogram of the number of seconds the previous certificate lived before being rotated.",
            registry=registry,
            buckets=LIVED_S,
        )
        self._registry = registry

    def follow(self, ttl_s: Callable[[], float]) -> None:
        text = (
            f"Gauge of the shortest TTL (time-to-live) of the Kubelet's serving certificate. {_TTL.format('serving')}"
        )
        _show_ttl("kubelet_certificate_manager_server_ttl_seconds", text, ttl_s, self._registry)


def _show_ttl(name: str, text: str, ttl_s: Callable[[], float], registry: CollectorRegistry) -> None:
    gauge = Gauge(name, text, registry=registry)
    gauge.set_function(lambda: _whole(ttl_s()))


def _whole(seconds: float) -> float:
    return seconds if math.isinf(seconds) else float(math.trunc(seconds))
