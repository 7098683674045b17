"""Service: a stable address for a set of pods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from steersman.meta.addresses import cidr_errors, cidr_warnings, endpoint_ip_errors, ip_errors, ip_warnings
from steersman.meta.errors import FieldError, forbidden, invalid, required
from steersman.meta.names import label_errors, label_key_errors, subdomain_errors
from steersman.meta.objects import Object
from steersman.meta.objects import annotations as annotations_of
from steersman.meta.resources import SERVICES
from steersman.schema.cells import NONE, UNKNOWN
from steersman.schema.columns import AGE, NAME, computed, format_labels, text, value_at
from steersman.schema.groups.core.ingresspoints import check_ingress_point, ingress_point_warnings
from steersman.schema.groups.core.serviceaddresses import address_update_errors, check_addresses, is_headless
from steersman.schema.groups.core.serviceports import check_ports
from steersman.schema.kind import Kind
from steersman.schema.rules import check_choice, check_labels, check_name, check_optional_choice, check_port
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
    if spec["type"] in ("ClusterIP", "NodePort", "LoadBalancer") and spec.get("internalTrafficPolicy") is None:
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


TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
AFFINITIES = ("ClientIP", "None")
TRAFFIC_POLICIES = ("Cluster", "Local")
_DISTRIBUTIONS = ("PreferClose", "PreferSameZone", "PreferSameNode")
_LONGEST_AFFINITY_S = 86400
_OLD_HINTS = "service.kubernetes.io/topology-aware-hints"
_TOPOLOGY_MODE = "service.kubernetes.io/topology-mode"
_SOURCE_RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"
_ONLY_LOAD_BALANCERS = "may only be used when `type` is 'LoadBalancer'"


def prepare_create(obj: Object) -> None:
    obj["status"] = {"loadBalancer": {}}


def prepare_update(new: Object, old: Object) -> None:
    """A change of type drops what only the old type had, unless the client asks for something else there."""
    spec, before = new["spec"], old.get("spec") or {}
    kept = {name: spec.get(name) == before.get(name) for name in _TYPE_FIELDS}
    dropped: list[str] = []
    if _needs_address(before) and not _needs_address(spec):
        if kept["clusterIPs"] and kept["clusterIP"]:
            dropped += ["clusterIP", "clusterIPs"]
        dropped += [name for name in ("ipFamilies", "ipFamilyPolicy") if kept[name]]
    if before.get("type") == "LoadBalancer" and spec.get("type") != "LoadBalancer":
        dropped += [name for name in ("allocateLoadBalancerNodePorts", "loadBalancerClass") if kept[name]]
    if needs_health_check(before) and not needs_health_check(spec) and kept["healthCheckNodePort"]:
        dropped.append("healthCheckNodePort")
    if is_externally_accessible(before) and not is_externally_accessible(spec) and kept["externalTrafficPolicy"]:
        dropped.append("externalTrafficPolicy")
    if spec.get("type") == "ExternalName":
        dropped.append("internalTrafficPolicy")
    for name in dropped:
        spec.pop(name, None)
    if _needs_node_port(before) and not _needs_node_port(spec) and _node_ports(spec) == _node_ports(before):
        spec["ports"] = [
            {name: value for name, value in port.items() if name != "nodePort"} for port in spec.get("ports") or ()
        ]
    if spec.get("type") != "LoadBalancer" and value_at(new, "status", "loadBalancer"):
        new["status"] = {**new["status"], "loadBalancer": {}}


_TYPE_FIELDS = (
    "clusterIP",
    "clusterIPs",
    "ipFamilies",
    "ipFamilyPolicy",
    "allocateLoadBalancerNodePorts",
    "loadBalancerClass",
    "healthCheckNodePort",
    "externalTrafficPolicy",
)


def _needs_address(spec: Mapping[str, Any]) -> bool:
    return spec.get("type") in ("ClusterIP", "NodePort", "LoadBalancer")


def _needs_node_port(spec: Mapping[str, Any]) -> bool:
    if spec.get("type") == "LoadBalancer":
        return spec.get("allocateLoadBalancerNodePorts") is not False
    return spec.get("type") == "NodePort"


def _node_ports(spec: Mapping[str, Any]) -> set[Any]:
    return {port.get("nodePort") for port in spec.get("ports") or ()} - {None, 0}


def needs_health_check(spec: Mapping[str, Any]) -> bool:
    """The node answers whether it has endpoints of its own."""
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def validate(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    spec = obj.get("spec") or {}
    _check_type(errors, spec)
    check_ports(errors, spec)
    if spec.get("selector"):
        check_labels(errors, spec["selector"], "spec.selector")
    check_choice(errors, spec.get("sessionAffinity"), "spec.sessionAffinity", AFFINITIES)
    _check_affinity(errors, spec)
    check_addresses(errors, spec)
    for index, address in enumerate(spec.get("externalIPs") or ()):
        wrong = ip_errors(address) or endpoint_ip_errors(address)
        errors.extend(invalid(f"spec.externalIPs[{index}]", address, text) for text in wrong)
    _check_load_balancer(errors, obj, spec)
    _check_traffic(errors, spec)
    return errors


def _check_type(errors: list[FieldError], spec: Mapping[str, Any]) -> None:
    kind = spec.get("type")
    check_choice(errors, kind, "spec.type", TYPES)
    if kind in ("LoadBalancer", "NodePort") and is_headless(spec):
        errors.append(invalid("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {kind} services"))
    if kind != "ExternalName":
        return
    errors.extend(
        forbidden(f"spec.{name}", "may not be set for ExternalName services")
        for name in ("clusterIPs", "ipFamilies", "ipFamilyPolicy")
        if spec.get(name)
    )
    name = (spec.get("externalName") or "").removesuffix(".")
    if name:
        check_name(errors, name, "spec.externalName", subdomain_errors)
    else:
        errors.append(required("spec.externalName"))


def _check_affinity(errors: list[FieldError], spec: Mapping[str, Any]) -> None:
    config, path = spec.get("sessionAffinityConfig"), "spec.sessionAffinityConfig"
    if spec.get("sessionAffinity") == "ClientIP":
        detail = "when session affinity type is ClientIP"
        seconds = value_at(config or {}, "clientIP", "timeoutSeconds")
        if config is None:
            errors.append(required(path, detail))
        elif config.get("clientIP") is None:
            errors.append(required(f"{path}.clientIP", detail))
        elif seconds is None:
            errors.append(required(f"{path}.clientIP.timeoutSeconds", detail))
        elif not 0 < seconds <= _LONGEST_AFFINITY_S:
            detail = f"must be greater than 0 and less than {_LONGEST_AFFINITY_S}"
            errors.append(invalid(f"{path}.clientIP.timeoutSeconds", seconds, detail))
    elif spec.get("sessionAffinity") == "None" and config is not None:
        errors.append(forbidden(path, "must not be set when session affinity is None"))


def _check_load_balancer(errors: list[FieldError], obj: Object, spec: Mapping[str, Any]) -> None:
    is_balanced = spec.get("type") == "LoadBalancer"
    ranges, noted = spec.get("loadBalancerSourceRanges") or (), annotations_of(obj).get(_SOURCE_RANGES)
    if ranges:
        path = "spec.LoadBalancerSourceRanges"
        if not is_balanced:
            errors.append(forbidden(path, _ONLY_LOAD_BALANCERS))
        for index, text in enumerate(ranges):
            check_name(errors, text.strip(), f"{path}[{index}]", cidr_errors)
    elif noted is not None:
        path = f"metadata.annotations[{_SOURCE_RANGES}]"
        if not is_balanced:
            errors.append(forbidden(path, _ONLY_LOAD_BALANCERS))
        for text in noted.split(",") if noted.strip() else ():
            check_name(errors, text.strip(), path, cidr_errors)
    if not is_balanced and spec.get("allocateLoadBalancerNodePorts") is not None:
        errors.append(forbidden("spec.allocateLoadBalancerNodePorts", _ONLY_LOAD_BALANCERS))
    if is_balanced and spec.get("allocateLoadBalancerNodePorts") is None:
        errors.append(required("allocateLoadBalancerNodePorts"))
    name = spec.get("loadBalancerClass")
    if name is not None and is_balanced:
        check_name(errors, name, "spec.loadBalancerClass", label_key_errors)
    elif name is not None:
        errors.append(forbidden("spec.loadBalancerClass", _ONLY_LOAD_BALANCERS))


def _check_traffic(errors: list[FieldError], spec: Mapping[str, Any]) -> None:
    external, path = spec.get("externalTrafficPolicy"), "spec.externalTrafficPolicy"
    if is_externally_accessible(spec):
        check_choice(errors, external, path, TRAFFIC_POLICIES)
    elif external:
        errors.append(invalid(path, external, "may only be set for externally-accessible services"))
    port, path = spec.get("healthCheckNodePort"), "spec.healthCheckNodePort"
    if not needs_health_check(spec):
        if port:
            detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
            errors.append(invalid(path, port, detail))
    elif not port:
        errors.append(required(path))
    else:
        check_port(errors, port, path)
    internal = spec.get("internalTrafficPolicy")
    if internal is None and _needs_address(spec):
        errors.append(required("spec.internalTrafficPolicy"))
    check_optional_choice(errors, internal, "spec.internalTrafficPolicy", TRAFFIC_POLICIES)
    check_optional_choice(errors, spec.get("trafficDistribution"), "spec.trafficDistribution", _DISTRIBUTIONS)


def validate_update(new: Object, old: Object) -> list[FieldError]:
    errors = address_update_errors(new, old)
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    if spec.get("type") == before.get("type") == "LoadBalancer":
        name = spec.get("loadBalancerClass")
        if name != before.get("loadBalancerClass"):
            errors.append(invalid("spec.loadBalancerClass", name, "may not change once set"))
    is_same_port = spec.get("healthCheckNodePort") == before.get("healthCheckNodePort")
    if needs_health_check(before) and needs_health_check(spec) and not is_same_port:
        errors.append(forbidden("spec.healthCheckNodePort", "field is immutable"))
    return errors


def validate_status_update(new: Object, old: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    entries, path = value_at(new, "status", "loadBalancer", "ingress") or (), "status.loadBalancer.ingress"
    if entries and value_at(new, "spec", "type") != "LoadBalancer":
        return [forbidden(path, "may only be used when `spec.type` is 'LoadBalancer'")]
    for index, entry in enumerate(entries):
        at, mode = f"{path}[{index}]", entry.get("ipMode")
        check_ingress_point(errors, entry, at)
        if entry.get("ip") and mode is None:
            errors.append(required(f"{at}.ipMode", "must be specified when `ip` is set"))
        elif mode is not None and not entry.get("ip"):
            errors.append(forbidden(f"{at}.ipMode", "may not be specified when `ip` is not set"))
        else:
            check_optional_choice(errors, mode, f"{at}.ipMode", ("Proxy", "VIP"))
    return errors


def warnings(obj: Object) -> list[str]:
    found: list[str] = []
    spec, is_named = obj.get("spec") or {}, value_at(obj, "spec", "type") == "ExternalName"
    external, balanced = spec.get("externalIPs") or (), spec.get("loadBalancerIP") or ""
    if _OLD_HINTS in annotations_of(obj):
        found.append(f"annotation {_OLD_HINTS} is deprecated, please use {_TOPOLOGY_MODE} instead")
    headless = is_headless(spec) and spec.get("type") == "ClusterIP"
    if not headless:
        for index, address in enumerate(spec.get("clusterIPs") or ()):
            found += ip_warnings(f"spec.clusterIPs[{index}]", address)
    else:
        if balanced:
            found.append("spec.loadBalancerIP is ignored for headless services")
        if external:
            found.append("spec.externalIPs is ignored for headless services")
        if spec.get("sessionAffinity") not in (None, "None"):
            found.append("spec.SessionAffinity is ignored for headless services")
    for index, address in enumerate(external):
        found += ip_warnings(f"spec.externalIPs[{index}]", address)
    if external and not headless and not is_named:
        found.append("spec.externalIPs is deprecated and may no longer be implemented in some clusters")
    found += ip_warnings("spec.loadBalancerIP", balanced)
    for index, cidr in enumerate(spec.get("loadBalancerSourceRanges") or ()):
        found += cidr_warnings(f"spec.loadBalancerSourceRanges[{index}]", cidr)
    if is_named and external:
        found.append('spec.externalIPs is ignored when spec.type is "ExternalName"')
    if not is_named and spec.get("externalName"):
        found.append('spec.externalName is ignored when spec.type is not "ExternalName"')
    if spec.get("trafficDistribution") == "PreferClose":
        found.append('spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"')
    return found


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
    prepare_create=prepare_create,
    prepare_update=prepare_update,
    validate=validate,
    validate_update=validate_update,
    validate_status_update=validate_status_update,
    warnings=warnings,
    status_warnings=ingress_point_warnings,
)
