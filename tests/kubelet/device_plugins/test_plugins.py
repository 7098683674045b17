"""A kubelet and device plugins that talk to each other over their sockets; the pods are simulated."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, TypeVar

import grpc.aio
import pytest

from steersman.aio.clock import FakeClock
from steersman.client.api import Client
from steersman.kubelet.device_plugins.device_assignments import FILE
from steersman.kubelet.device_plugins.registration import FOLDER
from steersman.kubelet.device_plugins.v1beta1 import deviceplugin_pb2 as pb
from steersman.kubelet.node_resources.policies import TopologyManagerConfig
from steersman.kubelet.node_resources.state_file import StateFile
from steersman.kubelet.runtimes.behaviour import ANNOTATION
from steersman.kubelet.runtimes.containers import Device, Mount
from steersman.kubelet.runtimes.simulated import SimulatedRuntime
from steersman.meta.objects import Object
from steersman.meta.resources import NODES
from tests.kubelet.conftest import is_ready, phase_is
from tests.kubelet.device_plugins.sample_plugin import RESOURCE, SamplePlugin, device, sample_plugin, widgets
from tests.kubelet.lone_node import NAME, LoneNode, lone_node
from tests.kubelet.node_resources.topologies import machine
from tests.kubelet.plugin_watcher.test_watcher import Plugin
from tests.kubelet.pods import container, pod

T = TypeVar("T")
PATIENCE_S = 20.0
Start = Callable[..., AbstractAsyncContextManager[LoneNode]]


@pytest.fixture
def root() -> Iterator[Path]:
    """Short: the names of sockets are."""
    with tempfile.TemporaryDirectory(prefix="dp-") as name:
        yield Path(name)


@pytest.fixture
def start(client: Client, clock: FakeClock, root: Path) -> Start:
    def begin(runtime: SimulatedRuntime | None = None, **config: Any) -> AbstractAsyncContextManager[LoneNode]:
        platform = {"topology": machine(), "sockets": root}
        return lone_node(client, clock, root_dir=root, config=config, runtime=runtime, **platform)

    return begin


@pytest.fixture
async def node(start: Start) -> AsyncIterator[LoneNode]:
    async with start() as running:
        yield running


async def eventually(node: LoneNode, ask: Callable[[], Awaitable[T]]) -> T:
    """The first true answer. Plugins live in real time, the node's clock goes along."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not (found := await ask()):
        assert time.monotonic() < deadline_s, "not in time"
        await node.clock.advance(0.25)
        await asyncio.sleep(0.01)
    return found


async def until(node: LoneNode, holds: Callable[[Object], Any], name: str = "web") -> Object:
    async def look() -> Object | None:
        found = await node.pod(name)
        return found if holds(found) else None

    found = await eventually(node, look)
    assert found is not None
    return found


async def offers(node: LoneNode, capacity: int, allocatable: int, resource: str = RESOURCE) -> None:
    async def look() -> bool:
        status = (await node.node())["status"]
        return (status["capacity"].get(resource), status["allocatable"].get(resource)) == (
            str(capacity), str(allocatable)
        )  # fmt: skip

    await eventually(node, look)


def asking(name: str = "main", count: int = 1, **fields: Any) -> Object:
    wanted = {RESOURCE: str(count)}
    return container(name, resources={"requests": wanted, "limits": wanted}, **fields)


async def test_a_plugins_devices_are_the_nodes_and_then_a_containers(node: LoneNode, root: Path) -> None:
    (root / "widget").touch()
    response = pb.ContainerAllocateResponse(
        envs={"WIDGET": "one", "OWN": "no"},
        mounts=[pb.Mount(container_path="/widget", host_path=str(root / "widget"), read_only=True)],
        devices=[pb.DeviceSpec(container_path="/dev/widget", host_path="/dev/null", permissions="rw")],
        annotations={"example.com/widget": "one"},
        cdi_devices=[pb.CDIDevice(name="example.com/widget=one")],
    )
    async with sample_plugin(root, widgets(3), response=lambda ids: response) as plugin:
        await offers(node, 3, 3)
        own = {"name": "OWN", "value": "yes"}
        await node.create(pod(asking(count=2, env=[own], command=["see", "$(WIDGET)"])))
        found = await until(node, is_ready)
        assert plugin.allocated == [["widget-0", "widget-1"]]
        config = await node.config()
    assert {**dict(config.envs), "WIDGET": "one", "OWN": "yes"} == dict(config.envs)
    assert config.command == ("see", "one")
    assert config.mounts[0] == Mount(container_path="/widget", host_path=str(root / "widget"), readonly=True)
    assert config.devices == (Device(container_path="/dev/widget", host_path="/dev/null", permissions="rw"),)
    assert config.annotations["example.com/widget"] == "one"
    assert config.cdi_devices == ("example.com/widget=one",)
    [status] = found["status"]["containerStatuses"]
    assert status["allocatedResourcesStatus"] == [
        {
            "name": RESOURCE,
            "resources": [
                {"resourceID": "widget-0", "health": "Healthy"}, {"resourceID": "widget-1", "health": "Healthy"}
            ],
        }
    ]  # fmt: skip


