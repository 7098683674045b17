"""An API server in this process and one simulated node beside it, on a clock that the test moves."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from steersman.aio.clock import FakeClock
from steersman.aio.tasks import TaskGroup
from steersman.apiserver.component import APIServer
from steersman.apiserver.config import APIServerConfig
from steersman.client.api import Client
from steersman.client.inprocess import InProcessTransport
from steersman.kubelet.component import Kubelet
from steersman.kubelet.fleet import FleetConfig, SimulatedFleet
from steersman.kubelet.runtimes.simulated import SimulatedRuntime
from steersman.meta import objects
from steersman.meta.errors import NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import EVENTS, PODS, SERVICEACCOUNTS
from steersman.store.drivers.memory import MemoryStore
from tests.client.lossy import LossyTransport

NODE = "node-1"

ACCOUNT = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "default"}}


class Node:
    """A simulated node at work and the API it works against."""

    def __init__(self, client: Client, clock: FakeClock, fleet: SimulatedFleet) -> None:
        self.client = client
        self.clock = clock
        self.fleet = fleet

    @property
    def kubelet(self) -> Kubelet:
        return self.fleet.kubelets[NODE]

    @property
    def runtime(self) -> SimulatedRuntime:
        return self.fleet.runtimes[NODE]

    async def create(self, pod: Object) -> Object:
        """As if the scheduler had bound it here."""
        metadata = {key: value for key, value in pod["metadata"].items() if key not in ("uid", "generation")}
        spec = {**pod["spec"], "nodeName": NODE}
        return await self.client.create(PODS, {**pod, "metadata": metadata, "spec": spec, "status": {}})

    async def pod(self, name: str = "web") -> Object:
        return await self.client.get(PODS, name, namespace="default")

    async def until(self, holds: Callable[[Object], Any], name: str = "web", *, within_s: float = 120) -> Object:
        """The pod, once ``holds`` of it; time moves in small steps up to ``within_s``."""
        waited_s = 0.0
        while True:
            await self.clock.settle()
            pod = await self.pod(name)
            if holds(pod):
                return pod
            assert waited_s < within_s, f"after {within_s} s: {pod.get('status')}"
            await self.clock.advance(0.25)
            waited_s += 0.25

    async def until_gone(self, name: str = "web", *, within_s: float = 120) -> None:
        waited_s = 0.0
        while True:
            await self.clock.settle()
            try:
                await self.pod(name)
            except NotFound:
                return
            assert waited_s < within_s, f"{name} still there"
            await self.clock.advance(0.25)
            waited_s += 0.25

    async def events(self) -> list[tuple[str, str]]:
        await self.clock.advance(1)
        found = await self.client.list(EVENTS, namespace="default")
        return [(event["reason"], event["message"]) for event in found.items]


def phase_is(phase: str) -> Callable[[Object], bool]:
    return lambda pod: bool((pod.get("status") or {}).get("phase") == phase)


def is_ready(pod: Object) -> bool:
    return objects.is_true(pod, "Ready")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def transport(clock: FakeClock) -> AsyncIterator[LossyTransport]:
    """The way to the API server."""
    server = APIServer(store=MemoryStore(clock=clock), clock=clock, config=APIServerConfig(), rng=random.Random(7))
    await server.start()
    yield LossyTransport(InProcessTransport(server.handle))
    await server.close()


@pytest.fixture
async def client(transport: LossyTransport) -> Client:
    client = Client(transport)
    await client.create(SERVICEACCOUNTS, ACCOUNT)
    return client


@pytest.fixture
async def node(client: Client, clock: FakeClock) -> AsyncIterator[Node]:
    fleet = SimulatedFleet(client=client, clock=clock, config=FleetConfig(), rng=random.Random(3))
    fleet.add_named([NODE])
    async with TaskGroup("test") as group:
        group.spawn(fleet.run(), name="fleet")
        for _ in range(40):
            await clock.advance(0.25)
            if fleet.ready():
                break
        assert fleet.ready()
        yield Node(client, clock, fleet)
