"""The network of a node, computed from the Node objects."""

from __future__ import annotations

import pytest

from steersman.meta.objects import Object
from steersman.network.plan import NetworkPlan, Route, cni_configuration, firewall, plan


def node(name: str, *ranges: str, addresses: tuple[str, ...] = ()) -> Object:
    listed = [{"type": "Hostname", "address": name}, *({"type": "InternalIP", "address": each} for each in addresses)]
    return {
        "metadata": {"name": name},
        "spec": {"podCIDR": ranges[0], "podCIDRs": [*ranges]} if ranges else {},
        "status": {"addresses": listed},
    }


A = node("a", "10.244.0.0/24", "fd00:0::/64", addresses=("10.89.0.2", "fd89::2"))
B = node("b", "10.244.1.0/24", "fd00:1::/64", addresses=("10.89.0.3", "fd89::3"))


def route(destination: str, gateway: str) -> Route:
    return Route(destination=destination, gateway=gateway)


@pytest.mark.parametrize(
    ("own", "nodes", "expected"),
    [
        ("a", [], NetworkPlan()),
        ("a", [node("a")], NetworkPlan()),
        (
            "a",
            [A, B],
            NetworkPlan(
                own_ranges=("10.244.0.0/24", "fd00:0::/64"),
                routes=frozenset({route("10.244.1.0/24", "10.89.0.3"), route("fd00:1::/64", "fd89::3")}),
            ),
        ),
        ("", [node("b", "10.244.1.0/24", addresses=("10.89.0.3",))],
         NetworkPlan(routes=frozenset({route("10.244.1.0/24", "10.89.0.3")}))),
        ("a", [node("b", "10.244.1.0/24", addresses=("fd89::3",))], NetworkPlan()),
        ("a", [node("b", "nonsense", addresses=("10.89.0.3",))], NetworkPlan()),
    ],
    ids=["no nodes", "no range yet", "dual stack", "a machine that is no node", "no address of the family", "no range"],
)  # fmt: skip
def test_plans(own: str, nodes: list[Object], expected: NetworkPlan) -> None:
    assert plan(own, nodes) == expected


def test_cni_lists_a_range_and_a_default_route_for_each_family() -> None:
    content = cni_configuration(bridge="pods", ranges=["10.244.0.0/24", "fd00::/64"], mtu=1400, data_dir="/data")
    bridge = content["plugins"][0]
    assert (bridge["type"], bridge["bridge"], bridge["mtu"], bridge["hairpinMode"]) == ("bridge", "pods", 1400, True)
    assert bridge["ipam"]["ranges"] == [[{"subnet": "10.244.0.0/24"}], [{"subnet": "fd00::/64"}]]
    assert bridge["ipam"]["routes"] == [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]


def test_only_what_leaves_the_pod_network_is_masqueraded() -> None:
    rules = firewall(own_ranges=["10.244.0.0/24", "fd00::/64"], cluster_ranges=["10.244.0.0/16"])
    assert "ip saddr 10.244.0.0/24 ip daddr != { 10.244.0.0/16 } masquerade" in rules
    assert "ip6 saddr fd00::/64 ip6 daddr != { fd00::/64 } masquerade" in rules
