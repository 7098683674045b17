"""The devices of one resource, as its plugin last told of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct, field

from steersman.meta.names import label_key_errors

HEALTHY: Final = "Healthy"
NO_NODE: Final = -1
"""Stands for a NUMA node where a device is near none."""


class Device(Struct, frozen=True, kw_only=True):
    id: str
    health: str = HEALTHY
    """As the plugin says it: all but ``Healthy`` is unhealthy."""
    nodes: tuple[int, ...] = ()
    """NUMA nodes that it is near to; none: it does not matter."""

    @property
    def is_healthy(self) -> bool:
        return self.health == HEALTHY


class DeviceList(Struct, frozen=True, kw_only=True):
    """Of one resource. Without a plugin that answers for them none of them can be given."""

    known: Mapping[str, Device] = field(default_factory=dict)
    """By id, also those of a plugin that is gone."""
    is_served: bool = False

    @property
    def healthy(self) -> frozenset[str]:
        if not self.is_served:
            return frozenset()
        return frozenset(device.id for device in self.known.values() if device.is_healthy)

    @property
    def is_aligned(self) -> bool:
        """Some of them are near to NUMA nodes."""
        return any(device.nodes for device in self.known.values())

    def near(self, ids: frozenset[str], nodes: frozenset[int]) -> frozenset[str]:
        """Those of ``ids`` that are near to one of ``nodes``."""
        return frozenset(one for one in ids if one in self.known and not nodes.isdisjoint(self.known[one].nodes))

    def anywhere(self, ids: frozenset[str]) -> frozenset[str]:
        """Those of ``ids`` that are near to no node."""
        return frozenset(one for one in ids if one not in self.known or not self.known[one].nodes)

    def by_node(self, ids: frozenset[str]) -> dict[int, list[str]]:
        """A device that is near to several nodes is there several times."""
        found: dict[int, list[str]] = {}
        for one in sorted(ids):
            for node in (self.known[one].nodes if one in self.known else ()) or (NO_NODE,):
                found.setdefault(node, []).append(one)
        return found


def is_extended_resource(name: str) -> bool:
    """It has a domain, which is not Kubernetes' own."""
    if "/" not in name or "kubernetes.io/" in name or name.startswith("requests."):
        return False
    return not label_key_errors(f"requests.{name}")
