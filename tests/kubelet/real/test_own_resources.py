"""What containers get of their own, on this machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from steersman.kubelet.component import Kubelet
from steersman.kubelet.cpusets import format_cpus
from steersman.kubelet.device_plugins.v1beta1 import deviceplugin_pb2 as pb
from steersman.kubelet.machine_facts import machine_facts
from steersman.kubelet.node_resources.machine_topology import read_topology
from steersman.kubelet.node_resources.policies import CPUManagerConfig
from steersman.kubelet.reservations import Reservations
from steersman.meta.objects import Object
from tests.kubelet.device_plugins.sample_plugin import RESOURCE, sample_plugin, widgets
from tests.kubelet.real.conftest import RealNode, is_ready, shell, succeeded

pytestmark = pytest.mark.real

TELL_CPUS = "while true; do grep Cpus_allowed_list /proc/self/status; sleep 0.2; done"


def cpus_of(node: RealNode, pod: Object) -> str:
    """Those that the container last said it may run on."""
    said = node.log_of(pod, "main").splitlines()
    return said[-1].split()[1] if said else ""


async def test_a_guaranteed_pod_has_a_cpu_of_its_own(node: RealNode) -> None:
    cpus = sorted(read_topology(memory_bytes=machine_facts(node.directory).memory_bytes, hugepages={}).cpus.all)
    if len(cpus) < 2:
        pytest.skip("needs two CPUs")
    node.config = replace(
        node.config,
        cpu_manager=CPUManagerConfig(policy="static", reconcile_s=0.5),
        reservations=Reservations(kube={"cpu": "500m"}),
    )
    wanted = {"cpu": "1", "memory": "32Mi"}
    async with node.kubelet():
        await node.create("shared", shell(TELL_CPUS))
        shared = await node.until("shared", is_ready)
        await node.wait(lambda: cpus_of(node, shared) == format_cpus(cpus))
        await node.create("own", shell(TELL_CPUS, resources={"requests": wanted, "limits": wanted}))
        own = await node.until("own", is_ready)
        await node.wait(lambda: cpus_of(node, own) == str(cpus[1]))
        await node.wait(lambda: cpus_of(node, shared) == format_cpus({*cpus} - {cpus[1]}))
        await node.delete("own")
        await node.wait(lambda: cpus_of(node, shared) == format_cpus(cpus))
        await node.delete("shared")


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
