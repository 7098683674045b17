"""ConfigMaps and Secrets that pods name: followed while they may change, kept while a pod needs them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from steersman.aio.clock import SystemClock
from steersman.apiserver.component import APIServer
from steersman.apiserver.config import APIServerConfig
from steersman.client.api import Client
from steersman.client.inprocess import InProcessTransport
from steersman.kubelet.references import References
from steersman.meta import objects
from steersman.meta.errors import NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import CONFIGMAPS
from steersman.store.drivers.memory import MemoryStore
from steersman.testing.waiting import eventually
from tests.kubelet.pods import container, pod


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    clock = SystemClock()
    server = APIServer(store=MemoryStore(clock=clock), clock=clock, config=APIServerConfig(), rng=random.Random(1))
    await server.start()
    yield Client(InProcessTransport(server.handle))
    await server.close()


def config_map(name: str, **fields: object) -> Object:
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"k": "old"}, **fields}


def needing(*names: str) -> Object:
    return pod(container("main", envFrom=[{"configMapRef": {"name": name}} for name in names]))


def watched() -> set[str]:
    """Names of what is followed by a watch just now."""
    names = [task.get_name() for task in asyncio.all_tasks()]
    return {name.rpartition("/")[2] for name in names if name.startswith("follow/configmaps/")}


async def test_what_may_change_is_followed_and_tells_its_pods(client: Client) -> None:
    told: list[str] = []
    references = References(client, clock=SystemClock(), changed=told.append)
    created = await client.create(CONFIGMAPS, config_map("plain"))
    user = needing("plain")
    references.hold(user)
    assert (await references.get(CONFIGMAPS, "default", "plain"))["data"] == {"k": "old"}
    told.clear()
    await client.update(CONFIGMAPS, {**created, "data": {"k": "new"}})
    await eventually(lambda: told == [objects.uid(user)])
    assert (await references.get(CONFIGMAPS, "default", "plain"))["data"] == {"k": "new"}
    references.release(objects.uid(user))
    await eventually(lambda: not watched())
    await references.close()


async def test_what_is_immutable_is_read_once_and_kept_for_as_long_as_a_pod_needs_it(client: Client) -> None:
    references = References(client, clock=SystemClock(), changed=lambda uid: None)
    await client.create(CONFIGMAPS, config_map("fixed", immutable=True))
    await client.create(CONFIGMAPS, config_map("plain", immutable=False))
    user = needing("fixed", "plain")
    references.hold(user)
    for name in ("fixed", "plain"):
        await references.get(CONFIGMAPS, "default", name)
    await eventually(lambda: watched() == {"plain"})
    await client.delete(CONFIGMAPS, "fixed", namespace="default")
    assert (await references.get(CONFIGMAPS, "default", "fixed"))["data"] == {"k": "old"}
    references.release(objects.uid(user))
    references.hold(user)
    with pytest.raises(NotFound, match='configmap "fixed" not found'):
        await references.get(CONFIGMAPS, "default", "fixed")
    await references.close()
