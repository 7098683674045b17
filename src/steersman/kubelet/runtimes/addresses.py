"""Pod addresses of a simulated node."""

from __future__ import annotations

import ipaddress

from steersman.kubelet.runtimes.api import RuntimeServiceError


class PodAddresses:
    """Pod addresses of one node, the lowest free one first."""

    def __init__(self, cidr: str) -> None:
        self._taken: dict[str, int] = {}
        self._free: list[int] = []
        self.use(cidr)

    def use(self, cidr: str) -> None:
        network = ipaddress.ip_network(cidr)
        self._base, self._size = network.network_address, network.num_addresses
        self._next = 2

    def take(self, owner: str) -> str:
        offset = self._free.pop() if self._free else self._next
        if offset == self._next:
            self._next += 1
        if offset >= self._size:
            raise RuntimeServiceError("no addresses are left in the pod network")
        self._taken[owner] = offset
        return str(self._base + offset)

    def give_back(self, owner: str) -> None:
        offset = self._taken.pop(owner, None)
        if offset is not None:
            self._free.append(offset)
