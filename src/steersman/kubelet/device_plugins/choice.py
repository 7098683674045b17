"""Which devices of a resource a container gets.

First those that init containers of its pod had. Then those near to the NUMA nodes that the topology manager chose; where
that leaves a choice the plugin is asked what it prefers. Source: the documentation's "Device Plugins" (KEP-1121 for
preferred allocations) and upstream's device manager.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from msgspec import Struct

from steersman.kubelet.device_plugins.devices import DeviceList

Prefer = Callable[[frozenset[str], frozenset[str], int], Awaitable[frozenset[str]]]
"""What the plugin would give: available ones, those that have to be among them, how many."""


class DevicesUnavailable(Exception):
    """They cannot be given; the message says which and why."""


class Wish(Struct, frozen=True, kw_only=True):
    resource: str
    count: int
    reusable: frozenset[str] = frozenset()
    """What init containers of the same pod will have finished with."""
    taken: frozenset[str] = frozenset()
    """Given to containers, of this pod too."""
    near: frozenset[int] | None = None
    """NUMA nodes; None: any."""


async def choose(wish: Wish, devices: DeviceList, prefer: Prefer) -> frozenset[str]:
    """Raises ``DevicesUnavailable`` and what ``prefer`` raises."""
    picked = _Picked(wish.count)
    if picked.take(wish.reusable):
        return picked.ids
    free = devices.healthy - wish.taken - wish.reusable
    if len(free) < picked.missing:
        raise DevicesUnavailable(
            f"requested number of devices unavailable for {wish.resource}. Requested: {picked.missing}, Available:"
            f" {len(free)}"
        )
    aligned, unaligned, anywhere = _by_affinity(wish, devices, free)
    pools: tuple[frozenset[str], ...] = (aligned,)
    if picked.missing >= len(aligned):
        if picked.take(aligned):
            return picked.ids
        aligned, pools = free - picked.ids, (unaligned, anywhere)
    preferred = await prefer(aligned | picked.ids, picked.ids, wish.count)
    for pool in (preferred & aligned, *pools):
        if picked.take(pool):
            break
    return picked.ids


def _by_affinity(
    wish: Wish, devices: DeviceList, free: frozenset[str]
) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """Near to the wished nodes, near to others, near to none."""
    if wish.near is None or not devices.is_aligned:
        return frozenset(), frozenset(), free
    near, anywhere = devices.near(free, wish.near), devices.anywhere(free)
    return near, free - near - anywhere, anywhere


class _Picked:
    """Devices, until there are as many as wanted."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.ids: frozenset[str] = frozenset()

    @property
    def missing(self) -> int:
        return self._count - len(self.ids)

    def take(self, ids: Iterable[str]) -> bool:
        """As many of ``ids`` as are missing, in the order of their names; True when none is missing any more."""
        self.ids |= frozenset(sorted(set(ids) - self.ids)[: self.missing])
        return self.missing == 0
