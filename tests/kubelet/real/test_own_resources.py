"""What containers get of their own, on this machine."""

from __future__ import annotations

from dataclasses import replace

import pytest

from steersman.kubelet.cpusets import format_cpus
from steersman.kubelet.machine_facts import machine_facts
from steersman.kubelet.node_resources.machine_topology import read_topology
from steersman.kubelet.node_resources.policies import CPUManagerConfig
from steersman.kubelet.reservations import Reservations
from steersman.meta.objects import Object
from tests.kubelet.real.conftest import RealNode, is_ready, shell

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
