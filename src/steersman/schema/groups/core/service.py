"""Service: a stable address for a set of pods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from steersman.meta.names import label_errors
from steersman.meta.objects import Object
from steersman.meta.resources import SERVICES
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
    selectable_fields={"spec.clusterIP": text_at("spec", "clusterIP"), "spec.type": text_at("spec", "type")},
    name_errors=label_errors,
    allows_create_on_update=True,
    has_status=True,
    delete_returns_object=True,
    default=default,
)
