"""ReplicaSet: in-process, against a real API server."""

from __future__ import annotations

from steersman.controllers.pods import phase
from steersman.meta import objects
from steersman.meta.resources import PODS, REPLICASETS
from tests.controllers.builders import pod, workload
from tests.controllers.conftest import StartWorld

NAME = "replicaset-controller"


async def test_creates_as_many_pods_as_it_says_and_reports_them(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    await world.create(REPLICASETS, workload(REPLICASETS, replicas=3))
    pods = await world.list(PODS)
    assert len(pods) == 3
    assert all(objects.controller_of(found)["name"] == "web" for found in pods)  # type: ignore[index]
    rs = await world.get(REPLICASETS, "web")
    assert rs["status"]["replicas"] == 3
    assert rs["status"]["fullyLabeledReplicas"] == 3
    assert rs["status"]["observedGeneration"] == 1
    await world.run_pods()
    rs = await world.get(REPLICASETS, "web")
    assert (rs["status"]["readyReplicas"], rs["status"]["availableReplicas"]) == (3, 3)


async def test_replaces_a_pod_that_is_deleted_and_one_that_failed(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    await world.create(REPLICASETS, workload(REPLICASETS, replicas=2))
    await world.run_pods()
    first, second = await world.list(PODS)
    await world.client.delete(PODS, objects.name(first), namespace="default", grace_period_s=0)
    await world.finish_pods("Failed", [second])
    alive = [found for found in await world.list(PODS) if phase(found) == "Pending"]
    assert len(alive) == 2


async def test_scales_down_pods_that_are_not_ready_first(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    await world.create(REPLICASETS, workload(REPLICASETS, replicas=4))
    pods = await world.list(PODS)
    await world.run_pods(pods[:2])
    await world.patch(REPLICASETS, "web", {"spec": {"replicas": 2}})
    await world.reap_pods()
    assert {objects.uid(found) for found in await world.list(PODS)} == {objects.uid(found) for found in pods[:2]}


async def test_adopts_matching_orphans_and_releases_pods_that_match_no_more(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    await world.create(PODS, pod("stray"))
    await world.create(REPLICASETS, workload(REPLICASETS, replicas=2))
    pods = await world.list(PODS)
    assert len(pods) == 2
    assert all(objects.controller_of(found) for found in pods)
    await world.patch(PODS, "stray", {"metadata": {"labels": {"app": "other"}}})
    assert objects.controller_of(await world.get(PODS, "stray")) is None
    assert len(await world.list(PODS)) == 3


async def test_becomes_available_only_after_min_ready_seconds(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    await world.create(REPLICASETS, workload(REPLICASETS, replicas=1, minReadySeconds=10))
    await world.run_pods()
    assert "availableReplicas" not in (await world.get(REPLICASETS, "web"))["status"]
    await world.advance(10)
    assert (await world.get(REPLICASETS, "web"))["status"]["availableReplicas"] == 1


async def test_makes_one_create_for_each_pod_and_few_status_writes(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    world.log.take()
    await world.create(REPLICASETS, workload(REPLICASETS, replicas=40))
    writes = world.log.take_but_events()
    assert sum(line.startswith("POST") for line in writes) == 40
    assert len(writes) <= 42
