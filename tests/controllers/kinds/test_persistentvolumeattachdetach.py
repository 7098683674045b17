"""VolumeAttachments: made for what pods need, one node at a time, taken away when the node has let go or is gone."""

from __future__ import annotations

from steersman.controllers.attachments import MANAGED, attachment_name
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import (
    CSIDRIVERS,
    EVENTS,
    NODES,
    PERSISTENTVOLUMECLAIMS,
    PERSISTENTVOLUMES,
    PODS,
    VOLUMEATTACHMENTS,
)
from tests.controllers.builders import pod
from tests.controllers.conftest import StartWorld
from tests.controllers.kinds.test_persistentvolumebinder import claim, volume
from tests.controllers.world import World

CONTROLLERS = ("persistentvolume-attach-detach-controller", "persistentvolume-binder-controller")
HANDLE = "kubernetes.io/csi/disks.example^h1"


def mounting(name: str) -> Object:
    return pod(name, spec={"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]})


async def a_world(world_of: StartWorld, *modes: str, **config: object) -> World:
    world = await world_of(*CONTROLLERS, **config)
    await world.add_nodes("n1", "n2")
    for name in ("n1", "n2"):
        await world.patch(NODES, name, {"metadata": {"annotations": {MANAGED: "true"}}})
    wanted = list(modes or ("ReadWriteOnce",))
    await world.create(PERSISTENTVOLUMES, volume(csi={"driver": "disks.example", "volumeHandle": "h1"}, modes=wanted))
    await world.create(PERSISTENTVOLUMECLAIMS, claim(modes=wanted))
    return world


async def run_on(world: World, name: str, node: str) -> Object:
    made = await world.create(PODS, mounting(name))
    await world.run_pod(made, node=node)
    await world.settle()
    return made


async def attach(world: World) -> None:
    """Do what an external attacher does."""
    for found in await world.list(VOLUMEATTACHMENTS):
        if not objects.is_deleting(found):
            await world.set_status(VOLUMEATTACHMENTS, found, attached=True)
    await world.settle()


async def use(world: World, node: str, *names: str) -> None:
    await world.set_status(NODES, await world.get(NODES, node), volumesInUse=list(names))
    await world.settle()


async def attached_to(world: World, node: str) -> list[str]:
    status = (await world.get(NODES, node))["status"]
    return [entry["name"] for entry in status.get("volumesAttached") or ()]


async def stop(world: World, name: str) -> None:
    await world.client.delete(PODS, name, namespace="default", grace_period_s=0)
    await world.settle()


async def reasons(world: World) -> list[tuple[str, str]]:
    return [(event["reason"], event["message"]) for event in await world.list(EVENTS)]


async def test_a_volume_is_attached_for_a_pod_and_detached_after_it(world_of: StartWorld) -> None:
    world = await a_world(world_of)
    await run_on(world, "db", "n1")
    (made,) = await world.list(VOLUMEATTACHMENTS)
    assert made["spec"] == {
        "attacher": "disks.example",
        "nodeName": "n1",
        "source": {"persistentVolumeName": "disk"},
    }
    assert objects.name(made) == attachment_name(await world.get(PERSISTENTVOLUMES, "disk"), "n1")
    assert await attached_to(world, "n1") == []
    await attach(world)
    assert await attached_to(world, "n1") == [HANDLE]
    assert ("SuccessfulAttachVolume", 'AttachVolume.Attach succeeded for volume "disk" ') in await reasons(world)
    await use(world, "n1", HANDLE)
    await stop(world, "db")
    assert len(await world.list(VOLUMEATTACHMENTS)) == 1
    await use(world, "n1")
    assert await attached_to(world, "n1") == []
    assert not await world.list(VOLUMEATTACHMENTS)


async def test_a_volume_for_one_node_waits_until_the_other_has_let_go(world_of: StartWorld) -> None:
    world = await a_world(world_of)
    await run_on(world, "old", "n1")
    await attach(world)
    await use(world, "n1", HANDLE)
    await run_on(world, "new", "n2")
    assert [found["spec"]["nodeName"] for found in await world.list(VOLUMEATTACHMENTS)] == ["n1"]
    text = 'Multi-Attach error for volume "disk" Volume is already used by pod(s) old'
    assert ("FailedAttachVolume", text) in await reasons(world)
    await stop(world, "old")
    await use(world, "n1")
    assert [found["spec"]["nodeName"] for found in await world.list(VOLUMEATTACHMENTS)] == ["n2"]


async def test_a_volume_for_many_is_attached_to_many(world_of: StartWorld) -> None:
    world = await a_world(world_of, "ReadWriteMany")
    await run_on(world, "one", "n1")
    await run_on(world, "two", "n2")
    assert sorted(found["spec"]["nodeName"] for found in await world.list(VOLUMEATTACHMENTS)) == ["n1", "n2"]


async def test_a_node_that_is_not_ready_loses_its_volume_after_six_minutes(world_of: StartWorld) -> None:
    world = await a_world(world_of)
    await run_on(world, "db", "n1")
    await attach(world)
    await use(world, "n1", HANDLE)
    await world.set_status(NODES, await world.get(NODES, "n1"), conditions=[{"type": "Ready", "status": "Unknown"}])
    await stop(world, "db")
    await world.advance(359)
    assert len(await world.list(VOLUMEATTACHMENTS)) == 1
    await world.advance(2)
    assert not await world.list(VOLUMEATTACHMENTS)


async def test_a_ready_node_keeps_a_volume_that_it_uses_for_ever(world_of: StartWorld) -> None:
    world = await a_world(world_of)
    await run_on(world, "db", "n1")
    await attach(world)
    await use(world, "n1", HANDLE)
    await stop(world, "db")
    await world.advance(3600)
    assert len(await world.list(VOLUMEATTACHMENTS)) == 1


async def test_force_detaching_on_timeout_can_be_switched_off(world_of: StartWorld) -> None:
    world = await a_world(world_of, disable_force_detach_on_timeout=True)
    await run_on(world, "db", "n1")
    await attach(world)
    await use(world, "n1", HANDLE)
    await world.set_status(NODES, await world.get(NODES, "n1"), conditions=[{"type": "Ready", "status": "Unknown"}])
    await stop(world, "db")
    await world.advance(3600)
    assert len(await world.list(VOLUMEATTACHMENTS)) == 1
    taint = {"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute"}
    await world.patch(NODES, "n1", {"spec": {"taints": [taint]}})
    assert not await world.list(VOLUMEATTACHMENTS)


async def test_what_the_driver_could_not_attach_is_told(world_of: StartWorld) -> None:
    world = await a_world(world_of)
    await run_on(world, "db", "n1")
    (made,) = await world.list(VOLUMEATTACHMENTS)
    await world.set_status(VOLUMEATTACHMENTS, made, attached=False, attachError={"message": "no such disk"})
    await world.settle()
    assert ("FailedAttachVolume", 'AttachVolume.Attach failed for volume "disk" : no such disk') in await reasons(world)


async def test_a_driver_that_needs_no_attaching_gets_no_attachment(world_of: StartWorld) -> None:
    world = await a_world(world_of)
    driver = {"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": "disks.example"}}
    await world.create(CSIDRIVERS, {**driver, "spec": {"attachRequired": False}})
    await run_on(world, "db", "n1")
    assert not await world.list(VOLUMEATTACHMENTS)


async def test_attachments_that_someone_else_made_are_left_alone(world_of: StartWorld) -> None:
    world = await a_world(world_of)
    spec = {"attacher": "disks.example", "nodeName": "n1", "source": {"persistentVolumeName": "disk"}}
    foreign = {"apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttachment", "metadata": {"name": "by-hand"}}
    await world.create(VOLUMEATTACHMENTS, {**foreign, "spec": spec})
    await world.advance(3600)
    assert await world.exists(VOLUMEATTACHMENTS, "by-hand")
