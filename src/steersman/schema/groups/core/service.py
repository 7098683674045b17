"""Service: a stable address for a set of pods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from steersman.meta.names import label_errors
from steersman.meta.objects import Object
from steersman.meta.resources import SERVICES
from steersman.schema.cells import NONE, UNKNOWN
from steersman.schema.columns import AGE, NAME, computed, format_labels, text, value_at
from steersman.schema.kind import Kind
from steersman.schema.selectable import text_at
from steersman.schema.subresources import STATUS, proxy

CLIENT_IP_AFFINITY_S = 3 * 3600


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    if not spec.get("type"):
        spec["type"] = "ClusterIP"
    _default_affinity(spec)
    for port in spec.get("ports") or ():
        if not port.get("protocol"):
            port["protocol"] = "TCP"
        if port.get("targetPort") in (None, 0, ""):
            port["targetPort"] = port.get("port")
    if is_externally_accessible(spec) and not spec.get("externalTrafficPolicy"):
        spec["externalTrafficPolicy"] = "Cluster"
    if spec["type"] in ("ClusterIP", "NodePort", "LoadBalancer") and not spec.get("internalTrafficPolicy"):
        spec["internalTrafficPolicy"] = "Cluster"
    status = obj.get("status")
    if status is None:
        status = obj["status"] = {}
    if status.get("loadBalancer") is None:
        status["loadBalancer"] = {}
    if spec["type"] == "LoadBalancer":
        if spec.get("allocateLoadBalancerNodePorts") is None:
            spec["allocateLoadBalancerNodePorts"] = True
        for entry in status["loadBalancer"].get("ingress") or ():
            if entry.get("ip") and entry.get("ipMode") is None:
                entry["ipMode"] = "VIP"


def _default_affinity(spec: Object) -> None:
    if not spec.get("sessionAffinity"):
        spec["sessionAffinity"] = "None"
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    elif spec["sessionAffinity"] == "ClientIP":
        client_ip = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
        if client_ip.get("timeoutSeconds") is None:
            spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": CLIENT_IP_AFFINITY_S}}


def is_externally_accessible(spec: Mapping[str, Any]) -> bool:
    """Traffic from outside the cluster may arrive: by node port, load balancer or external address."""
    kind = spec.get("type")
    return kind in ("NodePort", "LoadBalancer") or (kind == "ClusterIP" and bool(spec.get("externalIPs")))


def _cluster_address(obj: Object, now: float) -> str:
    addresses = value_at(obj, "spec", "clusterIPs") or ()
    return str(addresses[0]) if addresses else NONE


def _external_address(obj: Object, now: float) -> str:
    spec = obj.get("spec") or {}
    external = spec.get("externalIPs") or []
    match spec.get("type"):
        case "ClusterIP" | "NodePort":
            return ",".join(external) or NONE
        case "LoadBalancer":
            return ",".join([*load_balancer_addresses(obj), *external]) or "<pending>"
        case "ExternalName":
            return str(spec.get("externalName") or "")
        case _:
            return UNKNOWN


def load_balancer_addresses(obj: Object) -> list[str]:
    """Addresses and names under which a load balancer is reached."""
    entries = value_at(obj, "status", "loadBalancer", "ingress") or ()
    return sorted({str(entry.get("ip") or entry.get("hostname") or "") for entry in entries} - {""})


def _ports(obj: Object, now: float) -> str:
    ports = value_at(obj, "spec", "ports") or ()
    return ",".join(_port(port) for port in ports) or NONE


def _port(port: Mapping[str, Any]) -> str:
    node_port = f":{port['nodePort']}" if port.get("nodePort") else ""
    return f"{port.get('port')}{node_port}/{port.get('protocol') or 'TCP'}"


KIND = Kind(
    resource=SERVICES,
    definition="io.k8s.api.core.v1.Service",
    singular="service",
    short_names=("svc",),
    categories=("all",),
    subresources=(
        proxy("ServiceProxyOptions"),
        STATUS,
    ),
    storage_prefix="services/specs",
    returns_deleted_object=True,
    selectable_fields={"spec.clusterIP": text_at("spec", "clusterIP"), "spec.type": text_at("spec", "type")},
    name_errors=label_errors,
    allows_create_on_update=True,
    has_status=True,
    delete_returns_object=True,
    default=default,
    columns=(
        NAME,
        text("Type", "spec", "type", documented_by="io.k8s.api.core.v1.ServiceSpec/type"),
        computed("Cluster-IP", _cluster_address, documented_by="io.k8s.api.core.v1.ServiceSpec/clusterIP"),
        computed("External-IP", _external_address, documented_by="io.k8s.api.core.v1.ServiceSpec/externalIPs"),
        computed("Port(s)", _ports, documented_by="io.k8s.api.core.v1.ServiceSpec/ports"),
        AGE,
        computed(
            "Selector",
            lambda obj, now: format_labels(value_at(obj, "spec", "selector")),
            priority=1,
            documented_by="io.k8s.api.core.v1.ServiceSpec/selector",
        ),
    ),
)
