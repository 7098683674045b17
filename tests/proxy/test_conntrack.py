"""Which UDP flows are forgotten when rules change."""

from __future__ import annotations

import pytest

from steersman.proxy.conntrack import StaleFlow, stale_flows
from steersman.proxy.rules import Target
from tests.proxy.builders import at, to

UDP = at(port=53, protocol="udp")
ONE, TWO = Target(endpoints=to("10.1.0.1")), Target(endpoints=to("10.1.0.1", "10.1.0.2"))


@pytest.mark.parametrize(
    ("before", "now", "stale"),
    [
        (TWO, ONE, [StaleFlow(frontend=UDP, endpoint="10.1.0.2")]),
        (ONE, TWO, []),
        (Target(), ONE, [StaleFlow(frontend=UDP)]),
        (None, ONE, [StaleFlow(frontend=UDP)]),
        (None, Target(), []),
        (TWO, None, [StaleFlow(frontend=UDP, endpoint="10.1.0.1"), StaleFlow(frontend=UDP, endpoint="10.1.0.2")]),
    ],
)
def test_flows_to_what_is_gone_and_flows_that_were_never_translated(
    before: Target | None, now: Target | None, stale: list[StaleFlow]
) -> None:
    assert stale_flows({UDP: before} if before else {}, {UDP: now}) == stale


def test_tcp_ends_by_itself() -> None:
    assert stale_flows({at(): TWO}, {at(): None}) == []


def test_a_node_port_is_told_apart_by_its_port_alone() -> None:
    flow = StaleFlow(frontend=at("", 30053, "udp", 6), endpoint="fd00::1")
    assert flow.arguments == ("-f", "ipv6", "-p", "udp", "--orig-port-dst", "30053", "--reply-src", "fd00::1")
