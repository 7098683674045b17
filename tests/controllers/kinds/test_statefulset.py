"""StatefulSet: identities, order, updates, claims."""

from __future__ import annotations

from typing import Any

from steersman.controllers import history
from steersman.controllers.history import REVISION_LABEL
from steersman.controllers.statefulplan import make_pod, plan
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import CONTROLLERREVISIONS, PERSISTENTVOLUMECLAIMS, PODS, STATEFULSETS
from tests.controllers.builders import pod, workload
from tests.controllers.conftest import StartWorld
from tests.controllers.world import World

NAME = "statefulset-controller"


def stateful(**spec: Any) -> Object:
    return workload(STATEFULSETS, serviceName="web", **spec)


def data_claim() -> Object:
    resources = {"requests": {"storage": "1Gi"}}
    return {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": resources}}


async def names(world: World) -> list[str]:
    return sorted(objects.name(found) for found in await world.list(PODS) if not objects.is_deleting(found))


async def settle_all(world: World) -> None:
    for _ in range(12):
        await world.run_pods(node="n1")
        await world.reap_pods()


async def test_pods_come_in_order_and_go_in_reverse(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    await world.add_nodes("n1")
    await world.create(STATEFULSETS, stateful(replicas=3))
    assert await names(world) == ["web-0"]
    await world.run_pods(node="n1", ready=False)
    assert await names(world) == ["web-0"]
    await world.patch(
        PODS, "web-0", {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}, subresource="status"
    )
    assert await names(world) == ["web-0", "web-1"]
    await settle_all(world)
    assert await names(world) == ["web-0", "web-1", "web-2"]
    first = await world.get(PODS, "web-0")
    assert first["spec"]["hostname"] == "web-0"
    assert first["spec"]["subdomain"] == "web"
    assert objects.labels(first)["statefulset.kubernetes.io/pod-name"] == "web-0"
    assert objects.labels(first)["apps.kubernetes.io/pod-index"] == "0"
    status = (await world.get(STATEFULSETS, "web"))["status"]
    assert {status[name] for name in ("replicas", "readyReplicas", "availableReplicas", "updatedReplicas")} == {3}
    await world.patch(STATEFULSETS, "web", {"spec": {"replicas": 1}})
    assert await names(world) == ["web-0", "web-1"]
    await settle_all(world)
    assert await names(world) == ["web-0"]


async def test_parallel_management_starts_all_at_once_from_the_first_ordinal(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    await world.add_nodes("n1")
    await world.create(STATEFULSETS, stateful(replicas=3, podManagementPolicy="Parallel", ordinals={"start": 5}))
    assert await names(world) == ["web-5", "web-6", "web-7"]


async def test_an_update_goes_from_the_highest_and_stops_at_the_partition(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    await world.add_nodes("n1")
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}
    await world.create(STATEFULSETS, stateful(replicas=3, updateStrategy=rolling))
    await settle_all(world)
    image = {"template": {"spec": {"containers": [{"name": "main", "image": "example/web:2"}]}}}
    await world.patch(STATEFULSETS, "web", {"spec": image})
    assert await names(world) == ["web-0", "web-1"]
    await settle_all(world)
    status = (await world.get(STATEFULSETS, "web"))["status"]
    revisions = {objects.name(found): objects.labels(found)[REVISION_LABEL] for found in await world.list(PODS)}
    assert revisions["web-0"] == status["currentRevision"]
    assert revisions["web-1"] == revisions["web-2"] == status["updateRevision"]
    assert (status["currentReplicas"], status["updatedReplicas"]) == (1, 2)
    await world.patch(STATEFULSETS, "web", {"spec": {"updateStrategy": {"rollingUpdate": {"partition": 0}}}})
    await settle_all(world)
    status = (await world.get(STATEFULSETS, "web"))["status"]
    assert status["currentRevision"] == status["updateRevision"]
    assert len(await world.list(CONTROLLERREVISIONS)) == 2


async def test_never_two_pods_of_one_identity(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    await world.add_nodes("n1")
    await world.create(STATEFULSETS, stateful(replicas=1))
    await world.run_pods(node="n1")
    before = objects.uid(await world.get(PODS, "web-0"))
    await world.client.delete(PODS, "web-0", namespace="default")
    await world.advance(3600)
    assert objects.uid(await world.get(PODS, "web-0")) == before
    await world.reap_pods()
    assert objects.uid(await world.get(PODS, "web-0")) != before


async def test_a_pod_that_failed_is_recreated(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    await world.add_nodes("n1")
    await world.create(STATEFULSETS, stateful(replicas=1))
    before = await world.get(PODS, "web-0")
    await world.finish_pods("Failed", [before])
    await world.reap_pods()
    assert objects.uid(await world.get(PODS, "web-0")) != objects.uid(before)


async def test_claims_stay_or_go_as_the_retention_policy_says(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    await world.add_nodes("n1")
    retention = {"whenDeleted": "Retain", "whenScaled": "Delete"}
    await world.create(
        STATEFULSETS,
        stateful(replicas=2, volumeClaimTemplates=[data_claim()], persistentVolumeClaimRetentionPolicy=retention),
    )
    await settle_all(world)
    claims = {objects.name(found): found for found in await world.list(PERSISTENTVOLUMECLAIMS)}
    assert sorted(claims) == ["data-web-0", "data-web-1"]
    volumes = (await world.get(PODS, "web-1"))["spec"]["volumes"]
    assert volumes[0]["persistentVolumeClaim"]["claimName"] == "data-web-1"
    await world.patch(STATEFULSETS, "web", {"spec": {"replicas": 1}})
    [owner] = objects.owner_references(await world.get(PERSISTENTVOLUMECLAIMS, "data-web-1"))
    assert (owner["kind"], owner["name"]) == ("Pod", "web-1")
    assert objects.owner_references(await world.get(PERSISTENTVOLUMECLAIMS, "data-web-0")) == []


def test_max_unavailable_updates_several_at_once() -> None:
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 2}}
    owner = stateful(replicas=4, podManagementPolicy="Parallel", updateStrategy=rolling)
    owner["metadata"]["uid"] = "u"
    old, new = (history.make(owner, STATEFULSETS, number, number, "hash") for number in (1, 2))
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    pods = [
        {**make_pod(owner, objects.name(old), ordinal), "status": {"phase": "Running", "conditions": [ready]}}
        for ordinal in range(4)
    ]
    todo = plan(owner, pods, {}, old, new, now_s=2e9)
    assert [objects.name(found) for found in todo.delete] == ["web-3", "web-2"]
    pods[1]["status"]["conditions"] = []
    todo = plan(owner, pods, {}, old, new, now_s=2e9)
    assert [objects.name(found) for found in todo.delete] == ["web-3"]


async def test_a_pod_of_another_name_is_not_adopted(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    await world.add_nodes("n1")
    await world.create(PODS, pod("stranger"))
    await world.create(STATEFULSETS, stateful(replicas=0))
    assert objects.controller_of(await world.get(PODS, "stranger")) is None
