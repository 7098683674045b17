"""What happens to workloads, so that their controllers tell of it: scenarios of ``test_events``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import (
    CRONJOBS,
    DAEMONSETS,
    DEPLOYMENTS,
    JOBS,
    PERSISTENTVOLUMECLAIMS,
    PODS,
    STATEFULSETS,
    Resource,
)
from tests.controllers.builders import template, workload
from tests.controllers.conftest import StartWorld
from tests.controllers.kinds import test_cronjob as crons
from tests.controllers.kinds.test_job import job
from tests.controllers.kinds.test_statefulset import data_claim, stateful
from tests.controllers.world import World


async def set_image(world: World, resource: Resource, image: str) -> None:
    container = {"name": "main", "image": image}
    await world.patch(resource, "web", {"spec": {"template": {"spec": {"containers": [container]}}}})


async def a_rollout(world_of: StartWorld) -> World:
    world = await world_of("deployment-controller", "replicaset-controller")
    await world.create(DEPLOYMENTS, workload(DEPLOYMENTS, replicas=2))
    for image in ("example/web:1", "example/web:2"):
        await set_image(world, DEPLOYMENTS, image)
        for _ in range(3):
            await world.run_pods()
    return world


async def a_rollout_that_cannot_begin(world_of: StartWorld) -> World:
    world = await world_of("deployment-controller")
    world.log.refuse("POST", "/replicasets")
    await world.create(DEPLOYMENTS, workload(DEPLOYMENTS))
    world.log.accept()
    await world.advance(60)
    return world


async def ways_back(world_of: StartWorld) -> World:
    world = await world_of("deployment-controller")
    await world.create(DEPLOYMENTS, workload(DEPLOYMENTS, replicas=0))
    for revision in ("0", "7", "1"):
        annotations = {"deprecated.deployment.rollback.to": revision}
        await world.patch(DEPLOYMENTS, "web", {"metadata": {"annotations": annotations}})
    await set_image(world, DEPLOYMENTS, "example/web:2")
    await world.patch(DEPLOYMENTS, "web", {"metadata": {"annotations": {"deprecated.deployment.rollback.to": "1"}}})
    return world


def pods_of(
    controller: str, resource: Resource, owner: Object, less: Object
) -> Callable[[StartWorld], Awaitable[World]]:
    """Pods that cannot be made, are made, cannot be deleted, and are."""

    async def happen(world_of: StartWorld) -> World:
        world = await world_of(controller)
        await world.add_nodes("n1")
        world.log.refuse("POST", "/pods")
        await world.create(resource, owner)
        world.log.accept()
        await world.advance(60)
        world.log.refuse("DELETE", "/pods")
        await world.patch(resource, objects.name(owner), less)
        world.log.accept()
        await world.advance(60)
        return world

    return happen


RC = {
    "apiVersion": "v1",
    "kind": "ReplicationController",
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {"replicas": 1, "selector": {"app": "web"}, "template": template()},
}
NONE = {"spec": {"replicas": 0}}
NOWHERE = {"spec": {"template": {"spec": {"nodeSelector": {"no": "where"}}}}}
SUSPENDED = {"spec": {"suspend": True}}


async def daemons_that_end(world_of: StartWorld) -> World:
    world = await world_of("daemonset-controller")
    await world.add_nodes("n1")
    await world.create(DAEMONSETS, workload(DAEMONSETS))
    for phase in ("Failed", "Succeeded"):
        found = await world.list(PODS)
        await world.run_pods(found, node="n1")
        await world.finish_pods(phase, found)
        await world.reap_pods()
    return world


async def pods_with_identities(world_of: StartWorld) -> World:
    world = await world_of("statefulset-controller")
    world.log.refuse("POST", "/persistentvolumeclaims")
    await world.create(STATEFULSETS, stateful(replicas=1, volumeClaimTemplates=[data_claim()]))
    world.log.refuse("POST", "/pods")
    await world.advance(60)
    world.log.accept()
    await world.advance(60)
    await world.run_pods()
    world.log.refuse("PUT", "/persistentvolumeclaims")
    await world.patch(
        STATEFULSETS, "web", {"spec": {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete"}}}
    )
    world.log.accept()
    await world.advance(60)
    world.log.refuse("DELETE", "/pods")
    await world.patch(STATEFULSETS, "web", NONE)
    world.log.accept()
    await world.advance(60)
    return world


async def claims_that_are_in_the_way(world_of: StartWorld) -> World:
    world = await world_of("statefulset-controller")
    other = {"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": "of-another", "controller": True}
    metadata = {
        "name": "data-web-0",
        "namespace": "default",
        "ownerReferences": [other],
        "finalizers": ["example.com/x"],
    }
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": data_claim()["spec"]}
    await world.create(PERSISTENTVOLUMECLAIMS, claim)
    await world.client.delete(PERSISTENTVOLUMECLAIMS, "data-web-0", namespace="default")
    retention = {"whenDeleted": "Delete", "whenScaled": "Retain"}
    made = stateful(
        replicas=1, volumeClaimTemplates=[data_claim()], persistentVolumeClaimRetentionPolicy=retention
    )  # fmt: skip
    await world.create(STATEFULSETS, made)
    await world.patch(PERSISTENTVOLUMECLAIMS, "data-web-0", {"metadata": {"finalizers": None}})
    await world.advance(60)
    return world


async def jobs_that_end(world_of: StartWorld) -> World:
    world = await world_of("job-controller")
    rules = [
        {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}},
        {"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
    ]
    indexed: dict[str, Any] = {
        "completionMode": "Indexed",
        "completions": 2,
        "parallelism": 2,
        "backoffLimitPerIndex": 0,
    }
    for made in (
        job("well"),
        job("limit", backoffLimit=0),
        job("late", activeDeadlineSeconds=30),
        job("code", podFailurePolicy={"rules": rules}),
        job("cond", podFailurePolicy={"rules": rules}),
        job("many", maxFailedIndexes=0, **indexed),
        job("some", **indexed),
        job("shrunk", completions=2, parallelism=2, completionMode="Indexed"),
    ):
        await world.create(JOBS, made)
    outcomes = {
        "well": ("Succeeded", 0), "limit": ("Failed", 1), "code": ("Failed", 42), "cond": ("Failed", 1),
        "many": ("Failed", 1), "some": ("Failed", 1),
    }  # fmt: skip
    for found in await world.list(PODS):
        name = (objects.controller_of(found) or {})["name"]
        if name == "cond":
            entry = {"type": "DisruptionTarget", "status": "True"}
            await world.patch(PODS, objects.name(found), {"status": {"conditions": [entry]}}, subresource="status")
            await world.set_status(PODS, found, phase="Failed")
        elif name in outcomes:
            phase, code = outcomes[name]
            await world.finish_pods(phase, [found], exit_code=code)
    await world.client.delete(JOBS, "shrunk", namespace="default", propagation="Background")
    await world.advance(30)
    await world.advance(2)
    return world


async def a_job_that_pauses(world_of: StartWorld) -> World:
    world = await world_of("job-controller")
    await world.create(JOBS, job())
    await world.patch(JOBS, "sum", SUSPENDED)
    await world.patch(JOBS, "sum", {"spec": {"suspend": False}})
    return world


async def more_successes_than_wanted(world_of: StartWorld) -> World:
    """Both pods of a Job ended well before the controller saw either."""
    world = await world_of("job-controller")
    await world.create(JOBS, job(completions=2, parallelism=2))
    owner = await world.get(JOBS, "sum")
    one = next(iter(await world.list(PODS)))
    metadata = {**one["metadata"], "name": "third", "resourceVersion": None, "uid": None, "creationTimestamp": None}
    await world.client.create(PODS, {**one, "metadata": metadata, "status": {}})
    for found in await world.client_list(PODS):
        await world.set_status(PODS, found, phase="Succeeded")
    await world.settle()
    await world.advance(2)
    assert objects.is_true(await world.get(JOBS, objects.name(owner)), "Complete")
    return world


async def a_schedule(world_of: StartWorld) -> World:
    world = await world_of("cronjob-controller")
    made = crons.cronjob("*/5 * * * *", concurrencyPolicy="Forbid", successfulJobsHistoryLimit=0)
    world.log.refuse("POST", "/jobs")
    created = await world.create(CRONJOBS, made)
    await world.advance(301)
    world.log.accept()
    await world.advance(10)
    await world.advance(300)
    world.log.refuse("DELETE", "/jobs")
    [running] = await world.list(JOBS)
    await crons.finish(world, running)
    world.log.accept()
    await world.advance(300)
    [running] = await world.list(JOBS)
    await world.client.delete(JOBS, objects.name(running), namespace="default", propagation="Background")
    await world.settle()
    reference = [objects.controller_reference(created, CRONJOBS)]
    stranger = {
        **job("stranger"),
        "metadata": {"name": "stranger", "namespace": "default", "ownerReferences": reference},
    }
    await world.create(JOBS, stranger)
    await world.client.delete(JOBS, "stranger", namespace="default", propagation="Background")
    await world.settle()
    return world


async def schedules_that_were_missed(world_of: StartWorld) -> World:
    world = await world_of("cronjob-controller")
    await world.create(CRONJOBS, crons.cronjob("59 23 31 2 *"))
    await world.client.delete(CRONJOBS, "tick", namespace="default")
    await world.create(CRONJOBS, crons.cronjob("* * * * *", suspend=True))
    await world.advance(3 * 3600)
    await world.patch(CRONJOBS, "tick", {"spec": {"suspend": False}})
    await world.client.delete(CRONJOBS, "tick", namespace="default")
    await world.settle()
    return world
