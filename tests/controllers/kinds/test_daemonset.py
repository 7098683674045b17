"""DaemonSet: on which nodes, and how it is updated."""

from __future__ import annotations

from typing import Any

from steersman.controllers.daemonplan import node_of
from steersman.controllers.pods import phase
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import CONTROLLERREVISIONS, DAEMONSETS, NODES, PODS
from tests.controllers.builders import workload
from tests.controllers.conftest import StartWorld
from tests.controllers.world import World

NAME = "daemonset-controller"


def daemons(**spec: Any) -> Object:
    return workload(DAEMONSETS, **spec)


async def nodes(world: World) -> list[str]:
    return sorted(node_of(found) for found in await world.list(PODS) if not objects.is_deleting(found))


async def run(world: World) -> None:
    for _ in range(6):
        for number, found in enumerate(await world.list(PODS)):
            if not objects.is_deleting(found) and (found.get("status") or {}).get("phase") != "Running":
                await world.run_pod(found, node=node_of(found), address=f"10.0.0.{number + 1}")
        await world.settle()
        await world.reap_pods()


async def set_image(world: World, image: str) -> None:
    container = {"name": "main", "image": image}
    await world.patch(DAEMONSETS, "web", {"spec": {"template": {"spec": {"containers": [container]}}}})


async def test_one_pod_on_each_node_that_fits(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    await world.add_nodes("n1", "n2", disk="fast")
    await world.add_nodes("n3")
    made = daemons()
    made["spec"]["template"]["spec"]["nodeSelector"] = {"disk": "fast"}
    await world.create(DAEMONSETS, made)
    assert await nodes(world) == ["n1", "n2"]
    await run(world)
    status = (await world.get(DAEMONSETS, "web"))["status"]
    assert status["desiredNumberScheduled"] == status["currentNumberScheduled"] == status["numberReady"] == 2
    assert status["numberMisscheduled"] == 0
    await world.patch(NODES, "n3", {"metadata": {"labels": {"disk": "fast"}}})
    assert await nodes(world) == ["n1", "n2", "n3"]
    await world.patch(NODES, "n1", {"metadata": {"labels": {"disk": None}}})
    assert await nodes(world) == ["n2", "n3"]
    await run(world)


async def test_taints_keep_new_pods_away_and_drive_old_ones_off(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    await world.add_nodes("n1", "n2")
    await world.create(DAEMONSETS, daemons())
    await run(world)
    await world.patch(NODES, "n1", {"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}})
    assert await nodes(world) == ["n1", "n2"]
    await world.patch(NODES, "n1", {"spec": {"taints": [{"key": "a", "effect": "NoExecute"}]}})
    assert await nodes(world) == ["n2"]
    await run(world)
    await world.patch(
        NODES, "n1", {"spec": {"taints": [{"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}]}}
    )
    assert await nodes(world) == ["n1", "n2"]
    await run(world)


async def test_an_update_leaves_only_so_many_nodes_without_a_pod(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    await world.add_nodes("n1", "n2", "n3")
    await world.create(DAEMONSETS, daemons())
    await run(world)
    await set_image(world, "example/web:2")
    assert len(await nodes(world)) == 2
    await run(world)
    images = {found["spec"]["containers"][0]["image"] for found in await world.list(PODS)}
    assert images == {"example/web:2"}
    assert (await world.get(DAEMONSETS, "web"))["status"]["updatedNumberScheduled"] == 3


async def test_surge_starts_the_new_pod_before_the_old_one_goes(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    await world.add_nodes("n1", "n2")
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    await world.create(DAEMONSETS, daemons(updateStrategy=rolling))
    await run(world)
    await set_image(world, "example/web:2")
    assert len(await nodes(world)) == 3
    await run(world)
    assert await nodes(world) == ["n1", "n2"]
    images = {found["spec"]["containers"][0]["image"] for found in await world.list(PODS)}
    assert images == {"example/web:2"}


async def test_on_delete_waits_for_the_user(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    await world.add_nodes("n1")
    await world.create(DAEMONSETS, daemons(updateStrategy={"type": "OnDelete"}))
    await run(world)
    [before] = await world.list(PODS)
    await set_image(world, "example/web:2")
    await run(world)
    assert [objects.uid(found) for found in await world.list(PODS)] == [objects.uid(before)]
    await world.client.delete(PODS, objects.name(before), namespace="default", grace_period_s=0)
    await run(world)
    [after] = await world.list(PODS)
    assert after["spec"]["containers"][0]["image"] == "example/web:2"


async def test_a_pod_that_fails_is_replaced_ever_more_slowly(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    await world.add_nodes("n1")
    await world.create(DAEMONSETS, daemons())
    for _ in range(2):
        [found] = await world.list(PODS)
        await world.finish_pods("Failed", [found])
        await world.reap_pods()
    [found] = await world.list(PODS)
    assert phase(found) == "Failed"
    await world.advance(1)
    await world.reap_pods()
    [fresh] = await world.list(PODS)
    assert objects.uid(fresh) != objects.uid(found)


async def test_the_life_of_revisions_that_someone_else_makes_and_deletes(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    await world.add_nodes("n1")
    await world.create(DAEMONSETS, daemons())
    await run(world)
    [first] = await world.list(CONTROLLERREVISIONS)
    labels = {**objects.labels(first), "controller-revision-hash": "by-hand"}
    metadata = {"name": "by-hand", "namespace": "default", "labels": labels}
    metadata["ownerReferences"] = first["metadata"]["ownerReferences"]
    second = {**first, "metadata": metadata, "revision": 2}
    await world.create(CONTROLLERREVISIONS, second)
    assert len(await world.list(CONTROLLERREVISIONS)) == 2
    await world.client.delete(CONTROLLERREVISIONS, objects.name(first), namespace="default")
    await run(world)
    await world.patch(NODES, "n1", {"metadata": {"labels": {"a": "b"}}})
    await run(world)
    [kept] = await world.list(CONTROLLERREVISIONS)
    assert kept["revision"] == 2
    await set_image(world, "example/web:2")
    assert [entry["revision"] for entry in await world.list(CONTROLLERREVISIONS)] == [2, 3]
    await run(world)


async def test_of_two_revisions_with_one_template_the_newer_stays(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    await world.add_nodes("n1")
    await world.create(DAEMONSETS, daemons())
    await run(world)
    [before] = await world.list(PODS)
    [first] = await world.list(CONTROLLERREVISIONS)
    labels = {**objects.labels(first), "controller-revision-hash": "by-hand"}
    metadata = {"name": "by-hand", "namespace": "default", "labels": labels}
    metadata["ownerReferences"] = first["metadata"]["ownerReferences"]
    await world.create(CONTROLLERREVISIONS, {**first, "metadata": metadata, "revision": 5})
    await world.patch(NODES, "n1", {"metadata": {"labels": {"a": "b"}}})
    await run(world)
    [kept] = await world.list(CONTROLLERREVISIONS)
    [after] = await world.list(PODS)
    assert objects.name(kept) == "by-hand"
    assert objects.uid(after) == objects.uid(before)
    assert objects.labels(after)["controller-revision-hash"] == "by-hand"
