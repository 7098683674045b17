"""From Services to frontends: one row for each rule of "Virtual IPs and Service Proxies"."""

from __future__ import annotations

import pytest

from steersman.meta.objects import Object
from steersman.proxy.rules import (
    DEFAULT_AFFINITY_S,
    HEADLESS_LABEL,
    PROXY_NAME_LABEL,
    NodeView,
    Rules,
    Target,
    service_rules,
)
from tests.proxy.builders import CLUSTER_IP, HERE, at, endpoint, endpoint_slice, service, to

NODE_PORT = [{"name": "http", "port": 80, "nodePort": 30080}]
BALANCED = {"loadBalancer": {"ingress": [{"ip": "203.0.113.7"}]}}
TWO = endpoint_slice(endpoint("10.1.0.1"), endpoint("10.2.0.1", "there"))
ELSEWHERE = endpoint_slice(endpoint("10.2.0.1", "there"))
BOTH = to("10.1.0.1", "10.2.0.1")

TABLE: list[tuple[str, Object, list[Object], Rules]] = [
    ("a cluster IP goes to every endpoint", service(), [TWO], {at(): Target(endpoints=BOTH)}),
    ("without endpoints connections are refused", service(), [], {at(): Target(refusal="reject")}),
    ("a headless Service has no frontends", service(clusterIP="None", clusterIPs=["None"]), [TWO], {}),
    ("an external name has no frontends", service(type="ExternalName", clusterIP=None, clusterIPs=[]), [TWO], {}),
    ("another proxy's Service is left alone", service(labels={PROXY_NAME_LABEL: "mesh"}), [TWO], {}),
    ("a Service labelled headless is left alone", service(labels={HEADLESS_LABEL: ""}), [TWO], {}),
    (
        "a node port answers on the node and hides its clients",
        service(type="NodePort", ports=NODE_PORT),
        [TWO],
        {at(): Target(endpoints=BOTH), at("", 30080): Target(endpoints=BOTH, masquerade="always")},
    ),
    (
        "externalTrafficPolicy Local keeps to this node and shows its clients",
        service(type="NodePort", ports=NODE_PORT, externalTrafficPolicy="Local"),
        [TWO],
        {at(): Target(endpoints=BOTH), at("", 30080): Target(endpoints=to("10.1.0.1"), masquerade="never")},
    ),
    (
        "externalTrafficPolicy Local drops where the endpoints are elsewhere",
        service(type="NodePort", ports=NODE_PORT, externalTrafficPolicy="Local"),
        [ELSEWHERE],
        {at(): Target(endpoints=to("10.2.0.1")), at("", 30080): Target(masquerade="never", refusal="drop")},
    ),
    (
        "internalTrafficPolicy Local keeps to this node",
        service(internalTrafficPolicy="Local"),
        [TWO],
        {at(): Target(endpoints=to("10.1.0.1"))},
    ),
    (
        "internalTrafficPolicy Local drops where the endpoints are elsewhere",
        service(internalTrafficPolicy="Local"),
        [ELSEWHERE],
        {at(): Target(refusal="drop")},
    ),
    (
        "internalTrafficPolicy Local refuses where there is no endpoint anywhere",
        service(internalTrafficPolicy="Local"),
        [],
        {at(): Target(refusal="reject")},
    ),
    (
        "external IPs are frontends of clients outside",
        service(externalIPs=["198.51.100.1", "2001:db8::1"]),
        [TWO],
        {at(): Target(endpoints=BOTH), at("198.51.100.1"): Target(endpoints=BOTH, masquerade="always")},
    ),
    (
        "a balancer's address admits its source ranges only, the families apart",
        service(type="LoadBalancer", loadBalancerSourceRanges=["10.0.0.0/8", "2001:db8::/32"], status=BALANCED),
        [TWO],
        {
            at(): Target(endpoints=BOTH),
            at("203.0.113.7"): Target(endpoints=BOTH, masquerade="always", source_ranges=("10.0.0.0/8",)),
        },
    ),
    (
        "source ranges that overlap become those that they amount to",
        service(
            type="LoadBalancer",
            loadBalancerSourceRanges=["10.1.0.0/16", "10.0.0.9/8", " 192.0.2.0/25", "192.0.2.128/25"],
            status=BALANCED,
        ),
        [],
        {at(): Target(), at("203.0.113.7"): Target(masquerade="always", source_ranges=("10.0.0.0/8", "192.0.2.0/24"))},
    ),
    (
        "a balancer that proxies itself is not short-circuited",
        service(type="LoadBalancer", status={"loadBalancer": {"ingress": [{"ip": "203.0.113.7", "ipMode": "Proxy"}]}}),
        [TWO],
        {at(): Target(endpoints=BOTH)},
    ),
    (
        "a balancer known by name only has no frontend",
        service(type="LoadBalancer", status={"loadBalancer": {"ingress": [{"hostname": "lb.example"}]}}),
        [TWO],
        {at(): Target(endpoints=BOTH)},
    ),
    (
        "endpoints that are not ready get nothing",
        service(),
        [endpoint_slice(endpoint("10.1.0.1", ready=False), endpoint("10.1.0.2", ready=True))],
        {at(): Target(endpoints=to("10.1.0.2"))},
    ),
    (
        "terminating endpoints that serve take over where none is ready",
        service(),
        [
            endpoint_slice(
                endpoint("10.1.0.1", ready=False, serving=True, terminating=True),
                endpoint("10.1.0.2", ready=False, serving=False, terminating=True),
                endpoint("10.1.0.3", ready=False),
            )
        ],
        {at(): Target(endpoints=to("10.1.0.1"))},
    ),
    (
        "terminating endpoints get nothing while one is ready",
        service(),
        [endpoint_slice(endpoint("10.1.0.1", ready=False, serving=True, terminating=True), endpoint("10.1.0.2"))],
        {at(): Target(endpoints=to("10.1.0.2"))},
    ),
    (
        "a local terminating endpoint is better than dropping",
        service(internalTrafficPolicy="Local"),
        [
            endpoint_slice(
                endpoint("10.1.0.1", ready=False, serving=True, terminating=True), endpoint("10.2.0.1", "there")
            )
        ],
        {at(): Target(endpoints=to("10.1.0.1"))},
    ),
    (
        "zone hints keep traffic in the zone",
        service(),
        [endpoint_slice(endpoint("10.1.0.1", zones=["a"]), endpoint("10.2.0.1", zones=["b"]))],
        {at(): Target(endpoints=to("10.1.0.1"))},
    ),
    (
        "one endpoint without a hint turns hints off",
        service(),
        [endpoint_slice(endpoint("10.1.0.1", zones=["a"]), endpoint("10.2.0.1"))],
        {at(): Target(endpoints=BOTH)},
    ),
    (
        "hints for other zones only are ignored",
        service(),
        [endpoint_slice(endpoint("10.1.0.1", zones=["b"]), endpoint("10.2.0.1", zones=["c"]))],
        {at(): Target(endpoints=BOTH)},
    ),
    (
        "node hints come before zone hints",
        service(),
        [
            endpoint_slice(
                endpoint("10.1.0.1", zones=["a"], nodes=["there"]), endpoint("10.2.0.1", zones=["a"], nodes=["here"])
            )
        ],
        {at(): Target(endpoints=to("10.2.0.1"))},
    ),
    (
        "node hints for other nodes fall back to the zone",
        service(),
        [
            endpoint_slice(
                endpoint("10.1.0.1", zones=["b"], nodes=["x"]), endpoint("10.2.0.1", zones=["a"], nodes=["y"])
            )
        ],
        {at(): Target(endpoints=to("10.2.0.1"))},
    ),
    (
        "affinity lasts three hours unless the Service says otherwise",
        service(sessionAffinity="ClientIP"),
        [TWO],
        {at(): Target(endpoints=BOTH, affinity_s=DEFAULT_AFFINITY_S)},
    ),
    (
        "affinity lasts as long as the Service says",
        service(sessionAffinity="ClientIP", sessionAffinityConfig={"clientIP": {"timeoutSeconds": 5}}),
        [TWO],
        {at(): Target(endpoints=BOTH, affinity_s=5)},
    ),
    (
        "each family of a dual-stack Service has its own endpoints",
        service(clusterIPs=[CLUSTER_IP, "fd00::9"], ipFamilies=["IPv4", "IPv6"]),
        [TWO, endpoint_slice(endpoint("fd01::1"), family="IPv6")],
        {at(): Target(endpoints=BOTH), at("fd00::9", version=6): Target(endpoints=to("fd01::1"))},
    ),
    (
        "ports are matched by name, each slice with its own number",
        service(ports=[{"name": "http", "port": 80}, {"name": "dns", "port": 53, "protocol": "UDP"}]),
        [
            TWO,
            endpoint_slice(endpoint("10.3.0.1"), ports=[{"name": "http", "port": 9090}]),
            endpoint_slice(endpoint("10.4.0.1"), ports=[{"name": "dns", "port": 5353, "protocol": "UDP"}]),
        ],
        {
            at(): Target(endpoints=(*BOTH, *to("10.3.0.1", port=9090))),
            at(port=53, protocol="udp"): Target(endpoints=to("10.4.0.1", port=5353)),
        },
    ),
    (
        "an endpoint in two slices counts once, and as ready where one says so",
        service(),
        [endpoint_slice(endpoint("10.1.0.1", ready=False)), endpoint_slice(endpoint("10.1.0.1"))],
        {at(): Target(endpoints=to("10.1.0.1"))},
    ),
    (
        "addresses are one address however they are written",
        service(clusterIP="fd00::9", clusterIPs=["fd00:0::9"], ipFamilies=["IPv6"], externalIPs=["2001:DB8:0::1"]),
        [endpoint_slice(endpoint("FD01::0:1"), family="IPv6")],
        {
            at("fd00::9", version=6): Target(endpoints=to("fd01::1")),
            at("2001:db8::1", version=6): Target(endpoints=to("fd01::1"), masquerade="always"),
        },
    ),
]


@pytest.mark.parametrize(("says", "given", "slices", "expected"), TABLE, ids=[row[0] for row in TABLE])
def test_the_table(says: str, given: Object, slices: list[Object], expected: Rules) -> None:
    assert service_rules(given, slices, HERE) == expected


def test_without_a_zone_of_its_own_a_node_ignores_zone_hints() -> None:
    slices = [endpoint_slice(endpoint("10.1.0.1", zones=["a"]), endpoint("10.2.0.1", zones=["b"]))]
    assert service_rules(service(), slices, NodeView(name="here"))[at()].endpoints == BOTH
