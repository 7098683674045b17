"""Controllers that are killed at any instant: once it is quiet there are neither too many nor too few pods."""

from __future__ import annotations

import random

import pytest

from steersman.aio.tasks import TaskGroup
from steersman.controllers.pods import is_active
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import DEPLOYMENTS, JOBS, PODS, REPLICASETS, STATEFULSETS
from tests.controllers.builders import template, workload
from tests.controllers.world import World, start_world

CONTROLLERS = (
    "deployment-controller",
    "replicaset-controller",
    "statefulset-controller",
    "job-controller",
    "garbage-collector-controller",
)
KILLS = 100


def job() -> Object:
    spec = {"template": template({}, restartPolicy="Never"), "completions": 6, "parallelism": 3, "backoffLimit": 1000}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "sum", "namespace": "default"}, "spec": spec}


async def churn(world: World, rng: random.Random) -> None:
    """One thing that users, kubelets or nodes do."""
    pods = list(await world.client_list(PODS))
    match rng.randrange(6):
        case 0:
            await world.client.patch(DEPLOYMENTS, "web", {"spec": {"replicas": rng.randrange(8)}}, namespace="default")
        case 1:
            container = {"name": "main", "image": f"example/web:{rng.randrange(4)}"}
            patch = {"spec": {"template": {"spec": {"containers": [container]}}}}
            await world.client.patch(DEPLOYMENTS, "web", patch, namespace="default")
        case 2:
            await world.client.patch(STATEFULSETS, "db", {"spec": {"replicas": rng.randrange(4)}}, namespace="default")
        case 3 if pods:
            victim = rng.choice(pods)
            await world.client.delete(PODS, objects.name(victim), namespace="default", grace_period_s=0)
        case _:
            for found in rng.sample(pods, len(pods) // 2):
                if is_active(found) and not objects.is_true(found, "Ready"):
                    await world.run_pod(found, node="n1")


@pytest.mark.parametrize("seed", range(3))
async def test_after_a_hundred_kills_everything_is_as_it_should_be(seed: int) -> None:
    rng = random.Random(seed)
    async with TaskGroup("world") as group:
        world = await start_world(group, *CONTROLLERS)
        await world.add_nodes("n1")
        await world.client.create(DEPLOYMENTS, workload(DEPLOYMENTS, replicas=5))
        await world.client.create(STATEFULSETS, workload(STATEFULSETS, "db", labels={"app": "db"}, serviceName="db"))
        await world.client.create(JOBS, job())
        for _ in range(KILLS):
            await churn(world, rng)
            await world.run_for_turns(rng.randrange(60))
            await world.restart()
        await world.client.patch(DEPLOYMENTS, "web", {"spec": {"replicas": 5}}, namespace="default")
        await world.client.patch(STATEFULSETS, "db", {"spec": {"replicas": 3}}, namespace="default")
        for _ in range(20):
            await world.settle()
            await world.run_pods(node="n1")
            ended = [p for p in await world.list(PODS) if (objects.controller_of(p) or {}).get("kind") == "Job"]
            await world.finish_pods("Succeeded", [p for p in ended if objects.is_true(p, "Ready")])
            await world.reap_pods()
            await world.advance(15)
        await check(world)
        await world.prove_idle()
    await world.server.close()


async def check(world: World) -> None:
    owned: dict[str, list[Object]] = {}
    for found in await world.list(PODS):
        if is_active(found):
            owned.setdefault((objects.controller_of(found) or {"kind": "nobody"})["kind"], []).append(found)
    assert {kind: len(found) for kind, found in owned.items()} == {"ReplicaSet": 5, "StatefulSet": 3}
    assert sorted(objects.name(found) for found in owned["StatefulSet"]) == ["db-0", "db-1", "db-2"]
    wanted = (await world.get(DEPLOYMENTS, "web"))["spec"]["template"]["spec"]["containers"][0]["image"]
    assert {found["spec"]["containers"][0]["image"] for found in owned["ReplicaSet"]} == {wanted}
    assert sum(rs["spec"]["replicas"] for rs in await world.list(REPLICASETS)) == 5
    final = (await world.get(JOBS, "sum"))["status"]
    assert final["succeeded"] == 6
    assert objects.is_true({"status": final}, "Complete")
