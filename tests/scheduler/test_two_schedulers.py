"""Two schedulers and one Lease: only the leader binds, and when it dies the other goes on; no pod is bound twice or lost."""

from __future__ import annotations

import asyncio

from steersman.aio.clock import FakeClock
from steersman.client.api import Client
from steersman.meta import objects
from steersman.meta.resources import LEASES, PODS
from steersman.scheduler.component import Scheduler, SchedulerConfig, default_configuration
from steersman.scheduler.configuration import LeaderElection
from tests.scheduler.builders import node, pod
from tests.scheduler.test_component import create


async def start(client: Client, clock: FakeClock, identity: str) -> asyncio.Task[None]:
    configuration = default_configuration()
    assert configuration.leader_election == LeaderElection()
    config = SchedulerConfig(configuration=configuration, identity=identity)
    return asyncio.create_task(Scheduler(client=client, clock=clock, config=config).run())


async def placements(client: Client) -> dict[str, str]:
    listed = await client.list(PODS, namespace="default")
    return {objects.name(entry): entry["spec"].get("nodeName", "") for entry in listed.items}


async def test_the_leader_dies_again_and_again(client: Client, clock: FakeClock) -> None:
    await create(client, *(node(f"n{number}") for number in range(3)))
    seen: dict[str, str] = {}
    running = {name: await start(client, clock, name) for name in ("one", "two")}
    for round_number in range(4):
        await create(client, *(pod(f"p{round_number}-{number}", cpu="10m") for number in range(5)))
        await clock.advance(40.0)
        now = await placements(client)
        assert all(now.values())
        assert {name: now[name] for name in seen} == seen
        seen = now
        lease = await client.get(LEASES, "kube-scheduler", namespace="kube-system")
        leader = lease["spec"]["holderIdentity"]
        running[leader].cancel()
        await asyncio.gather(running[leader], return_exceptions=True)
        running[leader] = await start(client, clock, leader)
    for task in running.values():
        task.cancel()
    await asyncio.gather(*running.values(), return_exceptions=True)
    assert len(seen) == 20