async def test_health_of_devices_reaches_the_node_and_the_pod(node: LoneNode, root: Path) -> None:
    async with sample_plugin(root, widgets(2)) as plugin:
        await offers(node, 2, 2)
        await node.create(pod(asking()))
        await until(node, is_ready)
        await plugin.show(device("widget-0", healthy=False), device("widget-1"))
        await offers(node, 2, 1)

        def is_unwell(found: Object) -> bool:
            [shown] = found["status"]["containerStatuses"][0]["allocatedResourcesStatus"]
            return bool(shown["resources"] == [{"resourceID": "widget-0", "health": "Unhealthy"}])

        found = await until(node, is_unwell)
        assert found["status"]["phase"] == "Running"


async def test_a_plugin_that_goes_takes_what_is_allocatable_with_it_and_later_all(node: LoneNode, root: Path) -> None:
    async with sample_plugin(root, widgets(2)):
        await offers(node, 2, 2)
    await offers(node, 2, 0)
    await node.clock.advance(301)
    await offers(node, 0, 0)
    async with sample_plugin(root, widgets(1)):
        await offers(node, 1, 1)


async def test_a_plugin_that_registers_again_takes_over(node: LoneNode, root: Path) -> None:
    async with sample_plugin(root, widgets(2), name="old.sock") as old:
        await offers(node, 2, 2)
        await node.create(pod(asking()))
        await until(node, is_ready)
        async with sample_plugin(root, widgets(4), name="new.sock") as new:
            await offers(node, 4, 4)
            await old.stop()
            await node.create(pod(asking(count=2), name="second"))
            await until(node, is_ready, "second")
            assert (old.allocated, new.allocated) == ([["widget-0"]], [["widget-1", "widget-2"]])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"version": "v1"},
            'requested API version "v1" is not supported by kubelet. Supported version is ["v1beta1"]',
        ),
        ({"resource": "widget"}, 'the ResourceName "widget" is invalid'),
        ({"resource": "kubernetes.io/widget"}, 'the ResourceName "kubernetes.io/widget" is invalid'),
    ],
)
async def test_who_may_not_register(node: LoneNode, root: Path, fields: dict[str, str], message: str) -> None:
    plugin = SamplePlugin(root, widgets(1))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await plugin.register(**fields)
    assert caught.value.details() == message


async def test_a_pod_for_which_there_are_too_few_is_refused(node: LoneNode, root: Path) -> None:
    async with sample_plugin(root, widgets(1)) as plugin:
        await offers(node, 1, 1)
        await node.create(pod(asking(count=2)))
        status = (await until(node, phase_is("Failed")))["status"]
        assert (status["reason"], status["message"]) == (
            "UnexpectedAdmissionError",
            f"Pod was rejected: Allocate failed due to requested number of devices unavailable for {RESOURCE}."
            " Requested: 2, Available: 1, which is unexpected",
        )
        plugin.refusal = "out of order"
        await node.create(pod(asking(), name="second"))
        status = (await until(node, phase_is("Failed"), "second"))["status"]
        assert status["message"] == (
            "Pod was rejected: Allocate failed due to rpc error: code = Unavailable desc = out of order, which is"
            " unexpected"
        )
        plugin.refusal = ""
        await node.create(pod(asking(), name="third"))
        await until(node, is_ready, "third")


async def test_the_plugin_is_asked_what_it_prefers_and_hears_of_every_start(node: LoneNode, root: Path) -> None:
    options = pb.DevicePluginOptions(pre_start_required=True, get_preferred_allocation_available=True)
    crashing = {"annotations": {ANNOTATION: json.dumps({"main": {"runSeconds": 1, "exitCode": 1, "crashes": 1}})}}
    async with sample_plugin(root, widgets(3), options=options, preferred=lambda free: free[::-1]) as plugin:
        await offers(node, 3, 3)
        await node.create(pod(asking(), metadata=crashing))
        await until(node, lambda found: is_ready(found) and found["status"]["containerStatuses"][0]["restartCount"])
        assert plugin.asked == [(["widget-0", "widget-1", "widget-2"], [], 1)]
        assert plugin.allocated == [["widget-2"]]
        assert plugin.started == [["widget-2"], ["widget-2"]]


async def test_a_start_that_the_plugin_refuses_is_tried_again(node: LoneNode, root: Path) -> None:
    options = pb.DevicePluginOptions(pre_start_required=True)
    async with sample_plugin(root, widgets(1), options=options) as plugin:
        await offers(node, 1, 1)

        def answer(ids: list[str]) -> pb.ContainerAllocateResponse:
            plugin.refusal = "not now"
            return pb.ContainerAllocateResponse()

        plugin.response = answer
        await node.create(pod(asking()))

        def waits(found: Object) -> bool:
            statuses = found["status"].get("containerStatuses") or [{}]
            waiting = (statuses[0].get("state") or {}).get("waiting") or {}
            return waiting.get("reason") == "CreateContainerConfigError" and "not now" in waiting.get("message", "")

        await until(node, waits)
        plugin.refusal = ""
        await until(node, is_ready)


