"""Hints: endpoints in proportion to the zones' CPUs, without more than a fifth of overload; or for the own zone and node."""

from __future__ import annotations

from collections import Counter

import pytest

from steersman.controllers.slices import Group
from steersman.controllers.topologyhints import Event, Topology, ended, give_hints, topology_of
from steersman.meta.objects import Object

ZONE = "topology.kubernetes.io/zone"


def node(zone: str = "", cpu: str = "", *, ready: bool = True, is_control_plane: bool = False) -> Object:
    labels = {"node-role.kubernetes.io/control-plane": ""} if is_control_plane else {}
    status: Object = {"conditions": [{"type": "Ready", "status": str(ready)}]} | (
        {"allocatable": {"cpu": cpu}} if cpu else {}
    )
    return {"metadata": {"name": "n", "labels": ({ZONE: zone} if zone else {}) | labels}, "status": status}


@pytest.mark.parametrize(
    ("nodes", "shares"),
    [
        ([node("a", "1"), node("b", "3")], {"a": 0.25, "b": 0.75}),
        ([node("a", "1"), node("a", "1"), node("b", "2000m")], {"a": 0.5, "b": 0.5}),
        ([node("a", "1"), node("b", "3", ready=False)], {}),
        ([node("a", "1"), node("b", "1"), node("", "1")], {}),
        ([node("a", "1"), node("b", "1"), node("c")], {}),
        ([node("a", "1"), node("b", "1"), node("", "9", is_control_plane=True)], {"a": 0.5, "b": 0.5}),
        ([node("a", "1"), node("b", "1"), node("", ready=False)], {"a": 0.5, "b": 0.5}),
        ([], {}),
    ],
)  # fmt: skip
def test_the_share_of_each_zone(nodes: list[Object], shares: dict[str, float]) -> None:
    assert topology_of(nodes).shares == shares


def group(*zones: str, ready: bool = True, first: int = 1) -> Group:
    made = Group(ports=[])
    for number, zone in enumerate(zones, start=first):
        made.add(
            {
                "addresses": [f"10.0.0.{number}"],
                "conditions": {"ready": ready},
                **({"zone": zone} if zone else {}),
                "nodeName": f"n{number}",
                "targetRef": {"name": f"p{number}", "uid": f"p{number}"},
            }
        )
    return made


SPREADS: Object = {
    "metadata": {"name": "web", "annotations": {"service.kubernetes.io/topology-mode": "Auto"}},
    "spec": {},
}
EVEN = {"a": 0.5, "b": 0.5}
ON, OFF = "TopologyAwareHintsEnabled", "TopologyAwareHintsDisabled"


@pytest.mark.parametrize(
    ("zones", "shares", "hinted", "reason", "message"),
    [
        (("a", "b"), EVEN, {"a": 1, "b": 1}, ON, "Topology Aware Hints has been enabled"),
        (("a", "a"), EVEN, {"a": 1, "b": 1}, ON, "Topology Aware Hints has been enabled"),
        (("a",) * 6, EVEN, {"a": 3, "b": 3}, ON, "Topology Aware Hints has been enabled"),
        (("a", "a", "a", "b"), EVEN, {"a": 2, "b": 2}, ON, "Topology Aware Hints has been enabled"),
        (("a",) * 5 + ("b",) * 2, EVEN, {"a": 4, "b": 3}, ON, "Topology Aware Hints has been enabled"),
        (("a", "a", "b"), EVEN, {}, OFF,
         "Unable to allocate minimum required endpoints to each zone without exceeding overload threshold (3 endpoints, 2 zones)"),
        (("a", "b", "c", "c"), EVEN, {"a": 1, "b": 1, "c": 2}, ON, "Topology Aware Hints has been enabled"),
        (("a",), EVEN, {}, OFF, "Insufficient number of endpoints (1 endpoints, 2 zones)"),
        ((), EVEN, {}, OFF, "Insufficient number of endpoints (0 endpoints, 2 zones)"),
        (("a", "b"), {"a": 0.1, "b": 0.9}, {}, OFF,
         "Unable to allocate minimum required endpoints to each zone without exceeding overload threshold (2 endpoints, 2 zones)"),
        (("a", "b", "", "b"), EVEN, {}, OFF, "One or more endpoints do not have a zone specified"),
        (("a", "b"), {}, {}, OFF,
         "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes"),
    ],
)  # fmt: skip
def test_endpoints_in_proportion(
    zones: tuple[str, ...], shares: dict[str, float], hinted: dict[str, int], reason: str, message: str
) -> None:
    found = group(*zones)
    [event] = give_hints(SPREADS, "IPv4", {(): found}, Topology(shares=shares))
    assert (event.reason, event.message) == (reason, f"{message}, addressType: IPv4")
    given = Counter(
        zone["name"] for entry in found.endpoints.values() for zone in (entry.get("hints") or {}).get("forZones", ())
    )
    assert given == hinted


def test_endpoints_of_several_ports_are_counted_together() -> None:
    first, second = group("a", "a"), group("a", "a", first=3)
    [event] = give_hints(SPREADS, "IPv6", {(("x",),): first, (("y",),): second}, Topology(shares=EVEN))
    assert event.message == "Topology Aware Hints has been enabled, addressType: IPv6"
    given = [entry["hints"]["forZones"][0]["name"] for found in (first, second) for entry in found.endpoints.values()]
    assert Counter(given) == {"a": 2, "b": 2}


@pytest.mark.parametrize(
    ("distribution", "zone", "ready", "expected"),
    [
        ("PreferClose", "a", True, {"forZones": [{"name": "a"}]}),
        ("PreferSameZone", "a", True, {"forZones": [{"name": "a"}]}),
        ("PreferSameNode", "a", True, {"forZones": [{"name": "a"}], "forNodes": [{"name": "n1"}]}),
        ("PreferSameNode", "", True, {"forNodes": [{"name": "n1"}]}),
        ("PreferSameZone", "", True, None),
        ("PreferSameZone", "a", False, None),
        ("Elsewhere", "a", True, None),
        (None, "a", True, None),
    ],
)
def test_traffic_that_stays_close(distribution: str | None, zone: str, ready: bool, expected: Object | None) -> None:
    found = group(zone, ready=ready)
    service: Object = {"metadata": {"name": "web"}, "spec": {"trafficDistribution": distribution}}
    assert give_hints(service, "IPv4", {(): found}, None) == []
    [endpoint] = found.endpoints.values()
    assert endpoint.get("hints") == expected


def test_the_annotation_wins_over_the_field() -> None:
    service = {**SPREADS, "spec": {"trafficDistribution": "PreferSameNode"}}
    found = group("a", "a")
    give_hints(service, "IPv4", {(): found}, Topology(shares=EVEN))
    assert all("forNodes" not in entry["hints"] for entry in found.endpoints.values())


def test_the_end_of_hints_is_told_of_those_that_there_were() -> None:
    enabled = Event(type="Normal", reason=ON, message="Topology Aware Hints has been enabled, addressType: IPv6")
    [event] = ended([enabled])
    assert (event.type, event.reason, event.message) == (
        "Warning", OFF, "Topology Aware Hints has been disabled, addressType: IPv6",
    )  # fmt: skip
    assert ended([Event(type="Warning", reason=OFF, message="why, addressType: IPv4")]) == []
