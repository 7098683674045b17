"""From Services and EndpointSlices to one table: which address and port is answered by which endpoints, and how.

Pure: a Service, its slices and what is known of this node go in, frontends with their targets come out. Backends apply the
table. Sources: "Virtual IPs and Service Proxies" in the Kubernetes documentation; KEP-1669 (terminating endpoints),
KEP-2433 (topology hints), KEP-2086 (internalTrafficPolicy).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from steersman.meta import objects
from steersman.meta.objects import Object

Protocol = Literal["tcp", "udp", "sctp"]
Masquerade = Literal["never", "outside", "always"]
"""Whose source address is replaced: nobody's, that of clients outside the pod network, everybody's."""
Refusal = Literal["", "reject", "drop"]

PROXY_NAME_LABEL = "service.kubernetes.io/service-proxy-name"
HEADLESS_LABEL = "service.kubernetes.io/headless"
SERVICE_NAME_LABEL = "kubernetes.io/service-name"
ZONE_LABEL = "topology.kubernetes.io/zone"
_PROTOCOLS: Mapping[str, Protocol] = {"TCP": "tcp", "UDP": "udp", "SCTP": "sctp"}
DEFAULT_AFFINITY_S = 10800


class Frontend(Struct, frozen=True, kw_only=True):
    """Where clients connect. An empty address is every address of this node: a node port."""

    version: Literal[4, 6]
    address: str
    protocol: Protocol
    port: int


class Endpoint(Struct, frozen=True, order=True):
    """Who answers."""

    address: str
    port: int


class Target(Struct, frozen=True, kw_only=True):
    """How a frontend's connections are treated. Without endpoints they are refused as ``refusal`` says."""

    endpoints: tuple[Endpoint, ...] = ()
    masquerade: Masquerade = "outside"
    affinity_s: int = 0
    """Connections of one client go to one endpoint until it was away this long; 0: each is placed anew."""
    refusal: Refusal = "reject"
    source_ranges: tuple[str, ...] = ()
    """Clients outside of these ranges are dropped; empty: anyone may connect."""


class NodeView(Struct, frozen=True, kw_only=True):
    """What the rules need to know of the node they are for."""

    name: str
    zone: str = ""


Rules = dict[Frontend, Target]


class _Candidate(Struct, frozen=True, kw_only=True):
    endpoint: Endpoint
    node: str
    zones: frozenset[str]
    nodes: frozenset[str]
    ready: bool
    serving: bool
    terminating: bool


def service_rules(service: Object, slices: Iterable[Object], node: NodeView) -> Rules:
    """The frontends of one Service on this node; none for headless and external-name Services and those of other proxies."""
    spec = service.get("spec") or {}
    if not is_proxied(service):
        return {}
    listed = [*slices]
    rules: Rules = {}
    for port in spec.get("ports") or ():
        protocol = _PROTOCOLS.get(port.get("protocol") or "TCP")
        if protocol is None:
            continue
        for version in _versions(spec):
            candidates = _candidates(listed, port, version)
            _add_port(rules, spec, port, protocol, version, candidates, node, service)
    return rules


def is_proxied(service: Object) -> bool:
    """This proxy serves ``service``: it has a cluster IP and is not left to another implementation."""
    spec = service.get("spec") or {}
    if spec.get("type") == "ExternalName" or spec.get("clusterIP") in (None, "", "None"):
        return False
    labels = objects.labels(service)
    return PROXY_NAME_LABEL not in labels and HEADLESS_LABEL not in labels


def _add_port(
    rules: Rules,
    spec: Mapping[str, Any],
    port: Mapping[str, Any],
    protocol: Protocol,
    version: Literal[4, 6],
    candidates: Sequence[_Candidate],
    node: NodeView,
    service: Object,
) -> None:
    number = int(port["port"])
    affinity_s = _affinity_s(spec)

    def frontend(address: str, at: int = number) -> Frontend:
        return Frontend(version=version, address=address, protocol=protocol, port=at)

    cluster = _cluster_endpoints(candidates, node)
    local = _local_endpoints(candidates, node)
    inside_local = spec.get("internalTrafficPolicy") == "Local"
    inside = Target(
        endpoints=local if inside_local else cluster,
        affinity_s=affinity_s,
        refusal="drop" if inside_local and cluster and not local else "reject",
    )
    for address in _of_version(spec.get("clusterIPs") or [spec["clusterIP"]], version):
        rules[frontend(address)] = inside
    outside_local = spec.get("externalTrafficPolicy") == "Local"
    outside = Target(
        endpoints=local if outside_local else cluster,
        masquerade="never" if outside_local else "always",
        affinity_s=affinity_s,
        refusal="drop" if outside_local and cluster and not local else "reject",
    )
    for address in _of_version(spec.get("externalIPs") or (), version):
        rules[frontend(address)] = outside
    ranges = _source_ranges(spec.get("loadBalancerSourceRanges") or (), version)
    for address in _balancer_addresses(service, version):
        rules[frontend(address)] = Target(
            endpoints=outside.endpoints,
            masquerade=outside.masquerade,
            affinity_s=affinity_s,
            refusal=outside.refusal,
            source_ranges=ranges,
        )
    if port.get("nodePort"):
        rules[frontend("", int(port["nodePort"]))] = outside


