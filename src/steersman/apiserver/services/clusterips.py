"""Cluster IPs: each is an IPAddress object named by it, so that no two API servers can give it out twice (KEP-1880)."""

from __future__ import annotations

import random
from collections.abc import Sequence

from steersman.aio.clock import Clock
from steersman.apiserver.admission.api import Reader
from steersman.apiserver.api import ServedKinds
from steersman.apiserver.objectmeta import new_uid
from steersman.apiserver.services.counting import AllocationCounts
from steersman.apiserver.services.networks import Family, ServiceNetwork, family_of, parse_address
from steersman.meta import times
from steersman.meta.objects import Object
from steersman.meta.resources import IPADDRESSES, SERVICECIDRS
from steersman.store.objects import KeyExists, Modified, ObjectStore


class AllocationError(Exception):
    """The address cannot be given out; the message says why, in upstream's words."""


class RangeFull(AllocationError):
    def __init__(self) -> None:
        super().__init__("range is full")


class ClusterIPs:
    """Gives out the addresses of all ServiceCIDR objects; the configured ones where there is none yet."""

    def __init__(
        self,
        objects: ObjectStore,
        kinds: ServedKinds,
        reader: Reader,
        *,
        cidrs: Sequence[str],
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._objects = objects
        self._addresses = kinds.of(IPADDRESSES)
        self._reader = reader
        self._configured = [ServiceNetwork.parse(cidr) for cidr in cidrs]
        self._clock = clock
        self._rng = rng
        self.counts = AllocationCounts()
        """By network and whether the user has chosen."""

    @property
    def families(self) -> Sequence[Family]:
        """Of the configured networks, the default one first."""
        return [network.family for network in self._configured]

    def networks(self, family: Family) -> list[ServiceNetwork]:
        """The networks that addresses of ``family`` are taken from now."""
        found = [
            ServiceNetwork.parse(cidr)
            for obj in self._reader.list(SERVICECIDRS)
            if not obj["metadata"].get("deletionTimestamp")
            for cidr in (obj.get("spec") or {}).get("cidrs") or ()
        ]
        return [network for network in found or self._configured if network.family == family]

    async def allocate(self, address: str, *, namespace: str, name: str, dry_run: bool) -> str:
        """Take the very ``address`` for a Service. Raises ``AllocationError``."""
        networks = self.networks(family_of(address))
        network = next((network for network in networks if network.contains(address)), None)
        if network is None:
            self.counts.failed(str(networks[0].network) if networks else "", "static")
            listed = ", ".join(str(network.network) for network in networks)
            raise AllocationError(
                f"the provided IP ({address}) is not in the valid range. The range of valid IPs is {listed}"
            )
        canonical = str(parse_address(address))
        if not await self._take(canonical, namespace, name, dry_run):
            self.counts.failed(str(network.network), "static")
            raise AllocationError("provided IP is already allocated")
        self.counts.succeeded(str(network.network), "static", dry_run=dry_run)
        return address

    async def allocate_next(self, family: Family, *, namespace: str, name: str, dry_run: bool) -> str:
        """Take any address. Raises ``RangeFull``."""
        for network in self.networks(family):
            for address in network.candidates(self._rng):
                if self._objects.cached(self._key(address)) is not None:
                    continue
                if await self._take(address, namespace, name, dry_run):
                    self.counts.succeeded(str(network.network), "dynamic", dry_run=dry_run)
                    return address
            self.counts.failed(str(network.network), "dynamic")
        raise RangeFull

    def usage(self) -> dict[str, tuple[int, int]]:
        """Network -> addresses that are taken, addresses that are free."""
        listed = self._objects.cached_list(self._addresses.prefix).items
        taken = [stored.obj["metadata"]["name"] for stored in listed]
        found: dict[str, tuple[int, int]] = {}
        for network in (*self.networks("IPv4"), *self.networks("IPv6")):
            used = sum(network.contains(address) for address in taken)
            found[str(network.network)] = (used, network.size - used)
        return found

    async def release(self, address: str) -> None:
        """Give the address back; nothing happens where it was not taken."""
        try:
            await self._objects.delete(self._key(str(parse_address(address))))
        except Modified:
            return

    async def _take(self, address: str, namespace: str, name: str, dry_run: bool) -> bool:
        key = self._key(address)
        if dry_run:
            return self._objects.cached(key) is None
        try:
            await self._objects.create(key, self._object(address, namespace, name))
        except KeyExists:
            return False
        return True

    def _key(self, address: str) -> str:
        return self._addresses.key("", address)

    def _object(self, address: str, namespace: str, name: str) -> Object:
        return {
            "kind": "IPAddress",
            "apiVersion": "networking.k8s.io/v1",
            "metadata": {
                "name": address,
                "uid": new_uid(self._rng),
                "creationTimestamp": times.format_time(self._clock.now()),
                "labels": {
                    "ipaddress.kubernetes.io/ip-family": family_of(address),
                    "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
                },
            },
            "spec": {"parentRef": {"resource": "services", "namespace": namespace, "name": name}},
        }
