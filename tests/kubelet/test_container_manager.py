"""A kubelet whose pods get CPUs and memory of their own, on a machine of two NUMA nodes."""

from __future__ import annotations

import json
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from steersman.aio.clock import FakeClock
from steersman.client.api import MERGE_PATCH, Client
from steersman.kubelet.node_resources.machine_topology import MachineTopology
from steersman.kubelet.node_resources.policies import (
    CPUManagerConfig,
    MemoryManagerConfig,
    PolicyError,
    TopologyManagerConfig,
    TopologyPolicy,
)
from steersman.kubelet.node_resources.state_file import StateError
from steersman.kubelet.reservations import Reservations
from steersman.kubelet.runtimes.behaviour import ANNOTATION
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import PODS
from tests.kubelet.conftest import is_ready, phase_is
from tests.kubelet.lone_node import LoneNode, lone_node
from tests.kubelet.node_resources.topologies import GI, machine
from tests.kubelet.pods import container, pod

MI = 1024**2
RECONCILE_S = 10.0


def config(topology: TopologyPolicy = "none") -> dict[str, Any]:
    """CPU 0 and 100 Mi of the first NUMA node (what hard eviction keeps free) are reserved."""
    return {
        "cpu_manager": CPUManagerConfig(policy="static", reconcile_s=RECONCILE_S),
        "memory_manager": MemoryManagerConfig(policy="Static", reserved={0: {"memory": 100 * MI}}),
        "topology_manager": TopologyManagerConfig(policy=topology),
        "reservations": Reservations(kube={"cpu": "1"}),
    }


def asking(name: str = "main", *, cpu: str = "2", memory: str = "1Gi", **fields: Any) -> Object:
    wanted = {"cpu": cpu, "memory": memory}
    return container(name, resources={"requests": wanted, "limits": wanted}, **fields)


@pytest.fixture
def start(client: Client, clock: FakeClock, tmp_path: Path) -> Any:
    def begin(
        topology: TopologyPolicy = "none", on: MachineTopology | None = None, **fields: Any
    ) -> AbstractAsyncContextManager[LoneNode]:
        settings = {**config(topology), **fields}
        return lone_node(client, clock, root_dir=tmp_path, config=settings, topology=on or machine())

    return begin


async def test_a_guaranteed_pod_has_its_cpus_and_the_others_leave_them(start: Any) -> None:
    async with start() as node:
        await node.create(pod(name="shared"))
        await node.until(is_ready, "shared")
        assert (await node.resources("shared")).cpuset_cpus == "0-7"
        await node.create(pod(asking()))
        await node.until(is_ready)
        own = await node.resources()
        assert (own.cpuset_cpus, own.cpuset_mems) == ("1-2", "0")
        await node.clock.advance(RECONCILE_S)
        assert (await node.resources("shared")).cpuset_cpus == "0,3-7"
        await node.create(pod(name="late"))
        await node.until(is_ready, "late")
        assert (await node.resources("late")).cpuset_cpus == "0,3-7"


async def test_cpus_of_a_pod_that_ended_are_shared_again(start: Any) -> None:
    async with start() as node:
        await node.create(pod(name="shared"))
        await node.create(pod(asking()))
        await node.until(is_ready)
        await node.client.delete(PODS, "web", namespace="default", grace_period_s=0)
        await node.clock.advance(2 * RECONCILE_S)
        assert (await node.resources("shared")).cpuset_cpus == "0-7"


async def test_cpus_of_its_own_have_no_quota(start: Any) -> None:
    async with start() as node:
        await node.create(pod(asking(), asking("part", cpu="500m")))
        await node.until(is_ready)
        quotas = [(await node.resources(container=name)).cpu_quota for name in ("main", "part")]
        assert quotas == [0, 50_000]
        limits = [entry["resources"]["limits"]["cpu"] for entry in (await node.pod())["status"]["containerStatuses"]]
        assert limits == ["2", "500m"]


async def test_the_quota_may_be_kept(start: Any) -> None:
    async with start(cpu_manager=CPUManagerConfig(policy="static", lifts_quota=False)) as node:
        await node.create(pod(asking()))
        await node.until(is_ready)
        assert (await node.resources()).cpu_quota == 200_000


