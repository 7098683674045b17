"""Services and EndpointSlices as the API server would hand them to the proxy."""

from __future__ import annotations

from typing import Any

from steersman.meta.objects import Object
from steersman.proxy.rules import Endpoint, Frontend, NodeView

HERE = NodeView(name="here", zone="a")
CLUSTER_IP = "10.96.0.9"


def service(*, ports: list[Object] | None = None, labels: dict[str, str] | None = None, **spec: Any) -> Object:
    status = spec.pop("status", {})
    return {
        "metadata": {"name": "web", "namespace": "default", "labels": labels or {}},
        "spec": {
            "type": "ClusterIP",
            "clusterIP": CLUSTER_IP,
            "clusterIPs": [CLUSTER_IP],
            "ipFamilies": ["IPv4"],
            "ports": ports or [{"name": "http", "port": 80, "protocol": "TCP"}],
            **spec,
        },
        "status": status,
    }


def endpoint(address: str, node: str = "here", **rest: Any) -> Object:
    """``ready``, ``serving`` and ``terminating`` become conditions, ``zones`` and ``nodes`` hints."""
    conditions = {key: rest[key] for key in ("ready", "serving", "terminating") if key in rest}
    hints: Object = {}
    if "zones" in rest:
        hints["forZones"] = [{"name": zone} for zone in rest["zones"]]
    if "nodes" in rest:
        hints["forNodes"] = [{"name": name} for name in rest["nodes"]]
    return {"addresses": [address], "nodeName": node, "conditions": conditions, "hints": hints}


def endpoint_slice(*endpoints: Object, ports: list[Object] | None = None, family: str = "IPv4") -> Object:
    return {
        "addressType": family,
        "ports": ports or [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [*endpoints],
    }


def at(address: str = CLUSTER_IP, port: int = 80, protocol: Any = "tcp", version: Any = 4) -> Frontend:
    return Frontend(version=version, address=address, protocol=protocol, port=port)


def to(*addresses: str, port: int = 8080) -> tuple[Endpoint, ...]:
    return tuple(Endpoint(address, port) for address in addresses)
