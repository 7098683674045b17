"""Handing out equal blocks of an address range: the n-th block is free or taken, the next free one is found from a cursor."""

from __future__ import annotations

import ipaddress

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
MOST_BITS = 16
"""At most 2^16 blocks of one range are told apart, as upstream has it."""


class CIDRExhausted(Exception):
    """No block of the range is free."""


class CIDRPool:
    """One cluster CIDR, cut into node CIDRs of one size."""

    def __init__(self, cluster: str, node_mask: int) -> None:
        self.cluster: Network = ipaddress.ip_network(cluster)
        if node_mask < self.cluster.prefixlen:
            raise ValueError(f"node CIDR mask /{node_mask} is larger than the cluster CIDR {cluster}")
        if node_mask - self.cluster.prefixlen > MOST_BITS:
            raise ValueError(f"node CIDR mask /{node_mask} is too small for the cluster CIDR {cluster}")
        self._mask = node_mask
        self._count = 1 << (node_mask - self.cluster.prefixlen)
        self._block = 1 << (self.cluster.max_prefixlen - node_mask)
        self._taken: set[int] = set()
        self._cursor = 0

    def allocate(self) -> str:
        """The next free block. Raises ``CIDRExhausted``."""
        for offset in range(self._count):
            index = (self._cursor + offset) % self._count
            if index not in self._taken:
                self._taken.add(index)
                self._cursor = index + 1
                return self._at(index)
        raise CIDRExhausted(f"{self.cluster} is used up")

    def occupy(self, cidr: str) -> bool:
        """Mark what ``cidr`` covers as taken. False where it lies outside."""
        indexes = self._indexes(cidr)
        self._taken.update(indexes)
        return bool(indexes)

    def release(self, cidr: str) -> None:
        self._taken.difference_update(self._indexes(cidr))

    def _at(self, index: int) -> str:
        return f"{self.cluster.network_address + index * self._block}/{self._mask}"

    def _indexes(self, cidr: str) -> range:
        network = ipaddress.ip_network(cidr, strict=False)
        if network.version != self.cluster.version or not network.overlaps(self.cluster):
            return range(0)
        base = int(self.cluster.network_address)
        first = max(int(network.network_address) - base, 0) // self._block
        last = min(int(network.broadcast_address) - base, self._block * self._count - 1) // self._block
        return range(first, last + 1)
