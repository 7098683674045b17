"""Service networks: which addresses may be given out, and in which order they are tried. Pure."""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Iterator, Sequence
from typing import Literal

from msgspec import Struct

Family = Literal["IPv4", "IPv6"]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_MIN_STATIC, _MAX_STATIC = 16, 256
_IPV6_LIMIT = 2**20
"""Addresses used of a large IPv6 network."""


class ServiceNetwork(Struct, frozen=True, kw_only=True):
    """One range of addresses: all but the first, and in IPv4 but the last.

    The lower end is kept for addresses that users choose, as long as there are others (KEP-3070).
    """

    network: Network

    @classmethod
    def parse(cls, text: str) -> ServiceNetwork:
        """Raises ``ValueError``."""
        return cls(network=ipaddress.ip_network(text, strict=False))

    @property
    def family(self) -> Family:
        return "IPv4" if self.network.version == 4 else "IPv6"

    @property
    def size(self) -> int:
        addresses = self.network.num_addresses
        return max(min(addresses - 2, _IPV6_LIMIT) if self.family == "IPv4" else min(addresses - 1, _IPV6_LIMIT), 0)

    def contains(self, address: str) -> bool:
        """May be given out."""
        parsed = parse_address(address)
        if parsed is None or parsed not in self.network or parsed == self.network.network_address:
            return False
        return self.family == "IPv6" or parsed != self.network.broadcast_address

    def address(self, offset: int) -> str:
        """The address at ``offset`` from 0 to ``size - 1``."""
        return str(self.network.network_address + offset + 1)

    def candidates(self, rng: random.Random) -> Iterator[str]:
        """Every address once: those of the upper band from a random one on, then those of the lower band."""
        static = min(max(_MIN_STATIC, self.size // 16), _MAX_STATIC) if self.size > _MIN_STATIC else 0
        for low, high in ((static, self.size), (0, static)):
            width = high - low
            if width <= 0:
                continue
            start = rng.randrange(width)
            for step in range(width):
                yield self.address(low + (start + step) % width)


def parse_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def family_of(address: str) -> Family:
    return "IPv6" if ":" in address else "IPv4"


def first_address(cidrs: Sequence[str]) -> str:
    """The address of the ``kubernetes`` Service: the first of the first network."""
    return ServiceNetwork.parse(cidrs[0]).address(0)
