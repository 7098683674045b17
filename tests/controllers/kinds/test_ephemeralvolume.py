"""Claims for generic ephemeral volumes; classes of volume attributes; enlarging; who may take what."""

from __future__ import annotations

import pytest

from steersman.controllers.kinds import persistentvolumeexpander
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import (
    EVENTS,
    PERSISTENTVOLUMECLAIMS,
    PERSISTENTVOLUMES,
    PODS,
    STORAGECLASSES,
    VOLUMEATTRIBUTESCLASSES,
)
from tests.controllers.builders import pod
from tests.controllers.conftest import StartWorld
from tests.controllers.kinds.test_persistentvolumebinder import claim, storage_class, volume


def consumer(name: str = "web") -> Object:
    template = {
        "metadata": {"labels": {"made": "for-pod"}},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    return pod(name, spec={"volumes": [{"name": "scratch", "ephemeral": {"volumeClaimTemplate": template}}]})


async def test_a_pod_gets_a_claim_of_its_own_for_each_ephemeral_volume(world_of: StartWorld) -> None:
    world = await world_of("ephemeral-volume-controller")
    owner = await world.create(PODS, consumer())
    made = await world.get(PERSISTENTVOLUMECLAIMS, "web-scratch")
    assert objects.is_controlled_by(made, owner)
    assert objects.labels(made) == {"made": "for-pod"}
    await world.client.delete(PERSISTENTVOLUMECLAIMS, "web-scratch", namespace="default")
    await world.patch(PERSISTENTVOLUMECLAIMS, "web-scratch", {"metadata": {"finalizers": None}})
    again = await world.get(PERSISTENTVOLUMECLAIMS, "web-scratch")
    assert objects.uid(again) != objects.uid(made)


async def test_a_claim_of_that_name_that_is_not_the_pods_is_left_alone(world_of: StartWorld) -> None:
    world = await world_of("ephemeral-volume-controller")
    await world.create(PERSISTENTVOLUMECLAIMS, claim("web-scratch"))
    await world.create(PODS, consumer())
    (event,) = await world.list(EVENTS)
    why = "PVC default/web-scratch was not created for pod default/web (pod is not owner)"
    assert (event["reason"], event["message"]) == ("FailedBinding", f"ephemeral volume scratch: {why}")
    await world.client.delete(PODS, "web", namespace="default", grace_period_s=0)
    await world.settle()


async def test_a_class_of_attributes_stays_while_a_claim_names_it(world_of: StartWorld) -> None:
    world = await world_of("volumeattributesclass-protection-controller")
    gold = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "VolumeAttributesClass",
        "metadata": {"name": "gold"},
        "driverName": "disks.example",
        "parameters": {"iops": "100"},
    }
    await world.create(VOLUMEATTRIBUTESCLASSES, gold)
    await world.create(PERSISTENTVOLUMECLAIMS, claim(volumeAttributesClassName="gold"))
    await world.client.delete(VOLUMEATTRIBUTESCLASSES, "gold")
    await world.settle()
    assert await world.exists(VOLUMEATTRIBUTESCLASSES, "gold")
    await world.client.delete(PERSISTENTVOLUMECLAIMS, "data", namespace="default")
    await world.patch(PERSISTENTVOLUMECLAIMS, "data", {"metadata": {"finalizers": None}})
    assert not await world.exists(VOLUMEATTRIBUTESCLASSES, "gold")


GROWING: Object = {**claim(size="2Gi"), "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}}


@pytest.mark.parametrize(
    ("wanted", "of", "message", "resizer"),
    [
        (claim(), volume(), None, None),
        (GROWING, volume(), "waiting for an external controller to expand this PVC", None),
        (
            GROWING,
            {"metadata": {"name": "d"}, "spec": {"gcePersistentDisk": {"pdName": "d"}}},
            "CSI migration enabled for kubernetes.io/gce-pd; waiting for external resizer to expand the pvc",
            "pd.csi.storage.gke.io",
        ),
    ],
)
def test_who_has_to_enlarge_a_volume(wanted: Object, of: Object, message: str | None, resizer: str | None) -> None:
    status = wanted.get("status") or {"capacity": {"storage": "1Gi"}}
    made = persistentvolumeexpander.plan({**wanted, "status": status}, of)
    assert (made.notice.message if made.notice else None) == message
    told = objects.annotations(made.update).get("volume.kubernetes.io/storage-resizer") if made.update else None
    assert told == resizer


async def test_a_claim_that_asks_for_more_is_told_who_has_to_do_it(world_of: StartWorld) -> None:
    world = await world_of("persistentvolume-expander-controller", "persistentvolume-binder-controller")
    await world.create(STORAGECLASSES, storage_class("grows", allowVolumeExpansion=True))
    disk = {"driver": "disks.example", "volumeHandle": "1"}
    await world.create(PERSISTENTVOLUMES, volume(csi=disk, storageClassName="grows"))
    await world.create(PERSISTENTVOLUMECLAIMS, claim(storageClassName="grows"))
    found = await world.get(PERSISTENTVOLUMECLAIMS, "data")
    grown = {**found["spec"], "resources": {"requests": {"storage": "2Gi"}}}
    await world.client.update(PERSISTENTVOLUMECLAIMS, {**found, "spec": grown})
    await world.settle()
    assert [event["reason"] for event in await world.list(EVENTS)] == ["ExternalExpanding"]
