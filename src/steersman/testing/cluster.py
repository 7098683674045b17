"""The embedded shape: API server, controllers, scheduler and simulated nodes on one event loop.

No sockets, no threads, no root: a memory store, an injected clock and in-process transports. Many clusters can live in one
process, and each boots in well under a second.

    async with Cluster() as cluster:
        await cluster.client.create(DEPLOYMENTS, deployment)
        await cluster.eventually(all_replicas_ready)
        await cluster.advance(3600)
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any

from msgspec.structs import replace

from steersman.aio.clock import Clock, FakeClock
from steersman.aio.tasks import TaskGroup
from steersman.apiserver.component import APIServer
from steersman.apiserver.config import APIServerConfig
from steersman.client.api import Client
from steersman.client.inprocess import InProcessTransport
from steersman.controllers.component import ControllerManager
from steersman.controllers.config import ControllerManagerConfig
from steersman.kubelet.fleet import FleetConfig, SimulatedFleet
from steersman.meta import objects
from steersman.meta.resources import NODES, SERVICEACCOUNTS
from steersman.scheduler.component import Scheduler, SchedulerConfig, default_configuration
from steersman.scheduler.configuration import LeaderElection
from steersman.store.api import Store
from steersman.store.drivers.memory import MemoryStore
from steersman.testing.waiting import eventually


class Cluster:
    """A cluster of one's own. Use it as ``async with``; it is Ready on entering and gone on leaving.

    ``clock`` is a ``FakeClock`` unless given: time stands still until ``advance`` or ``eventually`` move it. One ``seed``
    and the same calls give the same names, placements and backoffs.
    """

    def __init__(
        self,
        *,
        nodes: int = 1,
        clock: Clock | None = None,
        store: Store | None = None,
        seed: int = 0,
        controllers: tuple[str, ...] = ("*",),
        scheduler: bool = True,
        config: APIServerConfig | None = None,
        fleet: FleetConfig | None = None,
    ) -> None:
        self.clock: Clock = clock or FakeClock()
        self._rng = random.Random(seed)
        self._node_count = nodes
        self._tasks = TaskGroup("cluster")
        self.server = APIServer(
            store=store or MemoryStore(clock=self.clock),
            clock=self.clock,
            config=config or APIServerConfig(),
            rng=self._random(),
        )
        self.client = self.client_as("kubernetes-admin", "system:masters")
        """An administrator's client."""
        self.controller_manager = (
            ControllerManager(
                client=self._component_client("system:kube-controller-manager"),
                clock=self.clock,
                config=ControllerManagerConfig(controllers=controllers),
                rng=self._random(),
            )
            if controllers
            else None
        )
        configuration = replace(default_configuration(), leader_election=LeaderElection(leader_elect=False))
        self.scheduler = (
            Scheduler(
                client=self._component_client("system:kube-scheduler"),
                clock=self.clock,
                config=SchedulerConfig(configuration=configuration),
                rng=self._random(),
            )
            if scheduler
            else None
        )
        self.fleet = SimulatedFleet(
            client=self._component_client("kubelet"),
            clock=self.clock,
            config=fleet or FleetConfig(tainted=False),
            rng=self._random(),
        )

    async def __aenter__(self) -> Cluster:
        await self.server.start()
        if self.controller_manager is not None:
            self._tasks.spawn(self.controller_manager.run(), name="controller-manager")
        if self.scheduler is not None:
            self._tasks.spawn(self.scheduler.run(), name="scheduler")
        self._tasks.spawn(self.fleet.run(), name="nodes")
        if self._node_count:
            await self.add_nodes(self._node_count)
        if self.controller_manager is not None:
            await self.eventually(self._default_account_exists)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._tasks.close()
        await self.server.close()

    def client_as(self, user: str, *groups: str) -> Client:
        """A client of that identity; the API server's authorization sees it like any other."""
        return Client(InProcessTransport(self.server.handle, user=user, groups=groups))

    async def add_nodes(self, count: int) -> list[str]:
        """More simulated nodes; their names, once they are Ready."""
        names = self.fleet.add(count)

        async def are_ready() -> bool:
            listed = (await self.client.list(NODES)).items
            ready = {objects.name(node) for node in listed if objects.is_true(node, "Ready")}
            return ready.issuperset(names)

        await self.eventually(are_ready)
        return names

    async def advance(self, seconds: float) -> None:
        """Let time pass, with everything that happens meanwhile. Only on a ``FakeClock``."""
        if not isinstance(self.clock, FakeClock):
            raise TypeError("this cluster runs on a clock of its own; give it a FakeClock to move time")
        await self.clock.advance(seconds)

    async def eventually(self, predicate: Callable[[], Any | Awaitable[Any]], *, timeout_s: float = 120.0) -> Any:
        """Wait until ``predicate()`` is true, in the cluster's own time."""
        return await eventually(predicate, clock=self.clock, timeout_s=timeout_s)

    async def _default_account_exists(self) -> bool:
        return bool((await self.client.list(SERVICEACCOUNTS, namespace="default")).items)

    def _component_client(self, user: str) -> Client:
        return Client(InProcessTransport(self.server.handle, user=user, groups=("system:masters",)))

    def _random(self) -> random.Random:
        return random.Random(self._rng.getrandbits(64))
