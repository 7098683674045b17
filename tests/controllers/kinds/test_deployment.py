"""Deployment: rollouts against a real API server, with the ReplicaSet controller."""

from __future__ import annotations

from typing import Any

from steersman.controllers.rollout import REVISION, revision_of
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import DEPLOYMENTS, EVENTS, PODS, REPLICASETS
from tests.controllers.builders import workload
from tests.controllers.conftest import StartWorld
from tests.controllers.world import World

NAMES = ("deployment-controller", "replicaset-controller")


def condition(deployment: Object, kind: str) -> tuple[str, str]:
    entry = objects.condition(deployment, kind)
    assert entry is not None
    return entry["status"], entry["reason"]


async def roll(world: World, image: str, **spec: Any) -> None:
    container = {"name": "main", "image": image}
    await world.patch(DEPLOYMENTS, "web", {"spec": {**spec, "template": {"spec": {"containers": [container]}}}})


async def finish_rollout(world: World) -> Object:
    """Let pods come up and go away until nothing moves."""
    for _ in range(30):
        await world.run_pods()
        await world.reap_pods()
    return await world.get(DEPLOYMENTS, "web")


async def sizes(world: World) -> list[int]:
    """spec.replicas of the ReplicaSets by revision."""
    return [rs["spec"]["replicas"] for rs in sorted(await world.list(REPLICASETS), key=revision_of)]


async def test_makes_a_replicaset_and_becomes_available(world_of: StartWorld) -> None:
    world = await world_of(*NAMES)
    await world.create(DEPLOYMENTS, workload(DEPLOYMENTS, replicas=3))
    deployment = await world.get(DEPLOYMENTS, "web")
    assert condition(deployment, "Available") == ("False", "MinimumReplicasUnavailable")
    assert condition(deployment, "Progressing") == ("True", "ReplicaSetUpdated")
    assert deployment["status"]["unavailableReplicas"] == 3
    deployment = await finish_rollout(world)
    assert condition(deployment, "Available") == ("True", "MinimumReplicasAvailable")
    assert condition(deployment, "Progressing") == ("True", "NewReplicaSetAvailable")
    assert objects.annotations(deployment)[REVISION] == "1"
    status = deployment["status"]
    assert {status[name] for name in ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")} == {3}
    [rs] = await world.list(REPLICASETS)
    assert rs["metadata"]["labels"]["pod-template-hash"] in objects.name(rs)
    messages = {event["message"] for event in await world.list(EVENTS) if event["reason"] == "ScalingReplicaSet"}
    assert messages == {f"Scaled up replica set {objects.name(rs)} from 0 to 3"}


async def test_rolls_within_surge_and_availability(world_of: StartWorld) -> None:
    world = await world_of(*NAMES)
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}}
    await world.create(DEPLOYMENTS, workload(DEPLOYMENTS, replicas=4, strategy=rolling))
    await finish_rollout(world)
    await roll(world, "example/web:2")
    assert await sizes(world) == [3, 2]
    for _ in range(20):
        pods = [pod for pod in await world.list(PODS) if not objects.is_deleting(pod)]
        ready = [pod for pod in pods if objects.is_true(pod, "Ready")]
        assert len(pods) <= 5
        assert len(ready) >= 3
        pending = [pod for pod in pods if pod not in ready]
        await world.run_pods(pending[:1])
        await world.reap_pods()
    assert await sizes(world) == [0, 4]
    deployment = await finish_rollout(world)
    assert condition(deployment, "Progressing") == ("True", "NewReplicaSetAvailable")
    assert objects.annotations(deployment)[REVISION] == "2"


async def test_recreate_starts_nothing_while_an_old_pod_may_run(world_of: StartWorld) -> None:
    world = await world_of(*NAMES)
    await world.create(DEPLOYMENTS, workload(DEPLOYMENTS, replicas=2, strategy={"type": "Recreate"}))
    await finish_rollout(world)
    await world.patch(
        PODS, objects.name((await world.list(PODS))[0]), {"metadata": {"finalizers": ["example.com/slow"]}}
    )
    await roll(world, "example/web:2")
    await world.reap_pods()
    assert len(await world.list(REPLICASETS)) == 1
    [slow] = await world.list(PODS)
    await world.patch(PODS, objects.name(slow), {"metadata": {"finalizers": None}})
    assert await sizes(world) == [0, 2]
    await finish_rollout(world)


