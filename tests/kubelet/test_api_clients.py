"""How often the kubelet asks the API server: what waits, and for what."""

from __future__ import annotations

from pathlib import Path

from steersman.aio.clock import FakeClock
from steersman.client.api import Client
from steersman.kubelet.api_clients import RateLimit
from steersman.meta.resources import LEASES, PODS
from tests.kubelet.lone_node import NAME, LoneNode, lone_node
from tests.kubelet.pods import container, pod

PODS_MADE = 8


async def running(node: LoneNode) -> int:
    pods = (await node.client.list(PODS, namespace="default")).items
    return sum(1 for entry in pods if entry["status"].get("phase") == "Running")


async def make_pods(node: LoneNode) -> None:
    for number in range(PODS_MADE):
        await node.create(pod(container("main"), metadata={"name": f"web-{number}", "uid": ""}))


async def renewed(node: LoneNode) -> str:
    return str((await node.client.get(LEASES, NAME, namespace="kube-node-lease"))["spec"]["renewTime"])


async def test_statuses_wait_for_their_turn_and_the_lease_does_not(
    client: Client, clock: FakeClock, tmp_path: Path
) -> None:
    limit = RateLimit(qps=0.2, burst=2)
    async with lone_node(client, clock, root_dir=tmp_path, config={"api_limit": limit}) as node:
        await make_pods(node)
        before = await renewed(node)
        await clock.advance(12)
        assert await running(node) < PODS_MADE
        assert await renewed(node) > before
        await clock.advance(120)
        assert await running(node) == PODS_MADE


async def test_events_have_a_limit_of_their_own(client: Client, clock: FakeClock, tmp_path: Path) -> None:
    limit = RateLimit(qps=1.0, burst=1)
    async with lone_node(client, clock, root_dir=tmp_path, config={"event_limit": limit}) as node:
        await clock.advance(30)
        told = len(await node.events())
        await make_pods(node)
        await clock.advance(4)
        assert await running(node) == PODS_MADE
        soon = len(await node.events()) - told
        assert soon <= 8
        await clock.advance(60)
        assert len(await node.events()) - told >= 4 * PODS_MADE
