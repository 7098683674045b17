"""What a node's components leave in the kernel on purpose when they stop (so that a restart interrupts nothing), and how it goes.

The nodes with a network namespace of their own take everything with them; only the machine itself has to be cleaned.
"""

from __future__ import annotations

import json

from steersman.cluster.configuration import ClusterConfig
from steersman.cluster.machines import link_exists, run

ROUTE_PROTOCOL = "248"
TABLES = (("inet", "steersman-network"), ("ip", "steersman-proxy"), ("ip6", "steersman-proxy"))
POD_BRIDGE = "steersman-pods"


def remove(config: ClusterConfig) -> None:
    """Remove tables, routes and the pods' bridge from this machine's own network; what is absent stays absent."""
    script = "".join(f"add table {family} {name}\ndelete table {family} {name}\n" for family, name in TABLES)
    run("nft", "-f", "-", stdin=script)
    for route in json.loads(run("ip", "-json", "route", "show", "proto", ROUTE_PROTOCOL) or "[]"):
        run("ip", "route", "del", route["dst"], "via", route["gateway"], "proto", ROUTE_PROTOCOL)
    if link_exists(POD_BRIDGE):
        run("ip", "link", "delete", POD_BRIDGE)
