"""The ``kubernetes`` Service and its endpoints: how pods find the API servers.

Each API server keeps a leased entry with its address in the store; the endpoints are the addresses whose lease lives
(upstream's lease endpoint reconciler), so that a server that died leaves them.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Sequence

import msgspec

from steersman.aio.clock import Clock
from steersman.client.api import Client
from steersman.meta.errors import AlreadyExists, APIError, NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import ENDPOINTS, ENDPOINTSLICES, SERVICES, Resource
from steersman.store.api import LeaseNotFound, Put, Store, StoreUnavailable

log = logging.getLogger(__name__)

NAMESPACE = "default"
NAME = "kubernetes"
PREFIX = "/registry/masterleases/"
TTL_S = 15
INTERVAL_S = 10.0


def is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


class KubernetesService:
    """Keeps the Service, its Endpoints and its EndpointSlice."""

    def __init__(self, client: Client, store: Store, *, clock: Clock, address: str, port: int, cluster_ip: str) -> None:
        self._client = client
        self._store = store
        self._clock = clock
        self._address = address
        self._port = port
        self._cluster_ip = cluster_ip
        self._lease = 0

    async def run(self) -> None:
        """Until cancelled: renew the lease, bring the objects up to date. Failures are tried again."""
        while True:
            try:
                await self.reconcile()
            except (APIError, StoreUnavailable) as error:
                log.warning("the endpoints of the kubernetes Service could not be updated: %s", error)
            await self._clock.sleep(INTERVAL_S)

    async def reconcile(self) -> None:
        """Everything once. Raises ``APIError`` and ``StoreUnavailable``.

        A server that only this machine reaches (an embedded one) has no endpoints to offer.
        """
        await self._ensure_service()
        if is_loopback(self._address):
            return
        await self._renew()
        addresses = await self._addresses()
        await self._ensure(ENDPOINTS, self._endpoints(addresses))
        await self._ensure(ENDPOINTSLICES, self._slice(addresses))

    async def withdraw(self) -> None:
        """This server goes: take its address out. Raises ``APIError`` and ``StoreUnavailable``."""
        if not self._lease:
            return
        await self._store.revoke_lease(self._lease)
        self._lease = 0
        addresses = await self._addresses()
        if addresses:
            await self._ensure(ENDPOINTS, self._endpoints(addresses))
            await self._ensure(ENDPOINTSLICES, self._slice(addresses))

    async def _renew(self) -> None:
        if self._lease:
            try:
                await self._store.renew_lease(self._lease)
                return
            except LeaseNotFound:
                log.warning("this server's entry among the API servers has expired; making a new one")
        self._lease = await self._store.grant_lease(TTL_S)
        value = msgspec.json.encode(
            {
                "kind": "Endpoints",
                "apiVersion": "v1",
                "metadata": {"name": self._address},
                "subsets": [{"addresses": [{"ip": self._address}]}],
            }
        )
        await self._store.transact([], [Put(key=PREFIX + self._address, value=value, lease=self._lease)])

    async def _addresses(self) -> list[str]:
        found = await self._store.range(PREFIX)
        return sorted(item.key.removeprefix(PREFIX) for item in found.items)

    async def _ensure_service(self) -> None:
        try:
            await self._client.get(SERVICES, NAME, namespace=NAMESPACE)
        except NotFound:
            try:
                await self._client.create(SERVICES, self._service())
            except AlreadyExists:
                return

    async def _ensure(self, resource: Resource, wanted: Object) -> None:
        try:
            current = await self._client.get(resource, NAME, namespace=NAMESPACE)
        except NotFound:
            try:
                await self._client.create(resource, wanted)
            except AlreadyExists:
                return
            return
        content = {key: value for key, value in wanted.items() if key not in ("metadata", "kind", "apiVersion")}
        if all(current.get(key) == value for key, value in content.items()):
            return
        await self._client.update(resource, {**current, **content})

    def _service(self) -> Object:
        return {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "name": NAME,
                "namespace": NAMESPACE,
                "labels": {"provider": "kubernetes", "component": "apiserver"},
            },
            "spec": {
                "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": self._port}],
                "clusterIP": self._cluster_ip,
                "type": "ClusterIP",
                "sessionAffinity": "None",
            },
        }

    def _endpoints(self, addresses: Sequence[str]) -> Object:
        return {
            "apiVersion": "v1",
            "kind": "Endpoints",
            "metadata": {
                "name": NAME,
                "namespace": NAMESPACE,
                "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"},
            },
            "subsets": [
                {
                    "addresses": [{"ip": address} for address in addresses],
                    "ports": [{"name": "https", "port": self._port, "protocol": "TCP"}],
                }
            ],
        }

    def _slice(self, addresses: Sequence[str]) -> Object:
        return {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": NAME,
                "namespace": NAMESPACE,
                "labels": {"kubernetes.io/service-name": NAME},
            },
            "addressType": "IPv6" if ":" in self._address else "IPv4",
            "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address in addresses],
            "ports": [{"name": "https", "port": self._port, "protocol": "TCP"}],
        }