async def test_an_init_containers_cpus_are_used_again_a_sidecars_are_not(start: Any) -> None:
    behaviour = {"annotations": {ANNOTATION: json.dumps({"first": {"runSeconds": 1}})}}
    init = [asking("sidecar", cpu="1", restartPolicy="Always"), asking("first", cpu="2")]
    async with start() as node:
        await node.create(pod(asking(cpu="2"), init=init, metadata=behaviour))
        await node.until(is_ready)
        cpus = [(await node.resources(container=name)).cpuset_cpus for name in ("sidecar", "first", "main")]
    assert cpus == ["1", "2-3", "2-3"]


async def test_what_the_policy_does_not_admit_is_refused(start: Any) -> None:
    async with start("single-numa-node") as node:
        await node.create(pod(asking(cpu="5")))
        found = await node.until(phase_is("Failed"))
    status = found["status"]
    assert status["reason"] == "TopologyAffinityError"
    assert status["message"] == "Pod was rejected: Resources cannot be allocated with Topology locality"


async def test_what_cannot_be_had_is_unexpected(start: Any) -> None:
    async with start() as node:
        await node.create(pod(asking(cpu="8")))
        status = (await node.until(phase_is("Failed")))["status"]
        assert status["reason"] == "UnexpectedAdmissionError"
        assert status["message"] == (
            "Pod was rejected: Allocate failed due to not enough cpus available to satisfy request: requested=8,"
            " available=7, which is unexpected"
        )
        await node.create(pod(asking(cpu="7"), name="next"))
        await node.until(is_ready, "next")


async def test_the_next_kubelet_finds_what_was_given(client: Client, start: Any) -> None:
    async with start() as node:
        for name in ("first", "web"):
            await node.create(pod(asking(), name=name))
            await node.until(is_ready, name)
        before = await node.container_id()
    await client.delete(PODS, "first", namespace="default", grace_period_s=0)
    async with start() as node:
        await node.until(lambda found: before not in found["status"]["containerStatuses"][0].get("containerID", before))
        assert (await node.resources()).cpuset_cpus == "3-4"


async def test_a_guaranteed_pod_is_not_resized(start: Any) -> None:
    async with start() as node:
        await node.create(pod(asking()))
        await node.until(is_ready)
        wanted = {"cpu": "3", "memory": "1Gi"}
        resized = {"spec": {"containers": [asking()]}}
        resized["spec"]["containers"][0]["resources"] = {"requests": wanted, "limits": wanted}
        await node.client.patch(PODS, "web", resized, namespace="default", subresource="resize", patch_type=MERGE_PATCH)
        found = await node.until(lambda found: objects.is_true(found, "PodResizePending"))
        [condition] = [entry for entry in found["status"]["conditions"] if entry["type"] == "PodResizePending"]
        assert (condition["reason"], condition["message"]) == (
            "Infeasible", 'Resize is infeasible for Guaranteed Pods alongside CPU Manager policy "static"'
        )  # fmt: skip


async def test_another_policy_needs_the_old_ones_file_removed(start: Any) -> None:
    async with start():
        pass
    with pytest.raises(StateError, match='configured policy "none" differs from state checkpoint policy "static"'):
        async with start(cpu_manager=CPUManagerConfig()):
            pass
    with pytest.raises(StateError, match='configured policy "None" differs from state checkpoint policy "Static"'):
        async with start(memory_manager=MemoryManagerConfig()):
            pass


async def test_reservations_have_to_be_said(start: Any) -> None:
    with pytest.raises(PolicyError, match=r"requires systemreserved\.cpu \+ kubereserved\.cpu to be greater than zero"):
        async with start(reservations=Reservations()):
            pass
    short = MemoryManagerConfig(policy="Static", reserved={0: {"memory": GI}})
    with pytest.raises(PolicyError, match='is not equal to the value "104857600" determined by Node Allocatable'):
        async with start(memory_manager=short):
            pass


async def test_sockets_are_not_aligned_to_where_a_node_has_to_be(start: Any) -> None:
    aligned = CPUManagerConfig(policy="static", options=frozenset(("align-by-socket",)))
    with pytest.raises(PolicyError, match="incompatible with CPUManager align-by-socket policy option"):
        async with start("single-numa-node", cpu_manager=aligned):
            pass


async def test_a_node_without_a_machine_follows_no_policy(client: Client, clock: FakeClock, tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="cpuManagerPolicy static"):
        async with lone_node(client, clock, root_dir=tmp_path, config=config()):
            pass
