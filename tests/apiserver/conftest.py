"""One API server in this process: memory store, a clock the test owns, a client that may do everything."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import pytest

from steersman.aio.clock import FakeClock
from steersman.apiserver.component import APIServer
from steersman.apiserver.config import APIServerConfig
from steersman.client.api import Client
from steersman.client.inprocess import InProcessTransport
from steersman.store.drivers.memory import MemoryStore

CONFIG = APIServerConfig(disabled_admission_plugins=("ServiceAccount",))
"""Without a controller manager there are no service accounts for pods to run as."""


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
