"""What a node's network must look like, computed from the Node objects alone.

Pods of all nodes form one flat network. Every node has a range (``spec.podCIDR``), a bridge with the first address of it, and a
route to every other node's range through that node's address. Traffic of pods to anything that is no pod is masqueraded,
because nobody else has routes back.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from steersman.meta import objects
from steersman.meta.objects import Object

TABLE = "steersman-network"


class Route(Struct, frozen=True, kw_only=True):
    """A pod range and the node through which it is reached."""

    destination: str
    gateway: str


class NetworkPlan(Struct, frozen=True, kw_only=True):
    """The wanted state of one node. ``own_ranges`` is empty while the node has no range yet."""

    own_ranges: tuple[str, ...] = ()
    routes: frozenset[Route] = frozenset()


def plan(own_name: str, nodes: Iterable[Object]) -> NetworkPlan:
    """The network of the node ``own_name``; for a machine that is no node (an API server's), routes only."""
    own: tuple[str, ...] = ()
    routes: set[Route] = set()
    for node in nodes:
        ranges = pod_ranges(node)
        if objects.name(node) == own_name:
            own = ranges
            continue
        for destination in ranges:
            gateway = internal_address(node, ipaddress.ip_network(destination).version)
            if gateway:
                routes.add(Route(destination=destination, gateway=gateway))
    return NetworkPlan(own_ranges=own, routes=frozenset(routes))


def pod_ranges(node: Object) -> tuple[str, ...]:
    """The node's pod ranges, the primary family first; ranges that are none are left out."""
    spec = node.get("spec") or {}
    listed = spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else [])
    return tuple(text for text in listed if _is_network(text))


def internal_address(node: Object, version: int) -> str:
    """The node's InternalIP of an IP version; empty where it has none."""
    for entry in (node.get("status") or {}).get("addresses") or ():
        if entry.get("type") == "InternalIP" and _version(entry.get("address")) == version:
            return str(entry["address"])
    return ""


def cni_configuration(*, bridge: str, ranges: Iterable[str], mtu: int, data_dir: str) -> Mapping[str, Any]:
    """The CNI network list: Debian's standard plugins ``bridge``, ``host-local`` and ``portmap``.

    ``hairpinMode`` lets a pod reach itself through a Service.
    """
    own = list(ranges)
    routes = [{"dst": "::/0" if _version(text.split("/")[0]) == 6 else "0.0.0.0/0"} for text in own]
    return {
        "cniVersion": "0.4.0",
        "name": "steersman",
        "plugins": [
            {
                "type": "bridge",
                "bridge": bridge,
                "isGateway": True,
                "ipMasq": False,
                "hairpinMode": True,
                "mtu": mtu,
                "ipam": {
                    "type": "host-local",
                    "dataDir": data_dir,
                    "ranges": [[{"subnet": text}] for text in own],
                    "routes": routes,
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True},
        ],
    }


def firewall(*, own_ranges: Iterable[str], cluster_ranges: Iterable[str]) -> str:
    """nftables rules for ``nft -f -``: masquerade what leaves the pod network, and let pods' traffic be forwarded.

    The table is replaced in one transaction.
    """
    lines = [f"add table inet {TABLE}", f"delete table inet {TABLE}", f"table inet {TABLE} {{"]
    lines += ["  chain postrouting {", "    type nat hook postrouting priority srcnat; policy accept;"]
    inside = list(cluster_ranges)
    for own in own_ranges:
        family = "ip6" if ":" in own else "ip"
        same = [text for text in inside if (":" in text) == (":" in own)] or [own]
        lines.append(f"    {family} saddr {own} {family} daddr != {{ {', '.join(same)} }} masquerade")
    lines += ["  }", "}", ""]
    return "\n".join(lines)


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True


def _version(address: object) -> int:
    try:
        return ipaddress.ip_address(str(address)).version
    except ValueError:
        return 0
