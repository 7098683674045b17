"""Controllers that are killed at any instant: once it is quiet there are neither too many nor too few pods, no orphans, and
nothing was deleted that was another's."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

import pytest

from steersman.aio.tasks import TaskGroup
from steersman.client.informer import Change, Informer
from steersman.controllers.daemonplan import node_of
from steersman.controllers.pods import is_active
from steersman.meta import objects
from steersman.meta.errors import AlreadyExists
from steersman.meta.objects import Object
from steersman.meta.resources import (
    CONFIGMAPS,
    CRONJOBS,
    DAEMONSETS,
    DEPLOYMENTS,
    ENDPOINTS,
    ENDPOINTSLICES,
    JOBS,
    NODES,
    PERSISTENTVOLUMECLAIMS,
    PODDISRUPTIONBUDGETS,
    PODS,
    REPLICASETS,
    SERVICES,
    STATEFULSETS,
    Resource,
)
from tests.controllers.builders import pod, template, workload
from tests.controllers.kinds.test_cronjob import cronjob
from tests.controllers.kinds.test_disruption import budget
from tests.controllers.kinds.test_endpoints import service
from tests.controllers.kinds.test_statefulset import data_claim
from tests.controllers.world import World, start_world

CONTROLLERS = (
    "deployment-controller",
    "replicaset-controller",
    "statefulset-controller",
    "daemonset-controller",
    "job-controller",
    "cronjob-controller",
    "endpoints-controller",
    "endpointslice-controller",
    "disruption-controller",
    "garbage-collector-controller",
)
KILLS = 100
BYSTANDERS = ("db-9", "lonely")
PARALLELISM = 3
MOST_REPLICAS, MOST_SURGE = 7, 2


def job(name: str = "sum", **spec: object) -> Object:
    made = {"template": template({}, restartPolicy="Never"), "completions": 6, "parallelism": PARALLELISM, **spec}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"backoffLimit": 1000, **made},
    }


DEPLOYMENT = workload(DEPLOYMENTS, replicas=5)
STATEFULSET = workload(
    STATEFULSETS, "db", labels={"app": "db"}, serviceName="db", volumeClaimTemplates=[data_claim()]
)  # fmt: skip
DAEMONSET = workload(DAEMONSETS, "agents", labels={"app": "agents"})
CRONJOB = cronjob("* * * * *", successfulJobsHistoryLimit=2, concurrencyPolicy="Forbid")


WANTED: Sequence[tuple[Resource, Object]] = (
    (DEPLOYMENTS, DEPLOYMENT),
    (STATEFULSETS, STATEFULSET),
    (DAEMONSETS, DAEMONSET),
    (JOBS, job()),
    (CRONJOBS, CRONJOB),
    (SERVICES, service()),
    (PODDISRUPTIONBUDGETS, budget(maxUnavailable=1)),
)


class Watchdog:
    """Looks at every state that the cluster goes through."""

    def __init__(self, pods: Informer) -> None:
        self._pods = pods
        self.violations: list[str] = []
        pods.subscribe(self._changed)

    def _changed(self, change: Change) -> None:
        if change.old is not None:
            return
        running = Counter(
            (reference["kind"], reference["name"], reference["uid"])
            for found in self._pods.list()
            if is_active(found) and (reference := objects.controller_of(found)) is not None
        )
        for (kind, name, _), count in running.items():
            if kind == "Job" and name.startswith("sum") and count > PARALLELISM:
                self.violations.append(f"{count} pods of {name} at once")
            if kind == "StatefulSet" and count > 4:
                self.violations.append(f"{count} pods of {name} at once")
            if kind == "ReplicaSet" and count > MOST_REPLICAS + MOST_SURGE:
                self.violations.append(f"{count} pods of {name} at once")
        daemons = Counter(
            (owner["uid"], node_of(found))
            for found in self._pods.list()
            if is_active(found) and (owner := objects.controller_of(found) or {}).get("kind") == "DaemonSet"
        )
        self.violations += [f"{count} daemons on {node}" for (_, node), count in daemons.items() if count > 1]


async def make_missing(world: World) -> None:
    """Users want these, and make them again as soon as their names are free."""
    for resource, obj in WANTED:
        with suppress(AlreadyExists):
            await world.client.create(resource, obj)


async def replace(world: World, resource: Resource, name: str, propagation: str) -> None:
    """Delete it and make another one of the same name, as soon as that can be."""
    await world.client.delete(resource, name, namespace="default", propagation=propagation)
    await make_missing(world)


async def finish_some(world: World, rng: random.Random) -> None:
    owned = [
        found for found in await world.client_list(PODS) if (objects.controller_of(found) or {}).get("kind") == "Job"
    ]
    running = [found for found in owned if is_active(found) and objects.is_true(found, "Ready")]
    for found in running[: rng.randrange(3)]:
        await world.set_status(PODS, found, **ended(found, rng.choice(["Succeeded", "Succeeded", "Failed"])))


def ended(found: Object, phase: str) -> Object:
    states = [
        {"name": entry["name"], "image": "", "imageID": "", "ready": False, "restartCount": 0,
         "state": {"terminated": {"exitCode": 0 if phase == "Succeeded" else 1}}}
        for entry in found["spec"]["containers"]
    ]  # fmt: skip
    return {"phase": phase, "conditions": [{"type": "Ready", "status": "False"}], "containerStatuses": states}


async def start_some(world: World, rng: random.Random) -> None:
    pods = [found for found in await world.client_list(PODS) if objects.name(found) not in BYSTANDERS]
    for found in rng.sample(pods, len(pods) // 2):
        if is_active(found) and not objects.is_true(found, "Ready"):
            daemon = (objects.controller_of(found) or {}).get("kind") == "DaemonSet"
            await world.run_pod(found, node=node_of(found) if daemon else "n1")


async def churn(world: World, rng: random.Random) -> None:
    """One thing that users, kubelets, nodes or time do."""
    await make_missing(world)
    client = world.client
    pods = [found for found in await world.client_list(PODS) if objects.name(found) not in BYSTANDERS]
    match rng.randrange(14):
        case 0:
            await client.patch(
                DEPLOYMENTS, "web", {"spec": {"replicas": rng.randrange(MOST_REPLICAS + 1)}}, namespace="default"
            )
        case 1:
            container = {"name": "main", "image": f"example/web:{rng.randrange(4)}"}
            patch = {"spec": {"template": {"spec": {"containers": [container]}}}}
            resource, name = rng.choice([(DEPLOYMENTS, "web"), (STATEFULSETS, "db"), (DAEMONSETS, "agents")])
            await client.patch(resource, name, patch, namespace="default")
        case 2:
            await client.patch(STATEFULSETS, "db", {"spec": {"replicas": rng.randrange(4)}}, namespace="default")
        case 3 if pods:
            victim = rng.choice(pods)
            await client.delete(PODS, objects.name(victim), namespace="default", grace_period_s=0)
        case 4:
            await world.clock.advance(rng.choice([1, 20, 61]))
        case 5:
            await finish_some(world, rng)
        case 6:
            await replace(world, DEPLOYMENTS, "web", "Background")
        case 7:
            await replace(world, STATEFULSETS, "db", rng.choice(["Background", "Orphan"]))
        case 8:
            await replace(world, DAEMONSETS, "agents", "Background")
        case 9:
            await replace(world, JOBS, "sum", rng.choice(["Background", "Foreground"]))
        case 10:
            labels = {"metadata": {"labels": {"drained": rng.choice(["yes", None])}}}
            await client.patch(NODES, rng.choice(["n2", "n3"]), labels)
        case _:
            await start_some(world, rng)


@pytest.mark.parametrize("seed", range(3))
async def test_after_a_hundred_kills_everything_is_as_it_should_be(seed: int) -> None:
    rng = random.Random(seed)
    async with TaskGroup("world") as group:
        world = await start_world(group, *CONTROLLERS)
        await world.add_nodes("n1", "n2", "n3")
        informer = Informer(world.client, PODS, clock=world.clock)
        group.spawn(informer.run(), name="watchdog")
        watchdog = Watchdog(informer)
        bystanders = await make_bystanders(world)
        for _ in range(KILLS):
            await churn(world, rng)
            await world.run_for_turns(rng.randrange(60))
            await world.restart()
        await calm_down(world)
        await check(world, bystanders)
        assert watchdog.violations == []
        await world.prove_idle()
    await world.server.close()


async def make_bystanders(world: World) -> list[tuple[Resource, Object]]:
    """Objects that no controller has any business with, though they look like those that are theirs."""
    made = [(PODS, pod("db-9", labels={"app": "db", "mine": "yes"}, metadata={"labels": {"other": "label"}}))]
    foreign = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "of-another", "controller": True}
    made.append((PODS, pod("lonely", labels={"app": "nothing"})))
    made.append(
        (CONFIGMAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kept", "namespace": "default"}})
    )
    kept = [(resource, await world.client.create(resource, obj)) for resource, obj in made]
    stray = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "stray", "namespace": "default"}}
    await world.client.create(CONFIGMAPS, objects.with_metadata(stray, ownerReferences=[foreign]))
    return kept


async def calm_down(world: World) -> None:
    """No more kills: the last wishes of users, and kubelets that carry them out."""
    await world.client.patch(CRONJOBS, "tick", {"spec": {"suspend": True}}, namespace="default")
    for _ in range(20):
        await world.settle()
        await world.reap_pods()
        await make_missing(world)
    await world.client.patch(DEPLOYMENTS, "web", {"spec": {"replicas": 5}}, namespace="default")
    await world.client.patch(STATEFULSETS, "db", {"spec": {"replicas": 3}}, namespace="default")
    for _ in range(25):
        await world.settle()
        for found in await world.list(PODS):
            if is_active(found) and not objects.is_true(found, "Ready"):
                daemon = (objects.controller_of(found) or {}).get("kind") == "DaemonSet"
                await world.run_pod(found, node=node_of(found) if daemon else "n1")
        await world.settle()
        owned = [p for p in await world.list(PODS) if (objects.controller_of(p) or {}).get("kind") == "Job"]
        for found in owned:
            if is_active(found) and objects.is_true(found, "Ready"):
                await world.set_status(PODS, found, **ended(found, "Succeeded"))
        await world.settle()
        await world.reap_pods()
        await world.advance(15)


async def check_service(world: World, pods: set[str]) -> None:
    """The Service has each pod once, and the budget counts them."""
    [subset] = (await world.get(ENDPOINTS, "web"))["subsets"]
    assert {address["targetRef"]["name"] for address in subset["addresses"]} == pods
    listed = [
        endpoint["targetRef"]["name"]
        for found in await world.list(ENDPOINTSLICES)
        for endpoint in found.get("endpoints") or ()
    ]
    assert sorted(listed) == sorted(pods)
    status = (await world.get(PODDISRUPTIONBUDGETS, "pdb"))["status"]
    assert (status["expectedPods"], status["currentHealthy"], status["disruptionsAllowed"]) == (5, 5, 1)


async def check(world: World, bystanders: list[tuple[Resource, Object]]) -> None:
    owned: dict[str, list[Object]] = {}
    present = {objects.uid(found) for resource in (REPLICASETS, STATEFULSETS, DAEMONSETS, JOBS, DEPLOYMENTS, CRONJOBS)
               for found in await world.list(resource)}  # fmt: skip
    for resource in (PODS, REPLICASETS, JOBS):
        for found in await world.list(resource):
            reference = objects.controller_of(found)
            assert reference is None or reference["uid"] in present, f"{objects.name(found)} is an orphan"
    for found in await world.list(PODS):
        if is_active(found):
            owned.setdefault((objects.controller_of(found) or {"kind": "nobody"})["kind"], []).append(found)
    assert {kind: len(found) for kind, found in owned.items()} == {
        "ReplicaSet": 5, "StatefulSet": 3, "DaemonSet": 3, "nobody": 2,
    }  # fmt: skip
    assert sorted(objects.name(found) for found in owned["StatefulSet"]) == ["db-0", "db-1", "db-2"]
    assert sorted(node_of(found) for found in owned["DaemonSet"]) == ["n1", "n2", "n3"]
    for resource, name, kind in (
        (DEPLOYMENTS, "web", "ReplicaSet"), (STATEFULSETS, "db", "StatefulSet"), (DAEMONSETS, "agents", "DaemonSet"),
    ):  # fmt: skip
        wanted = (await world.get(resource, name))["spec"]["template"]["spec"]["containers"][0]["image"]
        assert {found["spec"]["containers"][0]["image"] for found in owned[kind]} == {wanted}
    assert sum(rs["spec"]["replicas"] for rs in await world.list(REPLICASETS)) == 5
    claims = {objects.name(found) for found in await world.list(PERSISTENTVOLUMECLAIMS)}
    assert {"data-db-0", "data-db-1", "data-db-2"} <= claims
    final = (await world.get(JOBS, "sum"))["status"]
    assert final["succeeded"] == 6
    assert objects.is_true({"status": final}, "Complete")
    ticks = [found for found in await world.list(JOBS) if objects.name(found).startswith("tick-")]
    assert all(objects.is_true(found, "Complete") for found in ticks)
    assert len(ticks) <= 2
    await check_service(world, {objects.name(found) for found in owned["ReplicaSet"]})
    for resource, obj in bystanders:
        assert objects.uid(await world.get(resource, objects.name(obj))) == objects.uid(obj)
    assert not await world.exists(CONFIGMAPS, "stray")
