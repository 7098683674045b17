"""Memory of as few NUMA nodes as possible."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from steersman.kubelet.metrics import KubeletMetrics
from steersman.kubelet.node_resources.machine_topology import MachineTopology
from steersman.kubelet.node_resources.memory_manager import MemoryManager
from steersman.kubelet.node_resources.memory_state import Block
from steersman.kubelet.node_resources.policies import MemoryManagerConfig, PolicyError
from steersman.kubelet.node_resources.provider import AllocationRefused
from steersman.kubelet.node_resources.state_file import StateError
from steersman.kubelet.podspec import app_containers
from tests.kubelet.node_resources.guaranteed import ActivePods, container, near, pod, serve
from tests.kubelet.node_resources.topologies import GI, machine

MI = 1024**2
TWO = machine()
"""Of 16 Gi each."""
HUGE = machine(hugepages={2 * MI: 1024})


@pytest.fixture
def active() -> ActivePods:
    return ActivePods()


Make = Callable[..., MemoryManager]


@pytest.fixture
def make(tmp_path: Path, active: ActivePods) -> Make:
    def made(topology: MachineTopology = TWO, reserved: dict[int, int] | None = None) -> MemoryManager:
        by_node = {0: GI, 1: GI} if reserved is None else reserved
        config = MemoryManagerConfig(
            policy="Static", reserved={node: {"memory": size} for node, size in by_node.items()}
        )
        return MemoryManager(
            topology, config=config, reserved={"memory": 2 * GI}, root_dir=tmp_path, active_pods=active,
            metrics=KubeletMetrics(),
        )  # fmt: skip

    return made


def block(size: int, *nodes: int, resource: str = "memory") -> Block:
    return Block(nodes=nodes, resource=resource, size=size)


async def test_a_container_gets_memory_of_one_node_where_it_can(make: Make, active: ActivePods) -> None:
    manager = make()
    await serve(manager, active, pod(container(memory="4Gi")))
    assert manager.blocks_of("web", "main") == (block(4 * GI, 0),)
    await serve(manager, active, pod(container(memory="12Gi"), name="other"))
    assert manager.nodes_of("other", "main") == (1,)


async def test_a_large_one_gets_it_of_both_which_then_serve_nothing_smaller(make: Make, active: ActivePods) -> None:
    manager = make()
    await serve(manager, active, pod(container(memory="20Gi")))
    assert manager.nodes_of("web", "main") == (0, 1)
    with pytest.raises(AllocationRefused, match="failed to find the extended preferred hint"):
        await serve(manager, active, pod(container(memory="1Gi"), name="small"), near(0))
    active.known = {}
    await serve(manager, active, pod(container(memory="1Gi"), name="small"), near(0))
    assert manager.nodes_of("small", "main") == (0,)


async def test_a_node_that_serves_alone_is_in_no_group(make: Make, active: ActivePods) -> None:
    manager = make()
    await serve(manager, active, pod(container(memory="1Gi"), name="small"))
    obj = pod(container(memory="20Gi"))
    assert manager.hints(obj, next(iter(app_containers(obj)))) == {}
    with pytest.raises(AllocationRefused, match="no NUMA nodes with enough memory is available, which is unexpected"):
        await serve(manager, active, obj)


async def test_hints_prefer_as_few_nodes_as_the_machine_allows(make: Make, active: ActivePods) -> None:
    manager = make(HUGE)
    obj = pod(container(memory="2Gi", hugepages_2Mi="1Gi"))
    main = next(iter(app_containers(obj)))
    both = [near(0), near(1), near(0, 1, preferred=False)]
    assert manager.hints(obj, main) == {"memory": both, "hugepages-2Mi": both}
    await serve(manager, active, pod(container(hugepages_2Mi="2Gi"), name="first"), near(0))
    assert manager.hints(obj, main) == {"memory": [near(1)], "hugepages-2Mi": [near(1)]}


async def test_huge_pages_are_no_ordinary_memory(make: Make) -> None:
    assert make(HUGE).allocatable == [
        block(2 * GI, 0, resource="hugepages-2Mi"), block(13 * GI, 0),
        block(2 * GI, 1, resource="hugepages-2Mi"), block(13 * GI, 1),
    ]  # fmt: skip


async def test_what_was_chosen_is_extended_where_it_is_too_little(make: Make, active: ActivePods) -> None:
    manager = make()
    await serve(manager, active, pod(container(memory="20Gi")), near(1, preferred=False))
    assert manager.nodes_of("web", "main") == (0, 1)


async def test_app_containers_use_what_init_containers_had(make: Make, active: ActivePods) -> None:
    manager = make()
    obj = pod(
        container("a", memory="6Gi"), init=(container("i", memory="10Gi"), container("s", memory="1Gi", sidecar=True))
    )
    await serve(manager, active, obj)
    assert manager.blocks_of("web", "a") == (block(6 * GI, 0),)
    assert sum(item.size for name in ("a", "i", "s") for item in manager.blocks_of("web", name)) == 10 * GI
    make()
    late = pod(container(memory="5Gi"), name="late")
    await serve(manager, active, late)
    assert manager.nodes_of("late", "main") == (0,)


async def test_a_restarted_kubelet_gives_the_same_answer(make: Make, active: ActivePods) -> None:
    obj = await serve(make(), active, pod(container(memory="4Gi")), near(1))
    again = make()
    main = next(iter(app_containers(obj)))
    assert again.hints(obj, main) == {"memory": (near(1),)} == again.pod_hints(obj)
    await again.allocate(obj, main, near(1))
    assert again.nodes_of("web", "main") == (1,)


async def test_where_a_group_gave_from_is_remembered(make: Make, active: ActivePods) -> None:
    manager = make()
    for name, size in (("a", "18Gi"), ("b", "8Gi")):
        await serve(manager, active, pod(container(memory=size), name=name), near(0, 1))
    active.end("b")
    await serve(manager, active, pod(container(memory="5Gi"), name="c"), near(0, 1))
    make()


@pytest.mark.parametrize("qos", ["Burstable", "BestEffort"])
async def test_other_pods_are_bound_to_no_node(make: Make, active: ActivePods, qos: str) -> None:
    manager = make()
    resources = {"requests": {"memory": "1Gi"}} if qos == "Burstable" else {}
    obj = pod({"name": "main", "resources": resources})
    assert not manager.wants(obj)
    await serve(manager, active, obj)
    assert manager.nodes_of("web", "main") == ()


async def test_the_state_file_has_upstreams_form(make: Make, active: ActivePods, tmp_path: Path) -> None:
    await serve(make(), active, pod(container(memory="4Gi")))
    document = json.loads((tmp_path / "memory_manager_state").read_text())
    assert document["policyName"] == "Static"
    assert document["entries"] == {"web": {"main": [{"numaAffinity": [0], "type": "memory", "size": 4 * GI}]}}
    assert document["machineState"]["0"] == {
        "numberOfAssignments": 1,
        "memoryMap": {
            "memory": {
                "total": 16 * GI, "systemReserved": GI, "allocatable": 15 * GI, "reserved": 4 * GI, "free": 11 * GI
            }
        },
        "cells": [0],
    }  # fmt: skip


async def test_another_machine_or_reservation_stops_the_kubelet(make: Make, active: ActivePods) -> None:
    await serve(make(), active, pod())
    with pytest.raises(StateError, match="the expected machine state is different from the real one"):
        make(machine(memory_bytes=8 * GI))
    with pytest.raises(StateError, match="the expected machine state is different from the real one"):
        make(reserved={0: 2 * GI})


@pytest.mark.parametrize(
    ("reserved", "message"),
    [
        ({}, "you should specify the system reserved memory"),
        ({0: GI}, 'the total amount "1073741824" of type "memory" is not equal to the value "2147483648"'),
        ({0: GI, 7: GI}, "references a NUMA node 7 that does not exist"),
    ],
)
def test_reservations_have_to_add_up(make: Make, reserved: dict[int, int], message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        make(reserved=reserved)
