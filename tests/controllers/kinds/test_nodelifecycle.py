"""Nodes that fall silent, and what becomes of their pods."""

from __future__ import annotations

from steersman.meta import objects, times
from steersman.meta.objects import Object
from steersman.meta.resources import NODES, PODS
from tests.controllers.builders import pod
from tests.controllers.conftest import StartWorld
from tests.controllers.world import World

LIFECYCLE, EVICTION = "node-lifecycle-controller", "taint-eviction-controller"
UNREACHABLE = "node.kubernetes.io/unreachable"


async def heartbeat(world: World, *names: str, ready: str = "True") -> None:
    now = times.format_time(world.clock.now())
    for name in names:
        condition = {"type": "Ready", "status": ready, "lastHeartbeatTime": now, "lastTransitionTime": now}
        await world.set_status(NODES, await world.get(NODES, name), conditions=[condition])
    await world.settle()


async def live(world: World, seconds: float, *alive: str) -> None:
    """Let time pass while some nodes report."""
    passed = 0.0
    while passed < seconds:
        await world.advance(10)
        passed += 10
        await heartbeat(world, *alive)


async def taints(world: World, name: str) -> set[tuple[str, str]]:
    spec = (await world.get(NODES, name)).get("spec") or {}
    return {(taint["key"], taint["effect"]) for taint in spec.get("taints") or ()}


async def test_a_silent_node_becomes_unknown_and_its_pods_not_ready(world_of: StartWorld) -> None:
    world = await world_of(LIFECYCLE)
    await world.add_nodes("n1", "n2", "n3")
    await world.create(PODS, pod())
    await world.run_pods(node="n1")
    await live(world, 60, "n2", "n3")
    ready = objects.condition(await world.get(NODES, "n1"), "Ready")
    assert ready is not None
    assert (ready["status"], ready["reason"]) == ("Unknown", "NodeStatusUnknown")
    assert ready["message"] == "Kubelet stopped posting node status."
    assert await taints(world, "n1") == {(UNREACHABLE, "NoSchedule"), (UNREACHABLE, "NoExecute")}
    assert not objects.is_true(await world.get(PODS, "web-1"), "Ready")
    assert await taints(world, "n2") == set()
    await heartbeat(world, "n1")
    assert await taints(world, "n1") == set()


async def test_a_renewed_lease_is_a_sign_of_life(world_of: StartWorld) -> None:
    from steersman.meta.resources import LEASES, NAMESPACES

    world = await world_of(LIFECYCLE)
    if not await world.exists(NAMESPACES, "kube-node-lease"):
        await world.create(
            NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-node-lease"}}
        )
    await world.add_nodes("n1")
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "n1", "namespace": "kube-node-lease"},
        "spec": {"holderIdentity": "n1", "renewTime": times.format_micro_time(world.clock.now())},
    }
    await world.create(LEASES, lease)
    for _ in range(12):
        await world.advance(10)
        renewed = {"spec": {"renewTime": times.format_micro_time(world.clock.now())}}
        await world.patch(LEASES, "n1", renewed, "kube-node-lease")
    assert objects.is_true(await world.get(NODES, "n1"), "Ready")
    await world.advance(60)
    assert not objects.is_true(await world.get(NODES, "n1"), "Ready")


async def test_conditions_become_taints(world_of: StartWorld) -> None:
    world = await world_of(LIFECYCLE)
    await world.add_nodes("n1", "n2", "n3")
    node = await world.get(NODES, "n1")
    now = times.format_time(world.clock.now())
    conditions = [
        {"type": "Ready", "status": "True", "lastHeartbeatTime": now, "lastTransitionTime": now},
        {"type": "DiskPressure", "status": "True", "lastHeartbeatTime": now, "lastTransitionTime": now},
    ]
    await world.set_status(NODES, node, conditions=conditions)
    await world.patch(NODES, "n1", {"spec": {"unschedulable": True}})
    assert await taints(world, "n1") == {
        ("node.kubernetes.io/disk-pressure", "NoSchedule"),
        ("node.kubernetes.io/unschedulable", "NoSchedule"),
    }
    await world.patch(NODES, "n1", {"spec": {"unschedulable": None}})
    await heartbeat(world, "n1")
    assert await taints(world, "n1") == set()


