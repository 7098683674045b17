"""What containers get of their own, on this machine."""

from __future__ import annotations

from pathlib import Path

import grpc.aio
import pytest
from msgspec.structs import replace

from steersman.kubelet.cgroups import CgroupFS
from steersman.kubelet.component import Kubelet
from steersman.kubelet.cpusets import format_cpus
from steersman.kubelet.device_plugins.v1beta1 import deviceplugin_pb2 as pb
from steersman.kubelet.linux_resources import ResourcePolicy
from steersman.kubelet.machine_facts import machine_facts
from steersman.kubelet.node_resources.machine_topology import read_topology
from steersman.kubelet.node_resources.policies import CPUManagerConfig
from steersman.kubelet.pod_resources.server import FOLDER, SOCKET
from steersman.kubelet.pod_resources.v1 import podresources_pb2 as podresources
from steersman.kubelet.reservations import Reservations
from steersman.meta.objects import Object
from tests.kubelet.device_plugins.sample_plugin import RESOURCE, sample_plugin, widgets
from tests.kubelet.real.conftest import RealNode, is_ready, shell, succeeded

pytestmark = pytest.mark.real

POLICY = ResourcePolicy(memory_capacity_bytes=1 << 34)
TELL_CPUS = "while true; do grep Cpus_allowed_list /proc/self/status; sleep 0.2; done"


def cpus_of(node: RealNode, pod: Object) -> str:
    """Those that the container last said it may run on."""
    said = node.log_of(pod, "main").splitlines()
    return said[-1].split()[1] if said else ""


@pytest.fixture
def cpus(node: RealNode) -> list[int]:
    """This machine's; the kubelets of ``node`` give all but the first of them away."""
    found = sorted(read_topology(memory_bytes=machine_facts(node.directory).memory_bytes, hugepages={}).cpus.all)
    if len(found) < 2:
        pytest.skip("needs two CPUs")
    node.config = replace(
        node.config,
        cpu_manager=CPUManagerConfig(policy="static", reconcile_s=0.5),
        reservations=Reservations(kube={"cpu": "500m"}),
    )
    return found


OWN_CPU = {"limits": {"cpu": "1", "memory": "32Mi"}}


async def test_a_guaranteed_pod_has_a_cpu_of_its_own(node: RealNode, cpus: list[int]) -> None:
    async with node.kubelet():
        await node.create("shared", shell(TELL_CPUS))
        shared = await node.until("shared", is_ready)
        await node.wait(lambda: cpus_of(node, shared) == format_cpus(cpus))
        await node.create("own", shell(TELL_CPUS, resources=OWN_CPU))
        own = await node.until("own", is_ready)
        await node.wait(lambda: cpus_of(node, own) == str(cpus[1]))
        await node.wait(lambda: cpus_of(node, shared) == format_cpus({*cpus} - {cpus[1]}))
        assert CgroupFS(root=node.config.cgroup_root).current(own, POLICY).cpu_quota <= 0
        assert await told_of_cpus(node) == {"shared": [], "own": [cpus[1]]}
        await node.delete("own")
        await node.wait(lambda: cpus_of(node, shared) == format_cpus(cpus))
        await node.delete("shared")


async def test_the_next_kubelet_leaves_it_its_cpu(node: RealNode, cpus: list[int]) -> None:
    async with node.kubelet():
        await node.create("own", shell(TELL_CPUS, resources=OWN_CPU))
        own = await node.until("own", is_ready)
    async with node.kubelet():
        await node.create("shared", shell(TELL_CPUS))
        shared = await node.until("shared", is_ready)
        await node.wait(lambda: cpus_of(node, shared) == format_cpus({*cpus} - {cpus[1]}))
        assert await told_of_cpus(node) == {"shared": [], "own": [cpus[1]]}
        now = await node.pod("own")
        assert (
            now["status"]["containerStatuses"][0]["containerID"] == own["status"]["containerStatuses"][0]["containerID"]
        )
        assert cpus_of(node, own) == str(cpus[1])
        await node.delete("own", "shared")


async def told_of_cpus(node: RealNode) -> dict[str, list[int]]:
    """By pod, what the pod resources API tells."""
    path = node.config.root_dir / FOLDER / SOCKET
    async with grpc.aio.insecure_channel(f"unix:{path}", options=(("grpc.default_authority", "localhost"),)) as channel:
        ask = channel.unary_unary(
            "/v1.PodResourcesLister/List",
            request_serializer=podresources.ListPodResourcesRequest.SerializeToString,
            response_deserializer=podresources.ListPodResourcesResponse.FromString,
        )
        answer = await ask(podresources.ListPodResourcesRequest(), timeout=10, wait_for_ready=True)
    return {
        pod.name: [cpu for container in pod.containers for cpu in container.cpu_ids] for pod in answer.pod_resources
    }


async def test_a_container_sees_what_its_plugin_gives_it(node: RealNode, tmp_path: Path) -> None:
    """Its environment, a mount and a device; and a container that has none does not."""
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "version").write_text("7")
    response = pb.ContainerAllocateResponse(
        envs={"WIDGET": "one"},
        mounts=[pb.Mount(container_path="/library", host_path=str(tmp_path / "library"), read_only=True)],
        devices=[pb.DeviceSpec(container_path="/dev/widget", host_path="/dev/null", permissions="rw")],
    )
    script = "echo $WIDGET; cat /library/version; echo; echo x > /dev/widget && [ -c /dev/widget ] && echo device"
    plugin = sample_plugin(node.config.root_dir, widgets(1), name="w.sock", response=lambda ids: response)
    async with node.kubelet() as kubelet, plugin:
        await node.wait(lambda: allocatable(kubelet) == "1")
        await node.create("web", shell(script, resources={"limits": {RESOURCE: "1"}}), restartPolicy="Never")
        web = await node.until("web", succeeded)
        assert node.log_of(web, "main").split() == ["one", "7", "device"]
        await node.delete("web")
        await node.create("bare", shell("ls -d /dev/widget /library"), restartPolicy="Never")
        await node.until("bare", lambda pod: pod["status"].get("phase") == "Failed")
        await node.delete("bare")


def allocatable(kubelet: Kubelet) -> str:
    """Widgets of the node."""
    return str((((kubelet.node or {}).get("status") or {}).get("allocatable") or {}).get(RESOURCE, "0"))
