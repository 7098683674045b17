"""An API server in this process and a scheduler beside it, on a clock that the test owns."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from steersman.aio.clock import FakeClock, SystemClock
from steersman.apiserver.component import APIServer
from steersman.apiserver.config import APIServerConfig, Listener
from steersman.apiserver.tls import server_context
from steersman.client.api import Client
from steersman.client.inprocess import InProcessTransport
from steersman.cluster import kubeconfigs
from steersman.cluster.pki import ClusterPKI, ServingHosts
from steersman.scheduler.component import Scheduler, SchedulerConfig, default_configuration
from steersman.scheduler.configuration import LeaderElection, SchedulerConfiguration
from steersman.store.drivers.memory import MemoryStore

CONFIG = APIServerConfig(
    disabled_admission_plugins=("ServiceAccount", "Priority", "NodeRestriction", "TaintNodesByCondition")
)
"""Without controllers there are no service accounts; tests state priorities themselves and nodes are ready at once."""

Eventually = Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]
StartScheduler = Callable[..., Awaitable[Scheduler]]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def server(clock: FakeClock) -> AsyncIterator[APIServer]:
    server = APIServer(store=MemoryStore(clock=clock), clock=clock, config=CONFIG, rng=random.Random(7))
    await server.start()
    yield server
    await server.close()


@pytest.fixture
def client(server: APIServer) -> Client:
    return Client(InProcessTransport(server.handle))


@pytest.fixture
async def start_scheduler(client: Client, clock: FakeClock) -> AsyncIterator[StartScheduler]:
    """Starts schedulers that are stopped with the test; without leader election unless the configuration has it."""
    tasks: list[asyncio.Task[None]] = []

    async def start(
        configuration: SchedulerConfiguration | None = None,
        registry: CollectorRegistry | None = None,
        **config: object,
    ) -> Scheduler:
        scheduler = Scheduler(
            client=client,
            clock=clock,
            registry=registry,
            config=SchedulerConfig(configuration=configuration or without_election(), **config),  # type: ignore[arg-type]
        )
        tasks.append(asyncio.create_task(scheduler.run()))
        for _ in range(50):
            if scheduler.ready():
                break
            await clock.settle()
        assert scheduler.ready()
        return scheduler

    yield start
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def without_election() -> SchedulerConfiguration:
    configuration = default_configuration()
    return SchedulerConfiguration(
        frameworks=configuration.frameworks, leader_election=LeaderElection(leader_elect=False)
    )


@pytest.fixture
def eventually(clock: FakeClock) -> Eventually:
    """Waits for a predicate without letting time pass; fails after a bounded number of turns of the event loop."""

    async def wait(predicate: Callable[[], Awaitable[bool]]) -> None:
        for _ in range(100):
            if await predicate():
                return
            await clock.settle()
        raise AssertionError("it did not come true")

    return wait


@dataclass
class Served:
    """An API server over TLS, and a client of it in this process."""

    client: Client
    kubeconfig: Path
    """Of ``system:kube-scheduler``."""
    pki: ClusterPKI


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    clock = SystemClock()
    pki = ClusterPKI(tmp_path / "pki", clock=clock)
    pki.ensure_api_server(ServingHosts((), "cluster.local"))
    pair = pki.pair("apiserver")
    listener = Listener(
        bind_address="127.0.0.1", port=0, certificate_file=str(pair.certificate), key_file=str(pair.key)
    )
    config = APIServerConfig(
        authorization_modes=("RBAC",),
        client_ca=pki.authority.pair.certificate.read_bytes(),
        disabled_admission_plugins=("ServiceAccount", "Priority", "TaintNodesByCondition"),
    )
    server = APIServer(store=MemoryStore(clock=clock), clock=clock, config=config, rng=random.Random(7))
    await server.start()
    port = await server.serve("127.0.0.1", 0, tls=server_context(listener, config))
    document = kubeconfigs.document(
        server=f"https://127.0.0.1:{port}",
        authority=pki.authority.pair.certificate,
        identity=pki.ensure_client("scheduler", "system:kube-scheduler"),
        context="test",
        user="scheduler",
    )
    kubeconfigs.write(tmp_path / "scheduler.kubeconfig", document)
    yield Served(Client(InProcessTransport(server.handle)), tmp_path / "scheduler.kubeconfig", pki)
    await server.close()
