"""Two API servers on one etcd: the same objects, the same watches, one allocation of everything there is one of."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from steersman.aio.clock import SystemClock
from steersman.apiserver.component import APIServer
from steersman.apiserver.config import APIServerConfig, ServiceNetwork
from steersman.client.api import Client, WatchEvent
from steersman.client.inprocess import InProcessTransport
from steersman.meta.errors import AlreadyExists, Conflict, InternalError, NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import APISERVICES, CONFIGMAPS, CUSTOMRESOURCEDEFINITIONS, SERVICES
from steersman.store.drivers.etcd import EtcdStore
from steersman.testing.etcd import EtcdServer, find_etcds
from steersman.testing.waiting import eventually
from tests.apiserver.builders import config_map
from tests.apiserver.extensions.builders import WIDGETS, definition, widget

programs = find_etcds()
pytestmark = pytest.mark.skipif(not programs, reason="no etcd on this machine")


class Pair:
    """Two servers, a client of each."""

    def __init__(self, etcd: EtcdServer) -> None:
        clock = SystemClock()
        config = APIServerConfig(
            services=ServiceNetwork(cidrs=("10.96.0.0/27",), node_ports=(30000, 30009)), reconcile_endpoints=False
        )
        self.servers = [
            APIServer(store=EtcdStore(etcd.config), clock=clock, config=config, rng=random.Random(seed))
            for seed in (1, 2)
        ]
        self.first, self.second = (Client(InProcessTransport(server.handle)) for server in self.servers)


@pytest.fixture(params=programs[:1], ids=lambda program: program.parent.parent.name)
async def pair(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Pair]:
    with EtcdServer(request.param, tmp_path) as etcd:
        found = Pair(etcd)
        await asyncio.gather(*(server.start() for server in found.servers))
        yield found
        for server in found.servers:
            await server.close()


async def test_what_one_wrote_the_other_has_at_once(pair: Pair) -> None:
    created = await pair.first.create(CONFIGMAPS, config_map())
    assert await pair.second.get(CONFIGMAPS, "a", namespace="default") == created
    changed = await pair.second.update(CONFIGMAPS, {**created, "data": {"key": "new"}})
    (listed,) = (await pair.first.list(CONFIGMAPS, namespace="default")).items
    assert listed == changed
    with pytest.raises(Conflict):
        await pair.first.update(CONFIGMAPS, created)
    await pair.first.delete(CONFIGMAPS, "a", namespace="default")
    with pytest.raises(NotFound):
        await pair.second.get(CONFIGMAPS, "a", namespace="default")


async def test_lists_continue_at_the_other_server(pair: Pair) -> None:
    for number in range(5):
        await pair.first.create(CONFIGMAPS, config_map(f"m-{number}"))
    page = await pair.first.list(CONFIGMAPS, namespace="default", limit=2)
    await pair.first.create(CONFIGMAPS, config_map("m-9"))
    rest = await pair.second.list(CONFIGMAPS, namespace="default", continue_token=page.continue_token)
    assert [item["metadata"]["name"] for item in (*page.items, *rest.items)] == [f"m-{number}" for number in range(5)]
    assert rest.resource_version == page.resource_version


async def _changes(client: Client, since: str, count: int) -> list[tuple[str, str, str]]:
    seen: list[tuple[str, str, str]] = []
    async for event in client.watch(CONFIGMAPS, namespace="default", resource_version=since):
        if event.type != "BOOKMARK":
            seen.append(_shown(event))
        if len(seen) == count:
            return seen
    return seen


def _shown(event: WatchEvent) -> tuple[str, str, str]:
    metadata = event.object["metadata"]
    return event.type, metadata["name"], metadata["resourceVersion"]


async def test_both_watches_see_every_change_in_one_order(pair: Pair) -> None:
    since = (await pair.first.list(CONFIGMAPS, namespace="default")).resource_version
    clients = (pair.first, pair.second)
    watches = [asyncio.ensure_future(_changes(client, since, 60)) for client in clients]

    async def write(worker: int) -> None:
        for number in range(10):
            client, other = clients[worker], clients[1 - worker]
            created = await client.create(CONFIGMAPS, config_map(f"m-{worker}-{number}"))
            await other.update(CONFIGMAPS, {**created, "data": {"by": "the other"}})
            await client.delete(CONFIGMAPS, f"m-{worker}-{number}", namespace="default")

    await asyncio.gather(write(0), write(1))
    first, second = await asyncio.wait_for(asyncio.gather(*watches), 30)
    assert first == second
    versions = [int(version) for _, _, version in first]
    assert versions == sorted(set(versions))
    for worker in (0, 1):
        for number in range(10):
            kinds = [kind for kind, name, _ in first if name == f"m-{worker}-{number}"]
            assert kinds == ["ADDED", "MODIFIED", "DELETED"]


async def test_no_update_is_lost_between_the_two(pair: Pair) -> None:
    await pair.first.create(CONFIGMAPS, {**config_map(), "data": {"count": "0"}})

    async def count(client: Client) -> None:
        for _ in range(10):
            while True:
                current = await client.get(CONFIGMAPS, "a", namespace="default")
                following = str(int(current["data"]["count"]) + 1)
                try:
                    await client.update(CONFIGMAPS, {**current, "data": {"count": following}})
                    break
                except Conflict:
                    continue

    await asyncio.gather(count(pair.first), count(pair.second))
    assert (await pair.first.get(CONFIGMAPS, "a", namespace="default"))["data"] == {"count": "20"}


def _service(name: str, kind: str) -> Object:
    return {"metadata": {"name": name, "namespace": "default"}, "spec": {"type": kind, "ports": [{"port": 80}]}}


async def test_addresses_and_ports_are_given_once(pair: Pair) -> None:
    services = await asyncio.gather(
        *(pair.first.create(SERVICES, _service(f"a-{number}", "NodePort")) for number in range(5)),
        *(pair.second.create(SERVICES, _service(f"b-{number}", "NodePort")) for number in range(5)),
        *(pair.first.create(SERVICES, _service(f"c-{number}", "ClusterIP")) for number in range(5)),
        *(pair.second.create(SERVICES, _service(f"d-{number}", "ClusterIP")) for number in range(5)),
    )
    addresses = [service["spec"]["clusterIP"] for service in services]
    assert len(set(addresses)) == len(services)
    ports = [port["nodePort"] for service in services for port in service["spec"]["ports"] if "nodePort" in port]
    assert sorted(ports) == list(range(30000, 30010))


async def test_addresses_and_ports_that_come_and_go_never_belong_to_two(pair: Pair) -> None:
    """More is wanted than there is, from both servers at once."""
    since = (await pair.first.list(SERVICES)).resource_version

    async def come_and_go(worker: int) -> None:
        rng = random.Random(worker)
        for number in range(12):
            name = f"s-{worker}-{number % 4}"
            client = rng.choice((pair.first, pair.second))
            try:
                await client.create(SERVICES, _service(name, rng.choice(("NodePort", "ClusterIP"))))
            except AlreadyExists:
                pass
            except InternalError as error:
                assert str(error).endswith("range is full")
            if rng.random() < 0.5:
                with contextlib.suppress(NotFound):
                    await rng.choice((pair.first, pair.second)).delete(SERVICES, name, namespace="default")

    await asyncio.gather(*(come_and_go(worker) for worker in range(10)))
    end = {"metadata": {"name": "end", "namespace": "default"}, "spec": {"type": "ExternalName", "externalName": "a"}}
    await pair.second.create(SERVICES, end)
    held: dict[str, set[str | int]] = {}
    async for event in pair.first.watch(SERVICES, namespace="default", resource_version=since):
        if event.object["metadata"]["name"] == "end":
            break
        held.pop(event.object["metadata"]["name"], None)
        if event.type != "DELETED":
            spec = event.object["spec"]
            ports = {port["nodePort"] for port in spec["ports"] if "nodePort" in port}
            taken = {spec["clusterIP"], *ports}
            assert not any(taken & others for others in held.values())
            held[event.object["metadata"]["name"]] = taken
    assert held


async def test_a_custom_resource_defined_at_one_is_served_by_both(pair: Pair) -> None:
    await pair.first.create(CUSTOMRESOURCEDEFINITIONS, definition())

    async def is_served() -> bool:
        path = "/apis/example.com/v1/widgets"
        return all([(await client.request("GET", path)).status == 200 for client in (pair.first, pair.second)])

    await eventually(is_served, timeout_s=20)
    await pair.second.create(WIDGETS, widget())
    assert (await pair.first.get(WIDGETS, "a", namespace="default"))["spec"] == widget()["spec"] | {"color": "green"}

    async def is_registered() -> bool:
        names = [obj["metadata"]["name"] for obj in (await pair.second.list(APISERVICES)).items]
        return names.count("v1.example.com") == 1

    await eventually(is_registered, timeout_s=20)
    assert all(server.ready() for server in pair.servers)