def _candidates(slices: Sequence[Object], port: Mapping[str, Any], version: Literal[4, 6]) -> list[_Candidate]:
    wanted = (port.get("name") or "", port.get("protocol") or "TCP")
    address_type = "IPv6" if version == 6 else "IPv4"
    found: dict[Endpoint, _Candidate] = {}
    for entry in slices:
        if entry.get("addressType") != address_type:
            continue
        number = _slice_port(entry, wanted)
        if number is None:
            continue
        for endpoint in entry.get("endpoints") or ():
            candidate = _candidate(endpoint, number)
            if candidate is not None and (candidate.endpoint not in found or candidate.ready):
                found[candidate.endpoint] = candidate
    return [found[endpoint] for endpoint in sorted(found)]


def _slice_port(entry: Object, wanted: tuple[str, str]) -> int | None:
    for listed in entry.get("ports") or ():
        if (listed.get("name") or "", listed.get("protocol") or "TCP") == wanted and listed.get("port"):
            return int(listed["port"])
    return None


def _candidate(endpoint: Mapping[str, Any], port: int) -> _Candidate | None:
    addresses = endpoint.get("addresses") or ()
    address = _canonical(addresses[0]) if addresses else ""
    if not address:
        return None
    conditions = endpoint.get("conditions") or {}
    ready = conditions.get("ready") is not False
    hints = endpoint.get("hints") or {}
    return _Candidate(
        endpoint=Endpoint(address, port),
        node=endpoint.get("nodeName") or "",
        zones=frozenset(entry.get("name", "") for entry in hints.get("forZones") or ()),
        nodes=frozenset(entry.get("name", "") for entry in hints.get("forNodes") or ()),
        ready=ready,
        serving=ready if conditions.get("serving") is None else bool(conditions["serving"]),
        terminating=bool(conditions.get("terminating")),
    )


def _usable(candidates: Iterable[_Candidate]) -> list[_Candidate]:
    """The ready ones; where there is none, those that still serve while they terminate."""
    listed = [*candidates]
    ready = [entry for entry in listed if entry.ready]
    return ready or [entry for entry in listed if entry.serving and entry.terminating]


def _cluster_endpoints(candidates: Sequence[_Candidate], node: NodeView) -> tuple[Endpoint, ...]:
    usable = _usable(candidates)
    return tuple(entry.endpoint for entry in _near(usable, node))


def _near(usable: list[_Candidate], node: NodeView) -> list[_Candidate]:
    """Those hinted at for this node, else for its zone; all where any lacks such a hint or none is for us."""
    if usable and all(entry.nodes for entry in usable):
        mine = [entry for entry in usable if node.name in entry.nodes]
        if mine:
            return mine
    if node.zone and usable and all(entry.zones for entry in usable):
        mine = [entry for entry in usable if node.zone in entry.zones]
        if mine:
            return mine
    return usable


def _local_endpoints(candidates: Sequence[_Candidate], node: NodeView) -> tuple[Endpoint, ...]:
    return tuple(entry.endpoint for entry in _usable(entry for entry in candidates if entry.node == node.name))


def _affinity_s(spec: Mapping[str, Any]) -> int:
    if spec.get("sessionAffinity") != "ClientIP":
        return 0
    configured = ((spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}).get("timeoutSeconds")
    return int(configured or DEFAULT_AFFINITY_S)


def _versions(spec: Mapping[str, Any]) -> Iterator[Literal[4, 6]]:
    families = spec.get("ipFamilies")
    if not families:
        families = ["IPv6" if ":" in spec["clusterIP"] else "IPv4"]
    for family in families:
        yield 6 if family == "IPv6" else 4


def _balancer_addresses(service: Object, version: Literal[4, 6]) -> Iterator[str]:
    ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    for entry in ingress:
        if entry.get("ip") and (entry.get("ipMode") or "VIP") == "VIP":
            yield from _of_version([entry["ip"]], version)


def _of_version(texts: Iterable[str], version: Literal[4, 6]) -> Iterator[str]:
    """The addresses of one IP version, each as everybody writes it: the kernel takes two spellings for one key."""
    for text in texts:
        address = _canonical(text)
        if address and (":" in address) == (version == 6):
            yield address


def _canonical(text: str) -> str:
    """Empty for what is no address."""
    try:
        return str(ipaddress.ip_address(text.strip()))
    except ValueError:
        return ""


def _source_ranges(texts: Iterable[str], version: Literal[4, 6]) -> tuple[str, ...]:
    """The ranges of one IP version, joined where they overlap or touch: the kernel's sets refuse overlaps."""
    v4: list[ipaddress.IPv4Network] = []
    v6: list[ipaddress.IPv6Network] = []
    for text in texts:
        try:
            network = ipaddress.ip_network(text.strip(), strict=False)
        except ValueError:
            continue
        if isinstance(network, ipaddress.IPv4Network):
            v4.append(network)
        else:
            v6.append(network)
    joined = ipaddress.collapse_addresses(v4) if version == 4 else ipaddress.collapse_addresses(v6)
    return tuple(str(network) for network in joined)
