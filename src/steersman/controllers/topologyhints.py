"""Zones and nodes that an endpoint should serve: by traffic distribution, or in proportion to the zones' CPUs.

Sources: "Traffic distribution" and "Topology Aware Routing" in the Kubernetes documentation; KEP-2433 (proportions).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from msgspec import Struct

from steersman.controllers.slices import Group, Ports, identity
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.quantities import to_milli

ZONE_LABEL = "topology.kubernetes.io/zone"
MODE_ANNOTATIONS = ("service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode")
CLOSE = frozenset({"PreferClose", "PreferSameZone", "PreferSameNode"})
OVERLOAD_THRESHOLD = 0.2
_EXCLUDED = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")
_NO_NODE_INFO = "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes"
_TOO_FEW = "Insufficient number of endpoints"
_OVERLOADED = "Unable to allocate minimum required endpoints to each zone without exceeding overload threshold"


class Event(Struct, frozen=True, kw_only=True):
    type: Literal["Normal", "Warning"]
    reason: str
    message: str


class Topology(Struct, frozen=True, kw_only=True):
    """Each zone's share of the ready nodes' CPUs; empty where it cannot be told."""

    shares: Mapping[str, float]


def facts(node: Mapping[str, Any]) -> tuple[Any, ...]:
    """Everything of a node that hints and endpoints depend on."""
    labels = objects.labels(node)
    excluded = any(label in labels for label in _EXCLUDED)
    cpu = ((node.get("status") or {}).get("allocatable") or {}).get("cpu")
    return labels.get(ZONE_LABEL), excluded, objects.is_true(node, "Ready"), cpu


def topology_of(nodes: Iterable[Object]) -> Topology:
    cpus: dict[str, int] = {}
    for node in nodes:
        zone, excluded, ready, cpu = facts(node)
        if excluded or not ready:
            continue
        if not zone or not cpu or not to_milli(cpu):
            return Topology(shares={})
        cpus[zone] = cpus.get(zone, 0) + to_milli(cpu)
    total = sum(cpus.values())
    return Topology(shares={zone: cpu / total for zone, cpu in cpus.items()} if len(cpus) > 1 else {})


def spreads(service: Mapping[str, Any]) -> bool:
    """The Service asks for endpoints in proportion to the zones' CPUs."""
    annotations = objects.annotations(service)
    mode = next((annotations[key] for key in MODE_ANNOTATIONS if key in annotations), "")
    return mode in ("Auto", "auto")


def give_hints(service: Object, family: str, groups: Mapping[Ports, Group], topology: Topology | None) -> list[Event]:
    """Put hints into the endpoints of one address type (they are still private to the plan); say what a reader should know."""
    if topology is not None and spreads(service):
        return [_spread(family, groups.values(), topology)]
    distribution = service["spec"].get("trafficDistribution")
    if distribution not in CLOSE:
        return []
    for group in groups.values():
        for endpoint in group.endpoints.values():
            if endpoint["conditions"]["ready"]:
                hints: Object = {}
                if endpoint.get("zone"):
                    hints["forZones"] = [{"name": endpoint["zone"]}]
                if endpoint.get("nodeName") and distribution == "PreferSameNode":
                    hints["forNodes"] = [{"name": endpoint["nodeName"]}]
                if hints:
                    endpoint["hints"] = hints
    return []


def _spread(family: str, groups: Iterable[Group], topology: Topology) -> Event:
    everything = [endpoint for group in groups for endpoint in group.endpoints.values()]
    ordered = sorted(everything, key=lambda endpoint: str(identity(endpoint)))
    ready = [endpoint for endpoint in ordered if endpoint["conditions"]["ready"]]
    desired = _desired(len(ready), topology)
    if isinstance(desired, str):
        return _disabled(desired, family)
    if any(not endpoint.get("zone") for endpoint in ready):
        return _disabled("One or more endpoints do not have a zone specified", family)
    have: dict[str, int] = dict.fromkeys(desired, 0)
    for endpoint in ready:
        have[endpoint["zone"]] = have.get(endpoint["zone"], 0) + 1
    giving, receiving = _moves(desired, have)
    for endpoint in ready:
        zone = endpoint["zone"]
        if giving.get(zone) and receiving:
            giving[zone] -= 1
            zone = min(receiving)
            receiving[zone] -= 1
            if not receiving[zone]:
                del receiving[zone]
        endpoint["hints"] = {"forZones": [{"name": zone}]}
    text = f"Topology Aware Hints has been enabled, addressType: {family}"
    return Event(type="Normal", reason="TopologyAwareHintsEnabled", message=text)


def _desired(count: int, topology: Topology) -> dict[str, float] | str:
    """How many endpoints each zone should have; or why that cannot be."""
    zones = len(topology.shares)
    if not zones:
        return _NO_NODE_INFO
    if zones > count:
        return f"{_TOO_FEW} ({count} endpoints, {zones} zones)"
    least = {zone: math.ceil(share * count / (1 + OVERLOAD_THRESHOLD)) for zone, share in topology.shares.items()}
    if sum(least.values()) > count:
        return f"{_OVERLOADED} ({count} endpoints, {zones} zones)"
    return {zone: max(share * count, least[zone]) for zone, share in topology.shares.items()}


def _moves(desired: Mapping[str, float], have: Mapping[str, int]) -> tuple[dict[str, int], dict[str, int]]:
    """How many endpoints each zone gives to others, and receives from them."""
    surplus = {zone: have.get(zone, 0) - wanted for zone, wanted in desired.items()}
    giving: dict[str, int] = {}
    receiving: dict[str, int] = {}
    while surplus:
        giver = max(sorted(surplus), key=lambda zone: surplus[zone])
        receiver = min(sorted(surplus), key=lambda zone: surplus[zone])
        give, receive = surplus[giver], -surplus[receiver]
        if give < 0.5 or receive < 0.5 or (give < 1.0 and receive < 1.0):
            break
        giving[giver] = giving.get(giver, 0) + 1
        receiving[receiver] = receiving.get(receiver, 0) + 1
        surplus[giver] -= 1
        surplus[receiver] += 1
    return giving, receiving


def ended(told: Iterable[Event]) -> list[Event]:
    """What to say of a Service that asks for proportions no more, after ``told``."""
    for event in told:
        if event.reason == "TopologyAwareHintsEnabled":
            return [_disabled("Topology Aware Hints has been disabled", event.message.rpartition(" ")[2])]
    return []


def _disabled(why: str, family: str) -> Event:
    return Event(type="Warning", reason="TopologyAwareHintsDisabled", message=f"{why}, addressType: {family}")
