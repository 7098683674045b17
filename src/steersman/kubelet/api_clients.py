"""How often a kubelet asks the API server: ``kubeAPIQPS``, ``kubeAPIBurst``, ``eventRecordQPS``, ``eventBurst``.

As upstream's: events wait for each other and for nothing else, the Node's status and its Lease for nobody, and all that
remains has one limit together. Watches are not counted.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from steersman.aio.clock import Clock
from steersman.client.api import Client

DEFAULT_QPS: Final = 5.0
"""client-go's, which is what a configured 0 stands for."""


class RateLimit(Struct, frozen=True, kw_only=True):
    """``burst`` requests at once, then ``qps`` a second."""

    qps: float
    burst: int


DEFAULT_LIMIT: Final = RateLimit(qps=50, burst=100)
"""Of a kubelet that is told nothing else."""


class APIClients(Struct, frozen=True, kw_only=True):
    """The same connections, by what they are for."""

    api: Client
    events: Client
    heartbeats: Client


def api_clients(client: Client, *, api: RateLimit | None, events: RateLimit | None, clock: Clock) -> APIClients:
    """None: no limit, as for simulated nodes."""
    return APIClients(api=_limited(client, api, clock), events=_limited(client, events, clock), heartbeats=client)


def _limited(client: Client, limit: RateLimit | None, clock: Clock) -> Client:
    return client if limit is None else client.limited(qps=limit.qps, burst=limit.burst, clock=clock)
