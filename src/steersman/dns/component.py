"""Cluster DNS: watches Services, EndpointSlices and Namespaces, and answers from what they say.

Watches services, endpointslices, namespaces. Writes nothing to the API. Answers only once its caches are complete, so that a
starting server never says that a name does not exist which does.
"""

from __future__ import annotations

from random import Random

from msgspec import Struct
from prometheus_client import CollectorRegistry, Gauge

from steersman.aio.clock import Clock
from steersman.aio.tasks import TaskGroup
from steersman.client.api import Client
from steersman.client.informer import Change, Informer
from steersman.dns.forward import Forwarder
from steersman.dns.server import DNSServer, Resolver
from steersman.dns.zone import Zone
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import ENDPOINTSLICES, NAMESPACES, SERVICES

SERVICE_NAME_LABEL = "kubernetes.io/service-name"


class DNSConfig(Struct, frozen=True, kw_only=True):
    domain: str = "cluster.local"
    bind_address: str = "127.0.0.1"
    port: int = 1053
    upstreams: tuple[tuple[str, int], ...] = ()
    """Servers for all other names; without any they are answered SERVFAIL."""


class DNS:
    """The cluster's DNS server."""

    def __init__(
        self, *, client: Client, clock: Clock, config: DNSConfig, rng: Random, registry: CollectorRegistry
    ) -> None:
        self._config = config
        self._zone = Zone(config.domain)
        self._services = Informer(client, SERVICES, clock=clock)
        self._slices = Informer(client, ENDPOINTSLICES, clock=clock, indexers={"service": _service_of})
        self._namespaces = Informer(client, NAMESPACES, clock=clock)
        forwarder = Forwarder(config.upstreams, clock=clock, rng=rng)
        self._server = DNSServer(Resolver(self._zone, forwarder, rng=rng), clock=clock)
        self._serving = False
        self._services.subscribe(self._on_service)
        self._slices.subscribe(self._on_slice)
        self._namespaces.subscribe(self._on_namespace)
        queries = Gauge("steersman_dns_queries", "Queries received", registry=registry)
        queries.set_function(lambda: self._server.queries)

    def ready(self) -> bool:
        return self._serving

    async def run(self) -> None:
        """Until cancelled. Raises ``OSError`` when the address is taken."""
        async with TaskGroup("dns") as group:
            for informer in (self._services, self._slices, self._namespaces):
                group.spawn(informer.run(), name=informer.resource.plural)
            for informer in (self._services, self._slices, self._namespaces):
                await informer.wait_synced()
            self._serving = True
            group.spawn(self._server.run(self._config.bind_address, self._config.port), name="server")
            await group.wait()

    def _on_service(self, change: Change) -> None:
        if change.new is None:
            self._zone.remove_service(change.key)
        else:
            self._zone.put_service(change.new, self._slices.by_index("service", change.key))

    def _on_slice(self, change: Change) -> None:
        for key in {key for obj in (change.old, change.new) if obj is not None for key in _service_of(obj)}:
            service = self._services.get(key)
            if service is not None:
                self._zone.put_service(service, self._slices.by_index("service", key))

    def _on_namespace(self, change: Change) -> None:
        self._zone.set_namespaces(objects.name(namespace) for namespace in self._namespaces.list())


def _service_of(obj: Object) -> list[str]:
    name = objects.labels(obj).get(SERVICE_NAME_LABEL)
    return [f"{objects.namespace(obj)}/{name}"] if name else []