async def test_undo_reuses_the_old_replicaset_and_raises_its_revision(world_of: StartWorld) -> None:
    world = await world_of(*NAMES)
    await world.create(DEPLOYMENTS, workload(DEPLOYMENTS, replicas=1))
    await finish_rollout(world)
    await roll(world, "example/web:2")
    await finish_rollout(world)
    await roll(world, "example/web:1")
    deployment = await finish_rollout(world)
    assert objects.annotations(deployment)[REVISION] == "3"
    replicasets = sorted(await world.list(REPLICASETS), key=revision_of)
    assert [revision_of(rs) for rs in replicasets] == [2, 3]
    assert objects.annotations(replicasets[1])["deployment.kubernetes.io/revision-history"] == "1"


async def test_a_pause_holds_the_template_but_not_the_size(world_of: StartWorld) -> None:
    world = await world_of(*NAMES)
    await world.create(DEPLOYMENTS, workload(DEPLOYMENTS, replicas=2))
    await finish_rollout(world)
    await roll(world, "example/web:2", paused=True)
    deployment = await world.get(DEPLOYMENTS, "web")
    assert condition(deployment, "Progressing") == ("Unknown", "DeploymentPaused")
    await world.patch(DEPLOYMENTS, "web", {"spec": {"replicas": 3}})
    assert await sizes(world) == [3]
    await world.patch(DEPLOYMENTS, "web", {"spec": {"paused": False}})
    await finish_rollout(world)
    assert await sizes(world) == [0, 3]


async def test_reports_a_rollout_that_makes_no_progress(world_of: StartWorld) -> None:
    world = await world_of(*NAMES)
    await world.create(DEPLOYMENTS, workload(DEPLOYMENTS, replicas=1, progressDeadlineSeconds=60))
    await world.advance(62)
    deployment = await world.get(DEPLOYMENTS, "web")
    assert condition(deployment, "Progressing") == ("False", "ProgressDeadlineExceeded")
    deployment = await finish_rollout(world)
    assert condition(deployment, "Progressing") == ("True", "NewReplicaSetAvailable")


async def test_a_resize_in_the_middle_of_a_rollout_is_shared_out(world_of: StartWorld) -> None:
    world = await world_of(*NAMES)
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}}
    await world.create(DEPLOYMENTS, workload(DEPLOYMENTS, replicas=10, strategy=rolling))
    await finish_rollout(world)
    await roll(world, "example/web:broken")
    assert await sizes(world) == [8, 5]
    await world.patch(DEPLOYMENTS, "web", {"spec": {"replicas": 15}})
    assert await sizes(world) == [11, 7]
    await finish_rollout(world)
    assert await sizes(world) == [0, 15]


async def test_keeps_as_much_history_as_it_is_told(world_of: StartWorld) -> None:
    world = await world_of(*NAMES)
    await world.create(DEPLOYMENTS, workload(DEPLOYMENTS, replicas=1, revisionHistoryLimit=1))
    for image in ("example/web:2", "example/web:3", "example/web:4"):
        await finish_rollout(world)
        await roll(world, image)
    await finish_rollout(world)
    assert await sizes(world) == [0, 1]


async def test_bumps_the_collision_count_when_the_name_is_taken(world_of: StartWorld) -> None:
    world = await world_of(*NAMES)
    await world.create(DEPLOYMENTS, workload(DEPLOYMENTS, "probe", replicas=0, labels={"app": "probe"}))
    taken = workload(DEPLOYMENTS, replicas=1)
    await world.create(DEPLOYMENTS, {**taken, "metadata": {**taken["metadata"], "name": "first"}})
    [first] = [rs for rs in await world.list(REPLICASETS) if objects.name(rs).startswith("first")]
    squatter = workload(REPLICASETS, objects.name(first).replace("first", "web"), labels={"app": "squat"}, replicas=0)
    await world.create(REPLICASETS, squatter)
    await world.create(DEPLOYMENTS, taken)
    await world.advance(1)
    assert (await world.get(DEPLOYMENTS, "web"))["status"]["collisionCount"] == 1
    owned = [rs for rs in await world.list(REPLICASETS) if (objects.controller_of(rs) or {}).get("name") == "web"]
    assert len(owned) == 1
