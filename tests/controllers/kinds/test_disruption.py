"""PodDisruptionBudgets."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.controllers.kinds.disruption import Expected, plan
from steersman.meta import objects, times
from steersman.meta.errors import TooManyRequests
from steersman.meta.objects import Object
from steersman.meta.resources import EVENTS, PODDISRUPTIONBUDGETS, PODS, REPLICASETS
from tests.controllers.builders import pod, workload
from tests.controllers.conftest import StartWorld
from tests.controllers.world import World

NAME = "disruption-controller"


def budget(**spec: Any) -> Object:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "pdb", "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, **spec},
    }


async def test_counts_pods_of_their_controllers(world_of: StartWorld) -> None:
    world = await world_of(NAME, "replicaset-controller")
    await world.add_nodes("n1")
    await world.create(REPLICASETS, workload(REPLICASETS, replicas=4))
    await world.create(PODDISRUPTIONBUDGETS, budget(maxUnavailable="25%"))
    status = (await world.get(PODDISRUPTIONBUDGETS, "pdb"))["status"]
    assert (status["expectedPods"], status["desiredHealthy"], status["disruptionsAllowed"]) == (4, 3, 0)
    assert status["conditions"][0]["reason"] == "InsufficientPods"
    await world.run_pods(node="n1")
    status = (await world.get(PODDISRUPTIONBUDGETS, "pdb"))["status"]
    assert (status["currentHealthy"], status["disruptionsAllowed"]) == (4, 1)
    assert status["conditions"][0]["reason"] == "SufficientPods"
    await world.patch(REPLICASETS, "web", {"spec": {"replicas": 3}})
    assert (await world.get(PODDISRUPTIONBUDGETS, "pdb"))["status"]["disruptionsAllowed"] == 1


async def test_allows_nothing_where_it_cannot_count(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    stranger = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "gone", "uid": "x", "controller": True}
    await world.create(PODS, pod(metadata={"ownerReferences": [stranger]}))
    await world.create(PODDISRUPTIONBUDGETS, budget(maxUnavailable=1))
    status = (await world.get(PODDISRUPTIONBUDGETS, "pdb"))["status"]
    assert status["disruptionsAllowed"] == 0
    assert status["conditions"][0]["reason"] == "SyncFailed"
    await world.client.delete(PODDISRUPTIONBUDGETS, "pdb", namespace="default")
    await world.advance(2000)


async def test_a_disruption_that_came_to_nothing_is_taken_back(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    created = await world.create(PODS, pod())
    entry = {
        "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
        "lastTransitionTime": times.format_time(world.clock.now()),
    }  # fmt: skip
    await world.set_status(PODS, created, conditions=[entry])
    await world.advance(119)
    assert objects.is_true(await world.get(PODS, "web-1"), "DisruptionTarget")
    await world.advance(1)
    assert not objects.is_true(await world.get(PODS, "web-1"), "DisruptionTarget")


def running(count: int, *, ready: int) -> list[Object]:
    def status(number: int) -> Object:
        return {"phase": "Running", "conditions": [{"type": "Ready", "status": str(number < ready)}]}

    return [pod(f"web-{number}", status=status(number)) for number in range(count)]


@pytest.mark.parametrize(
    "spec, pods, expected, allowed",
    [
        ({"minAvailable": 2}, running(3, ready=3), 3, 1),
        ({"minAvailable": 2}, running(3, ready=1), 3, 0),
        ({"minAvailable": "50%"}, running(3, ready=3), 3, 1),
        ({"maxUnavailable": "50%"}, running(3, ready=3), 3, 2),
        ({"maxUnavailable": 1}, running(2, ready=2), 3, 0),
        ({"maxUnavailable": "100%"}, running(3, ready=3), 3, 3),
        ({"minAvailable": 0}, [], 0, 0),
    ],
)
def test_how_many_may_go(spec: Object, pods: list[Object], expected: int, allowed: int) -> None:
    todo = plan(budget(**spec), pods, Expected(count=expected), now_s=0)
    assert todo.status is not None
    assert todo.status["status"]["disruptionsAllowed"] == allowed


def test_an_evicted_pod_counts_as_gone_for_two_minutes() -> None:
    made = {**budget(minAvailable=1), "status": {"disruptedPods": {"web-0": times.format_time(0)}}}
    pods = running(2, ready=2)
    first = plan(made, pods, Expected(count=2), now_s=100)
    assert first.status is not None and first.requeue_after_s is not None
    assert first.status["status"]["disruptionsAllowed"] == 0
    later = plan(made, pods, Expected(count=2), now_s=121)
    assert later.status is not None
    assert later.status["status"]["disruptionsAllowed"] == 1
    assert later.not_deleted == pods[:1]


async def test_a_pod_that_two_budgets_select_is_told_of(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    await world.create(PODDISRUPTIONBUDGETS, budget(minAvailable=1))
    other = budget(minAvailable=1)
    await world.create(PODDISRUPTIONBUDGETS, {**other, "metadata": {"name": "two", "namespace": "default"}})
    await world.create(PODS, pod())
    told = {event["reason"]: event["message"] for event in await world.list(EVENTS)}
    text = 'Pod "default"/"web-1" matches multiple PodDisruptionBudgets.  Chose "pdb" arbitrarily.'
    assert told["MultiplePodDisruptionBudgets"] == text
    assert told["NoPods"] == "No matching pods found"


async def evict(world: World, name: str) -> bool:
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": "default"}}
    try:
        await world.client.create(PODS, eviction, namespace="default", name=name, subresource="eviction")
    except TooManyRequests:
        return False
    return True


@pytest.mark.parametrize(
    ("policy", "needed", "healthy", "victim", "allowed"),
    [
        (None, 2, ("web-0", "web-1", "web-2"), "web-0", True),
        (None, 2, ("web-0", "web-1"), "web-0", False),
        (None, 2, ("web-0", "web-1"), "web-2", True),
        (None, 2, ("web-0",), "web-2", False),
        (None, 0, (), "web-2", False),
        ("IfHealthyBudget", 2, ("web-0", "web-1"), "web-2", True),
        ("IfHealthyBudget", 2, ("web-0",), "web-2", False),
        ("AlwaysAllow", 2, ("web-0", "web-1"), "web-0", False),
        ("AlwaysAllow", 2, ("web-0",), "web-2", True),
        ("AlwaysAllow", 2, (), "web-2", True),
    ],
)
async def test_who_may_be_evicted(
    world_of: StartWorld, policy: str | None, needed: int, healthy: tuple[str, ...], victim: str, allowed: bool
) -> None:
    """What does no work may go without taking from the budget: where the rest is healthy, or the policy always allows it."""
    world = await world_of(NAME)
    await world.add_nodes("n1")
    for number in range(3):
        name = f"web-{number}"
        await world.run_pod(await world.create(PODS, pod(name)), node="n1", ready=name in healthy)
    made = budget(minAvailable=needed, **({} if policy is None else {"unhealthyPodEvictionPolicy": policy}))
    await world.create(PODDISRUPTIONBUDGETS, made)
    assert await evict(world, victim) is allowed
    await world.settle()
    await world.advance(1)


async def test_two_evictions_at_once_take_two_from_the_budget(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    await world.add_nodes("n1")
    for number in range(3):
        await world.run_pod(await world.create(PODS, pod(f"web-{number}")), node="n1")
    await world.create(PODDISRUPTIONBUDGETS, budget(minAvailable=1))
    await world.settle()
    assert [await evict(world, f"web-{number}") for number in range(3)] == [True, True, False]
    await world.settle()
    await world.reap_pods()
    status = (await world.get(PODDISRUPTIONBUDGETS, "pdb"))["status"]
    assert (status["currentHealthy"], status["disruptionsAllowed"]) == (1, 0)
    assert "disruptedPods" not in status


async def test_a_budget_that_failed_is_counted_again_when_its_controller_appears(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    stranger = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "x", "controller": True}
    await world.create(PODS, pod(metadata={"ownerReferences": [stranger]}))
    await world.create(PODDISRUPTIONBUDGETS, budget(maxUnavailable=1))
    status = (await world.get(PODDISRUPTIONBUDGETS, "pdb"))["status"]
    assert (status["conditions"][0]["reason"], status["conditions"][0]["message"]) == (
        "SyncFailed", 'found no controllers for pod "web-1"',
    )  # fmt: skip
    owner = await world.create(REPLICASETS, workload(REPLICASETS, replicas=1))
    reference = objects.controller_reference(owner, REPLICASETS)
    await world.patch(PODS, "web-1", {"metadata": {"ownerReferences": [reference]}})
    status = (await world.get(PODDISRUPTIONBUDGETS, "pdb"))["status"]
    assert (status["expectedPods"], status["conditions"][0]["reason"]) == (1, "InsufficientPods")
