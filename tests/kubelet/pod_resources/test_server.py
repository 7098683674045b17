"""What agents on the node are told over the socket."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.json_format import MessageToDict

from steersman.aio.clock import FakeClock
from steersman.client.api import Client
from steersman.kubelet.node_resources.policies import CPUManagerConfig, MemoryManagerConfig
from steersman.kubelet.pod_resources.server import BURST, FOLDER, SOCKET
from steersman.kubelet.pod_resources.v1 import podresources_pb2 as pb
from steersman.kubelet.reservations import Reservations
from steersman.meta.objects import Object
from steersman.meta.resources import PODS
from tests.kubelet.conftest import is_ready
from tests.kubelet.device_plugins.sample_plugin import RESOURCE, device, sample_plugin
from tests.kubelet.device_plugins.test_plugins import offers, until
from tests.kubelet.lone_node import LoneNode, lone_node
from tests.kubelet.node_resources.topologies import machine
from tests.kubelet.pods import container, pod

GI = 1024**3
RESERVED = 100 * 1024**2
PATIENCE_S = 20.0
CONFIG = {
    "cpu_manager": CPUManagerConfig(policy="static"),
    "memory_manager": MemoryManagerConfig(policy="Static", reserved={0: {"memory": RESERVED}}),
    "reservations": Reservations(kube={"cpu": "1"}),
}


@pytest.fixture
def root() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="pr-") as name:
        yield Path(name)


@pytest.fixture
async def node(client: Client, clock: FakeClock, root: Path) -> AsyncIterator[LoneNode]:
    async with lone_node(client, clock, root_dir=root, config=CONFIG, topology=machine(), sockets=root) as running:
        yield running


@asynccontextmanager
async def asking(root: Path, node: LoneNode) -> AsyncIterator[Any]:
    """``ask(method, request)`` gives the answer as JSON."""
    path = root / FOLDER / SOCKET
    async with asyncio.timeout(PATIENCE_S):
        while not path.is_socket():  # noqa: ASYNC110 - a socket says nothing when it is made
            await asyncio.sleep(0.01)
    async with grpc.aio.insecure_channel(f"unix:{path}", options=(("grpc.default_authority", "localhost"),)) as channel:

        async def ask(method: str, request: Any, *, version: str = "v1", patient: bool = True) -> Any:
            if patient:
                await node.clock.advance(1)
            answer = getattr(pb, f"{type(request).__name__.removesuffix('Request')}Response")
            call = channel.unary_unary(
                f"/{version}.PodResourcesLister/{method}",
                request_serializer=type(request).SerializeToString,
                response_deserializer=answer.FromString,
            )
            return MessageToDict(await call(request, timeout=10), preserving_proto_field_name=True)

        yield ask


def wanting(name: str = "main", *, widgets: int = 0, **fields: Any) -> Object:
    wanted = {"cpu": "2", "memory": "1Gi", **({RESOURCE: str(widgets)} if widgets else {})}
    return container(name, resources={"requests": wanted, "limits": wanted}, **fields)


def near(*nodes: int) -> Object:
    return {"nodes": [{"ID": str(node)} if node else {} for node in nodes]}


MEMORY = [{"memory_type": "memory", "size": str(GI), "topology": near(0)}]
MAIN = {
    "name": "main",
    "devices": [
        {"resource_name": RESOURCE, "device_ids": ["a"], "topology": near(0)},
        {"resource_name": RESOURCE, "device_ids": ["a"], "topology": near(1)},
        {"resource_name": RESOURCE, "device_ids": ["b"]},
    ],
    "cpu_ids": ["1", "2"],
    "memory": MEMORY,
}


@pytest.fixture
async def running(node: LoneNode, root: Path) -> AsyncIterator[LoneNode]:
    """A pod with an init container, a sidecar and an app container; and one that shares what is left."""
    async with sample_plugin(root, [device("a", nodes=[0, 1]), device("b"), device("c", healthy=False)]):
        await offers(node, 3, 2)
        init = [wanting("sidecar", restartPolicy="Always")]
        await node.create(pod(wanting(widgets=2), init=init))
        await until(node, is_ready)
        await node.create(pod(name="shared"))
        await until(node, is_ready, "shared")
        yield node


async def test_the_pods_and_what_they_have(running: LoneNode, root: Path) -> None:
    async with asking(root, running) as ask:
        answer = await ask("List", pb.ListPodResourcesRequest())
        assert answer == {
            "pod_resources": [
                {
                    "name": "web",
                    "namespace": "default",
                    "containers": [
                        {"name": "sidecar", "cpu_ids": ["1", "2"], "memory": MEMORY},
                        {**MAIN, "cpu_ids": ["3", "4"]},
                    ],
                },
                {"name": "shared", "namespace": "default", "containers": [{"name": "main"}]},
            ]
        }
        await running.client.delete(PODS, "web", namespace="default", grace_period_s=0)
        await running.clock.advance(5)
        assert [found["name"] for found in (await ask("List", pb.ListPodResourcesRequest()))["pod_resources"]] == [
            "shared"
        ]


async def test_one_pod(running: LoneNode, root: Path) -> None:
    async with asking(root, running) as ask:
        answer = await ask("Get", pb.GetPodResourcesRequest(pod_name="shared", pod_namespace="default"))
        assert answer == {"pod_resources": {"name": "shared", "namespace": "default", "containers": [{"name": "main"}]}}
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ask("Get", pb.GetPodResourcesRequest(pod_name="shared", pod_namespace="other"))
        assert caught.value.details() == "pod shared in namespace other not found"


async def test_what_there_is_to_give(running: LoneNode, root: Path) -> None:
    async with asking(root, running) as ask:
        answer = await ask("GetAllocatableResources", pb.AllocatableResourcesRequest())
    assert answer == {
        "devices": MAIN["devices"],
        "cpu_ids": ["1", "2", "3", "4", "5", "6", "7"],
        "memory": [
            {"memory_type": "memory", "size": str(16 * GI - RESERVED), "topology": near(0)},
            {"memory_type": "memory", "size": str(16 * GI), "topology": near(1)},
        ],
    }


async def test_the_first_version_tells_of_devices_only(running: LoneNode, root: Path) -> None:
    async with asking(root, running) as ask:
        answer = await ask("List", pb.ListPodResourcesRequest(), version="v1alpha1")
    devices = [{"resource_name": RESOURCE, "device_ids": [one]} for one in ("a", "a", "b")]
    assert answer["pod_resources"][0]["containers"] == [{"name": "main", "devices": devices}]


async def test_too_many_requests_are_refused_and_all_are_counted(node: LoneNode, root: Path) -> None:
    async with asking(root, node) as ask:
        await node.clock.advance(1)
        for _ in range(int(BURST)):
            await ask("List", pb.ListPodResourcesRequest(), patient=False)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ask("List", pb.ListPodResourcesRequest(), patient=False)
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert caught.value.details() == "rejected by rate limit"
        await ask("List", pb.ListPodResourcesRequest())
        await ask("GetAllocatableResources", pb.AllocatableResourcesRequest())
        with pytest.raises(grpc.aio.AioRpcError):
            await ask("Get", pb.GetPodResourcesRequest(pod_name="nobody"))

    def count(name: str) -> float | None:
        read = node.kubelet.metrics.registry.get_sample_value
        return read(f"kubelet_pod_resources_endpoint_{name}", {"server_api_version": "v1"})

    names = ("total", "list", "get_allocatable", "get")
    assert [count(f"requests_{name}") for name in names] == [BURST + 3, BURST + 1, 1, 1]
    assert count("errors_get") == 1