async def test_near_to_each_other(start: Start, root: Path) -> None:
    """What the topology manager decides with the plugin's hints."""
    there = [device("a", nodes=[0]), device("b", nodes=[1]), device("c", nodes=[1])]
    policy = TopologyManagerConfig(policy="single-numa-node")
    async with start(topology_manager=policy) as node, sample_plugin(root, there) as plugin:
        await offers(node, 3, 3)
        await node.create(pod(asking(count=3)))
        assert (await until(node, phase_is("Failed")))["status"]["reason"] == "TopologyAffinityError"
        await node.create(pod(asking(count=2), name="second"))
        await until(node, is_ready, "second")
        assert plugin.allocated == [["b", "c"]]


async def test_a_restarted_kubelet_knows_the_devices_and_wants_plugins_to_register_again(
    start: Start, root: Path
) -> None:
    async with start() as node, sample_plugin(root, widgets(2), name="first.sock"):
        await offers(node, 2, 2)
        await node.create(pod(asking()))
        await until(node, is_ready)
    async with start(runtime=node.runtime) as node:
        await offers(node, 0, 0)
        assert not (root / FOLDER / "first.sock").exists()
        async with sample_plugin(root, widgets(2)) as plugin:
            await offers(node, 2, 2)
            await node.create(pod(asking(), name="second"))
            await until(node, is_ready, "second")
            assert plugin.allocated == [["widget-1"]]
        web = await node.pod()
        assert is_ready(web) and web["status"]["containerStatuses"][0]["restartCount"] == 0


async def test_after_a_reboot_a_pod_is_refused_where_its_plugin_is_not_there_yet(start: Start, root: Path) -> None:
    """As upstream: whoever made the pod makes another one."""
    async with start() as node, sample_plugin(root, widgets(1)):
        await offers(node, 1, 1)
        await node.create(pod(asking()))
        await until(node, is_ready)
    async with start() as node:
        status = (await until(node, phase_is("Failed")))["status"]
    assert status["message"] == (
        "Pod was rejected: Allocate failed due to no healthy devices present; cannot allocate unhealthy devices"
        f" {RESOURCE}, which is unexpected"
    )


async def test_the_folder_may_have_a_long_name(client: Client, clock: FakeClock, root: Path) -> None:
    """Longer than that of a socket: a plugin in a pod sees it under another one."""
    long = root / ("long" * 30)
    (root / "short").symlink_to(long)
    node = lone_node(client, clock, root_dir=long, topology=machine(), sockets=long)
    async with node as running, sample_plugin(root / "short", widgets(2)):
        await offers(running, 2, 2)


@pytest.mark.parametrize(("knows", "shown"), [(False, "0"), (True, "3")])
async def test_devices_of_a_machine_that_had_the_nodes_name_before(
    client: Client, start: Start, root: Path, knows: bool, shown: str
) -> None:
    """And what others say that a node has, where a kubelet of this machine has been at work before."""
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NAME}}
    await client.create(NODES, node)
    amounts = {RESOURCE: "3", "cpu": "7"}
    patch = {"status": {"capacity": amounts, "allocatable": amounts}}
    await client.patch(NODES, NAME, patch, subresource="status")
    if knows:
        StateFile(root / FOLDER / FILE).save({"Data": {}})
    async with start() as running:
        status = (await running.node())["status"]
    assert (status["capacity"][RESOURCE], status["allocatable"][RESOURCE]) == (shown, shown)


async def test_a_plugin_may_be_found_instead(node: LoneNode, root: Path) -> None:
    """By its socket below ``plugins_registry``, which says what it is."""
    own = SamplePlugin(root, widgets(2))
    await own.start()
    info: dict[str, Any] = {
        "type": "DevicePlugin",
        "name": RESOURCE,
        "supported_versions": ["v1beta1"],
        "endpoint": own.path,
    }
    async with Plugin(root / "plugins_registry" / "w.sock", **info).running() as found:
        await offers(node, 2, 2)
        await eventually(node, lambda: told(found))
        assert found.told == [(True, "")]
    await offers(node, 2, 0)
    await own.stop()
    versions: dict[str, Any] = {**info, "supported_versions": ["v1alpha1"]}
    async with Plugin(root / "plugins_registry" / "w.sock", **versions).running() as found:
        await eventually(node, lambda: told(found))
        why = "plugin validation failed with err: manager version, v1beta1, is not among plugin supported versions"
        assert found.told[0] == (False, f"RegisterPlugin error -- {why} [v1alpha1]")


async def told(plugin: Plugin) -> bool:
    return bool(plugin.told)


async def test_a_plugin_that_answers_wrongly_harms_itself_only(node: LoneNode, root: Path) -> None:
    async with sample_plugin(root, widgets(2)) as plugin:
        await offers(node, 2, 2)
        await plugin.show_garbage()
        await offers(node, 2, 0)
        await plugin.register()
        await offers(node, 2, 0)
        await plugin.show(*widgets(3))
        await plugin.register()
        await offers(node, 3, 3)


async def test_a_resource_whose_devices_were_never_told_is_there_with_none(node: LoneNode, root: Path) -> None:
    async with sample_plugin(root, []):
        await offers(node, 0, 0)
