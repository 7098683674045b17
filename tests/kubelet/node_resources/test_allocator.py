"""CPUs and memory of one NUMA node, as the policy wants it."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from steersman.aio.clock import FakeClock
from steersman.kubelet.cpusets import format_cpus
from steersman.kubelet.metrics import KubeletMetrics
from steersman.kubelet.node_resources.allocator import AFFINITY, ResourceAllocator, numa_layout
from steersman.kubelet.node_resources.cpu_manager import CPUManager
from steersman.kubelet.node_resources.memory_manager import MemoryManager
from steersman.kubelet.node_resources.policies import (
    CPUManagerConfig,
    MemoryManagerConfig,
    PolicyError,
    TopologyManagerConfig,
)
from steersman.kubelet.status import Verdict
from steersman.meta.objects import Object
from tests.kubelet.node_resources.guaranteed import ActivePods, container, pod
from tests.kubelet.node_resources.topologies import GI, machine

MACHINE = machine()


class Node:
    """Two NUMA nodes of four CPUs and 16 Gi each; the first CPU and a Gi of each node are reserved."""

    def __init__(self, directory: Path, config: dict[str, Any]) -> None:
        self.active = ActivePods()
        self.metrics = KubeletMetrics()
        clock = FakeClock()
        self.cpus = CPUManager(
            MACHINE.cpus, config=CPUManagerConfig(policy="static"), reserved=Fraction(1), root_dir=directory,
            active_pods=self.active, runtime=None, clock=clock, metrics=self.metrics,  # type: ignore[arg-type]
        )  # fmt: skip
        self.memory = MemoryManager(
            MACHINE,
            config=MemoryManagerConfig(policy="Static", reserved={0: {"memory": GI}, 1: {"memory": GI}}),
            reserved={"memory": 2 * GI}, root_dir=directory, active_pods=self.active, metrics=self.metrics,
        )  # fmt: skip
        settings = TopologyManagerConfig(**config)
        self.allocator = ResourceAllocator(
            (self.cpus, self.memory), config=settings, layout=numa_layout(MACHINE.nodes, settings), clock=clock,
            metrics=self.metrics,
        )  # fmt: skip

    async def start(self, obj: Object) -> Verdict | None:
        self.active.add(obj)
        verdict = await self.allocator.allocate(obj)
        if verdict is not None:
            self.active.end(obj["metadata"]["name"])
        return verdict

    def placed(self, name: str, of: str = "main") -> tuple[str, tuple[int, ...]]:
        return format_cpus(self.cpus.assignments.of(name, of) or ()), self.memory.nodes_of(name, of)


Make = Callable[..., Node]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    return lambda **config: Node(tmp_path, config)


@pytest.mark.parametrize("policy", ["best-effort", "restricted", "single-numa-node"])
async def test_what_fits_one_node_comes_from_one_node(make: Make, policy: str) -> None:
    node = make(policy=policy)
    assert await node.start(pod(container(cpu="3", memory="10Gi"))) is None
    assert await node.start(pod(container(cpu="3", memory="10Gi"), name="second")) is None
    assert (node.placed("web"), node.placed("second")) == (("1-3", (0,)), ("4-6", (1,)))


@pytest.mark.parametrize(
    ("policy", "verdict"), [("best-effort", None), ("restricted", AFFINITY), ("single-numa-node", AFFINITY)]
)
async def test_what_would_fit_one_node_if_it_were_free(make: Make, policy: str, verdict: Verdict | None) -> None:
    """Memory of one node and CPUs of both: only best-effort takes that."""
    node = make(policy=policy)
    assert await node.start(pod(container(cpu="2"), name="a")) is None
    assert await node.start(pod(container(cpu="3"), name="b")) is None
    assert await node.start(pod(container(cpu="2"))) == verdict


@pytest.mark.parametrize(
    ("policy", "verdict"), [("best-effort", None), ("restricted", None), ("single-numa-node", AFFINITY)]
)
async def test_what_is_larger_than_a_node(make: Make, policy: str, verdict: Verdict | None) -> None:
    node = make(policy=policy)
    assert await node.start(pod(container(cpu="6", memory="20Gi"))) == verdict
    if verdict is None:
        assert node.placed("web") == ("1-2,4-7", (0, 1))


async def test_without_a_policy_everybody_serves_for_himself(make: Make) -> None:
    node = make(policy="none")
    assert await node.start(pod(container(cpu="6", memory="1Gi"))) is None
    assert node.placed("web") == ("1-2,4-7", (0,))


async def test_a_pods_containers_together(make: Make) -> None:
    """By container the second would go to the other node."""
    by_pod = make(policy="single-numa-node", scope="pod")
    obj = pod(container("a", cpu="2"), container("b", cpu="2"))
    assert await by_pod.start(obj) is None
    assert (by_pod.placed("web", "a"), by_pod.placed("web", "b")) == (("4-5", (1,)), ("6-7", (1,)))
    assert await by_pod.start({**obj, "metadata": {**obj["metadata"], "uid": "2", "name": "2"}}) == AFFINITY


async def test_by_container_each_for_itself(make: Make) -> None:
    node = make(policy="single-numa-node")
    assert await node.start(pod(container("a", cpu="2"), container("b", cpu="2"))) is None
    assert (node.placed("web", "a"), node.placed("web", "b")) == (("1-2", (0,)), ("4-5", (1,)))


async def test_what_cannot_be_served_at_all_is_unexpected(make: Make) -> None:
    """Three CPUs of the node that memory comes from have been found by then."""
    node = make(policy="best-effort")
    verdict = await node.start(pod(container(cpu="8")))
    assert verdict == Verdict(
        reason="UnexpectedAdmissionError",
        message="Allocate failed due to not enough cpus available to satisfy request: requested=5, available=4, which is"
        " unexpected",
    )


async def test_admissions_are_counted(make: Make) -> None:
    node = make(policy="restricted")
    await node.start(pod(container(cpu="2"), name="a"))
    await node.start(pod(container(cpu="8")))
    read = node.metrics.registry.get_sample_value
    names = ("topology_manager_admission_requests", "topology_manager_admission_errors", "cpu_manager_pinning_requests")
    assert [read(f"kubelet_{name}_total") for name in names] == [2, 1, 1]
    assert read("kubelet_cpu_manager_exclusive_cpu_allocation_count") == 2
    assert read("kubelet_cpu_manager_shared_pool_size_millicores") == 5000


def aligned(node: Node, scope: str, boundary: str, *, failed: bool = False) -> float | None:
    name = f"kubelet_container_aligned_compute_resources_{'failure_' if failed else ''}count"
    return node.metrics.registry.get_sample_value(name, {"scope": scope, "boundary": boundary})


@pytest.mark.parametrize(("scope", "other"), [("container", "pod"), ("pod", "container")])
async def test_what_one_numa_node_serves_is_counted_by_scope(make: Make, scope: str, other: str) -> None:
    node = make(policy="single-numa-node", scope=scope)
    await node.start(pod(container(cpu="2"), name="a"))
    await node.start(pod(container(cpu="8")))
    assert (aligned(node, scope, "numa_node"), aligned(node, scope, "numa_node", failed=True)) == (1, 1)
    assert (aligned(node, other, "numa_node"), aligned(node, other, "numa_node", failed=True)) == (0, 0)


async def test_a_policy_that_promises_no_alignment_counts_none(make: Make) -> None:
    node = make(policy="restricted")
    await node.start(pod(container(cpu="2"), name="a"))
    await node.start(pod(container(cpu="8")))
    assert (aligned(node, "container", "numa_node"), aligned(node, "container", "numa_node", failed=True)) == (0, 0)


def test_machines_with_many_nodes_are_refused() -> None:
    nodes = machine(nodes=9).nodes
    with pytest.raises(PolicyError, match="unsupported on machines with more than 8 NUMA Nodes"):
        numa_layout(nodes, TopologyManagerConfig(policy="restricted"))
    assert numa_layout(nodes, TopologyManagerConfig(policy="restricted", max_numa_nodes=9)).nodes == tuple(range(9))
    close = numa_layout(MACHINE.nodes, TopologyManagerConfig(policy="restricted", prefer_closest=True))
    assert close.distances == {0: (10, 21), 1: (21, 10)}