async def test_nodes_of_a_zone_are_evicted_one_after_another(world_of: StartWorld) -> None:
    world = await world_of(LIFECYCLE)
    names = [f"n{number}" for number in range(8)]
    await world.add_nodes(*names)
    alive = names[3:]
    await live(world, 50, *alive)
    await world.advance(0.1)
    tainted = [name for name in names if (UNREACHABLE, "NoExecute") in await taints(world, name)]
    assert len(tainted) == 1
    await live(world, 20, *alive)
    tainted = [name for name in names if (UNREACHABLE, "NoExecute") in await taints(world, name)]
    assert len(tainted) == 3


async def test_when_every_node_is_silent_nothing_is_evicted(world_of: StartWorld) -> None:
    world = await world_of(LIFECYCLE)
    await world.add_nodes("n1", "n2")
    await live(world, 60)
    assert await taints(world, "n1") == {(UNREACHABLE, "NoSchedule")}
    await heartbeat(world, "n1", "n2")
    assert await taints(world, "n1") == set()


async def taint(world: World, name: str, *found: Object) -> None:
    await world.patch(NODES, name, {"spec": {"taints": list(found)}})


async def test_pods_leave_a_tainted_node_as_their_tolerations_say(world_of: StartWorld) -> None:
    world = await world_of(EVICTION)
    await world.add_nodes("n1")
    tolerated = {"key": "a", "operator": "Exists", "effect": "NoExecute"}
    for name, tolerations in (
        ("never", []),
        ("minute", [{**tolerated, "tolerationSeconds": 60}]),
        ("always", [tolerated]),
    ):
        await world.create(PODS, pod(name, spec={"tolerations": tolerations}))
    await world.run_pods(node="n1")
    await taint(world, "n1", {"key": "a", "effect": "NoExecute"})
    never = await world.get(PODS, "never")
    assert objects.is_deleting(never)
    disruption = objects.condition(never, "DisruptionTarget")
    assert disruption is not None and disruption["reason"] == "DeletionByTaintManager"
    await world.reap_pods()
    await world.advance(59)
    assert not objects.is_deleting(await world.get(PODS, "minute"))
    await world.advance(1)
    assert objects.is_deleting(await world.get(PODS, "minute"))
    assert not objects.is_deleting(await world.get(PODS, "always"))


async def test_a_pod_stays_when_the_taint_goes_in_time(world_of: StartWorld) -> None:
    world = await world_of(EVICTION)
    await world.add_nodes("n1")
    toleration = {"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60}
    await world.create(PODS, pod(spec={"tolerations": [toleration]}))
    await world.run_pods(node="n1")
    await taint(world, "n1", {"key": "a", "effect": "NoExecute"})
    await world.advance(30)
    await taint(world, "n1")
    await world.advance(60)
    assert not objects.is_deleting(await world.get(PODS, "web-1"))


async def test_pods_of_a_node_that_is_gone_are_collected_after_quarantine(world_of: StartWorld) -> None:
    world = await world_of("pod-garbage-collector-controller")
    await world.add_nodes("n1", "n2")
    await world.create(PODS, pod())
    await world.run_pods(node="n1")
    await world.client.delete(NODES, "n1")
    await world.advance(40)
    assert await world.exists(PODS, "web-1")
    await world.advance(40)
    assert not await world.exists(PODS, "web-1")


async def test_each_node_gets_its_own_block_and_gives_it_back(world_of: StartWorld) -> None:
    world = await world_of(
        "node-ipam-controller", allocate_node_cidrs=True, cluster_cidrs=("10.8.0.0/23",), node_cidr_mask_size_ipv4=24
    )
    await world.add_nodes("n1", "n2", "n3")
    await world.settle()
    blocks = [(await world.get(NODES, name)).get("spec", {}).get("podCIDR") for name in ("n1", "n2", "n3")]
    assert blocks == ["10.8.0.0/24", "10.8.1.0/24", None]
    await world.client.delete(NODES, "n1")
    await world.advance(31)
    assert (await world.get(NODES, "n3"))["spec"]["podCIDRs"] == ["10.8.0.0/24"]
