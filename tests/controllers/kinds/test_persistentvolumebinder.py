"""The binder: which volume a claim gets, what becomes of a volume whose claim is gone, how volumes are asked for."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from steersman.controllers.volumebinding import ClaimPlan, VolumePlan, plan_claim, plan_volume
from steersman.controllers.volumes import best_match
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import (
    EVENTS,
    PERSISTENTVOLUMECLAIMS,
    PERSISTENTVOLUMES,
    PODS,
    STORAGECLASSES,
)
from tests.controllers.builders import pod
from tests.controllers.conftest import StartWorld
from tests.controllers.world import World

BINDER = "persistentvolume-binder-controller"


def volume(name: str = "disk", size: str = "1Gi", **spec: object) -> Object:
    source = {} if {"local", "nfs", "csi"} & spec.keys() else {"hostPath": {"path": f"/tmp/steersman-test/{name}"}}
    modes = spec.pop("modes", ["ReadWriteOnce"])
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, **(spec.pop("metadata", {}))},  # type: ignore[dict-item]
        "spec": {"capacity": {"storage": size}, "accessModes": modes, **source, **spec},
    }


def claim(name: str = "data", size: str = "1Gi", **spec: object) -> Object:
    modes = spec.pop("modes", ["ReadWriteOnce"])
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": "default", **(spec.pop("metadata", {}))},  # type: ignore[dict-item]
        "spec": {
            "accessModes": modes,
            "resources": {"requests": {"storage": size}},
            "storageClassName": "",
            **spec,
        },
    }


def storage_class(name: str, provisioner: str = "kubernetes.io/no-provisioner", **fields: object) -> Object:
    metadata: Object = {"name": name, **(fields.pop("metadata", {}))}  # type: ignore[dict-item]
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": metadata,
        "provisioner": provisioner,
        **fields,
    }


async def events_of(world: World, name: str) -> list[tuple[str, str]]:
    found = [event for event in await world.list(EVENTS, "") if event["involvedObject"]["name"] == name]
    return [(event["reason"], event["message"]) for event in found]


async def phase(world: World, name: str) -> str:
    return str((await world.get(PERSISTENTVOLUMES, name))["status"]["phase"])


def available(found: Object) -> Object:
    return {**found, "status": {"phase": "Available"}}


@pytest.mark.parametrize(
    ("wanted", "volumes", "expected"),
    [
        (claim(size="2Gi"), [volume("a", "1Gi"), volume("b", "5Gi"), volume("c", "3Gi")], "c"),
        (claim(size="9Gi"), [volume("a", "1Gi")], None),
        (claim(), [volume("a", volumeMode="Block")], None),
        (claim(volumeMode="Block"), [volume("a"), volume("b", volumeMode="Block")], "b"),
        (claim(storageClassName="fast"), [volume("a"), volume("b", storageClassName="fast")], "b"),
        (claim(selector={"matchLabels": {"tier": "x"}}), [volume("a"), volume("b", metadata={"labels": {"tier": "x"}})], "b"),
        (claim(), [volume("a", claimRef={"namespace": "default", "name": "other"}), volume("b", "2Gi")], "b"),
        (claim(), [volume("a"), volume("b", "7Gi", claimRef={"namespace": "default", "name": "data"})], "b"),
        (claim(), [volume("a", claimRef={"namespace": "default", "name": "data", "uid": "an older one"})], None),
        (claim(volumeAttributesClassName="gold"), [volume("a")], None),
    ],
)  # fmt: skip
def test_the_smallest_volume_that_fits_is_the_best(
    wanted: Object, volumes: Sequence[Object], expected: str | None
) -> None:
    found = best_match(wanted, [available(each) for each in volumes], promised_only=False)
    assert (objects.name(found) if found else None) == expected


def test_where_the_scheduler_chooses_only_promised_volumes_match() -> None:
    promised = available(volume("b", claimRef={"namespace": "default", "name": "data"}))
    assert best_match(claim(), [available(volume("a"))], promised_only=True) is None
    assert best_match(claim(), [available(volume("a")), promised], promised_only=True) is promised


def plan_for(found: Object, named: Object | None = None, **facts: object) -> ClaimPlan:
    known: dict[str, object] = {"match": None, "storage_class": None, "default": None, "unscheduled": (), **facts}
    return plan_claim(found, named=named, **known)  # type: ignore[arg-type]


BOUND: Object = {"annotations": {"pv.kubernetes.io/bind-completed": "yes"}, "uid": "u1"}
WAITING = storage_class("late", volumeBindingMode="WaitForFirstConsumer")


@pytest.mark.parametrize(
    ("made", "phase", "reason"),
    [
        (plan_for(claim()), "Pending", "FailedBinding"),
        (plan_for(claim(storageClassName="gone")), None, "ProvisioningFailed"),
        (plan_for(claim(storageClassName="late"), storage_class=WAITING), "Pending", "WaitForFirstConsumer"),
        (plan_for(claim(storageClassName="late"), storage_class=WAITING, unscheduled=["a"]), "Pending", "WaitForPodScheduled"),
        (plan_for(claim(volumeName="x")), "Pending", None),
        (plan_for(claim(volumeName="x"), volume("x", "1Mi")), "Pending", "VolumeMismatch"),
        (plan_for(claim(volumeName="x"), volume("x", claimRef={"namespace": "n", "name": "o"})), "Pending", "FailedBinding"),
        (plan_for(claim(metadata=BOUND)), "Lost", "ClaimLost"),
        (plan_for(claim(metadata=BOUND, volumeName="x")), "Lost", "ClaimLost"),
        (plan_for(claim(metadata=BOUND, volumeName="x"), volume("x", claimRef={"name": "o", "uid": "u2"})), "Lost", "ClaimMisbound"),
    ],
)  # fmt: skip
def test_what_keeps_a_claim_from_its_volume(made: ClaimPlan, phase: str | None, reason: str | None) -> None:
    assert made.bind is None
    assert made.phase == phase
    assert (made.notice.reason if made.notice else None) == reason


@pytest.mark.parametrize(
    ("found", "of", "expected"),
    [
        (volume(), None, VolumePlan(phase="Available")),
        (volume(claimRef={"name": "data"}), None, VolumePlan(phase="Available")),
        (volume(claimRef={"name": "data", "uid": "u"}), None, VolumePlan(phase="Released", reclaim=True)),
        ({**volume(claimRef={"name": "data", "uid": "u"}), "status": {"phase": "Failed"}}, None, VolumePlan(reclaim=True)),
        (volume(claimRef={"name": "data", "uid": "u"}), claim(), VolumePlan(wake_claim=True)),
        (volume(claimRef={"name": "data", "uid": "u"}), claim(volumeMode="Block"), VolumePlan(is_mismatched=True)),
        (volume(claimRef={"name": "data", "uid": "u"}), claim(volumeName="disk"), VolumePlan(phase="Bound")),
        (volume(claimRef={"name": "data", "uid": "u"}), claim(volumeName="other"), VolumePlan(unbind=True)),
    ],
)  # fmt: skip
def test_what_becomes_of_a_volume(found: Object, of: Object | None, expected: VolumePlan) -> None:
    assert plan_volume(found, of) == expected


async def test_a_claim_is_bound_to_the_smallest_volume_and_keeps_it(world_of: StartWorld) -> None:
    world = await world_of(BINDER)
    await world.create(PERSISTENTVOLUMES, volume("large", "10Gi"))
    await world.create(PERSISTENTVOLUMES, volume("small", "2Gi"))
    await world.create(PERSISTENTVOLUMECLAIMS, claim())
    bound = await world.get(PERSISTENTVOLUMECLAIMS, "data")
    assert bound["spec"]["volumeName"] == "small"
    assert bound["status"] == {"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "2Gi"}}
    assert bound["metadata"]["annotations"] == {
        "pv.kubernetes.io/bind-completed": "yes",
        "pv.kubernetes.io/bound-by-controller": "yes",
    }
    holder = await world.get(PERSISTENTVOLUMES, "small")
    assert holder["spec"]["claimRef"]["uid"] == objects.uid(bound)
    assert [await phase(world, "small"), await phase(world, "large")] == ["Bound", "Available"]


async def test_two_claims_never_get_the_same_volume(world_of: StartWorld) -> None:
    world = await world_of(BINDER)
    for number in range(6):
        await world.client.create(PERSISTENTVOLUMECLAIMS, claim(f"data-{number}"))
    for number in range(6):
        await world.client.create(PERSISTENTVOLUMES, volume(f"disk-{number}"))
    await world.settle()
    taken = [found["spec"]["volumeName"] for found in await world.list(PERSISTENTVOLUMECLAIMS)]
    assert sorted(taken) == [f"disk-{number}" for number in range(6)]


async def test_a_claim_that_nothing_fits_waits_and_says_so_again_and_again(world_of: StartWorld) -> None:
    world = await world_of(BINDER)
    await world.create(PERSISTENTVOLUMECLAIMS, claim(size="5Gi"))
    assert await events_of(world, "data") == [
        ("FailedBinding", "no persistent volumes available for this claim and no storage class is set")
    ]
    await world.advance(31)
    assert (await world.list(EVENTS))[0]["count"] == 3
    await world.create(PERSISTENTVOLUMES, volume("late", "5Gi"))
    assert (await world.get(PERSISTENTVOLUMECLAIMS, "data"))["status"]["phase"] == "Bound"


async def test_a_class_that_waits_for_the_first_consumer_leaves_the_choice_to_the_scheduler(
    world_of: StartWorld,
) -> None:
    world = await world_of(BINDER)
    await world.create(STORAGECLASSES, storage_class("late", volumeBindingMode="WaitForFirstConsumer"))
    await world.create(PERSISTENTVOLUMES, volume(storageClassName="late"))
    await world.create(PERSISTENTVOLUMECLAIMS, claim(storageClassName="late"))
    assert [reason for reason, _ in await events_of(world, "data")] == ["WaitForFirstConsumer"]
    mounts = {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]}
    await world.create(PODS, pod("consumer", spec=mounts))
    assert ("WaitForPodScheduled", "waiting for pod consumer to be scheduled") in await events_of(world, "data")
    chosen = await world.get(PERSISTENTVOLUMES, "disk")
    reference = {"kind": "PersistentVolumeClaim", "apiVersion": "v1", "namespace": "default", "name": "data"}
    promised = {**chosen, "spec": {**chosen["spec"], "claimRef": reference}}
    await world.client.update(PERSISTENTVOLUMES, promised)
    await world.settle()
    assert (await world.get(PERSISTENTVOLUMECLAIMS, "data"))["status"]["phase"] == "Bound"
    assert await phase(world, "disk") == "Bound"


async def test_a_claim_that_names_a_volume_gets_that_one_or_none(world_of: StartWorld) -> None:
    world = await world_of(BINDER)
    await world.create(PERSISTENTVOLUMECLAIMS, claim(volumeName="mine", size="2Gi"))
    await world.create(PERSISTENTVOLUMES, volume("other", "2Gi"))
    await world.create(PERSISTENTVOLUMES, volume("mine", "1Gi"))
    assert (await world.get(PERSISTENTVOLUMECLAIMS, "data"))["status"]["phase"] == "Pending"
    assert await events_of(world, "data") == [
        ("VolumeMismatch", 'Cannot bind to requested volume "mine": requested PV is too small')
    ]
    await world.patch(PERSISTENTVOLUMES, "mine", {"spec": {"capacity": {"storage": "2Gi"}}})
    bound = await world.get(PERSISTENTVOLUMECLAIMS, "data")
    assert bound["status"]["phase"] == "Bound"
    assert "pv.kubernetes.io/bound-by-controller" not in objects.annotations(bound)


async def test_a_retained_volume_is_released_and_not_given_to_the_next_claim_of_that_name(world_of: StartWorld) -> None:
    world = await world_of(BINDER)
    await world.create(PERSISTENTVOLUMES, volume())
    await world.create(PERSISTENTVOLUMECLAIMS, claim())
    await world.client.delete(PERSISTENTVOLUMECLAIMS, "data", namespace="default")
    await world.patch(PERSISTENTVOLUMECLAIMS, "data", {"metadata": {"finalizers": None}})
    assert await phase(world, "disk") == "Released"
    await world.create(PERSISTENTVOLUMECLAIMS, claim())
    assert (await world.get(PERSISTENTVOLUMECLAIMS, "data"))["status"]["phase"] == "Pending"
    assert await phase(world, "disk") == "Released"
    await world.patch(PERSISTENTVOLUMES, "disk", {"spec": {"claimRef": None}})
    assert (await world.get(PERSISTENTVOLUMECLAIMS, "data"))["status"]["phase"] == "Bound"


async def release(world: World, made: Object) -> None:
    await world.create(PERSISTENTVOLUMES, made)
    await world.create(PERSISTENTVOLUMECLAIMS, claim())
    await world.client.delete(PERSISTENTVOLUMECLAIMS, "data", namespace="default")
    await world.patch(PERSISTENTVOLUMECLAIMS, "data", {"metadata": {"finalizers": None}})


class Folders:
    """Folders that exist in the test only."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.removed: list[str] = []

    async def make(self, path: str) -> None:
        self.made.append(path)

    async def remove(self, path: str) -> None:
        self.removed.append(path)


async def test_deleting_a_claim_deletes_its_volume_and_the_folder_behind_it(world_of: StartWorld) -> None:
    folders = Folders()
    world = await world_of(BINDER, "persistentvolume-protection-controller", host_paths=folders)
    await release(world, volume(persistentVolumeReclaimPolicy="Delete"))
    assert not await world.exists(PERSISTENTVOLUMES, "disk")
    assert set(folders.removed) == {"/tmp/steersman-test/disk"}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            {
                "local": {"path": "/disks/1"},
                "nodeAffinity": {
                    "required": {
                        "nodeSelectorTerms": [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "Exists"}]}]
                    }
                },
            },
            'error getting deleter volume plugin for volume "disk": no deletable volume plugin matched',
        ),
        (
            {"hostPath": {"path": "/srv/data"}},
            "host_path deleter only supports /tmp/.+ but received provided /srv/data",
        ),
    ],
)  # fmt: skip
async def test_a_volume_that_cannot_be_deleted_fails_and_says_why(
    world_of: StartWorld, source: Object, message: str
) -> None:
    world = await world_of(BINDER, host_paths=Folders())
    await release(world, volume(persistentVolumeReclaimPolicy="Delete", **source))
    found = await world.get(PERSISTENTVOLUMES, "disk")
    assert found["status"] == {**found["status"], "phase": "Failed", "message": message}
    assert await events_of(world, "disk") == [("VolumeFailedDelete", message)]


async def test_a_volume_of_a_csi_driver_is_left_to_its_provisioner(world_of: StartWorld) -> None:
    world = await world_of(BINDER)
    await release(
        world, volume(persistentVolumeReclaimPolicy="Delete", csi={"driver": "d.example", "volumeHandle": "h"})
    )
    assert await phase(world, "disk") == "Released"


async def test_a_recycled_volume_is_emptied_by_a_pod_and_free_again(world_of: StartWorld) -> None:
    world = await world_of(BINDER)
    await release(world, volume(persistentVolumeReclaimPolicy="Recycle", size="3Gi"))
    recycler = await world.get(PODS, "recycler-for-disk")
    assert recycler["spec"]["activeDeadlineSeconds"] == 90
    assert recycler["spec"]["volumes"][0]["hostPath"]["path"] == "/tmp/steersman-test/disk"
    assert await phase(world, "disk") == "Released"
    await world.finish_pods("Succeeded", [recycler])
    await world.reap_pods()
    freed = await world.get(PERSISTENTVOLUMES, "disk")
    assert (freed["status"]["phase"], "claimRef" in freed["spec"]) == ("Available", False)
    assert ("VolumeRecycled", "Volume recycled") in await events_of(world, "disk")
    assert not await world.list(PODS)


async def test_a_recycler_that_fails_is_started_again_later(world_of: StartWorld) -> None:
    world = await world_of(BINDER)
    await release(world, volume(persistentVolumeReclaimPolicy="Recycle"))
    await world.finish_pods("Failed", await world.list(PODS))
    await world.reap_pods()
    why = "Recycle failed: failed to recycle volume: pod failed, pod.Status.Message unknown"
    assert await phase(world, "disk") == "Failed"
    assert ("VolumeFailedRecycle", why) in await events_of(world, "disk")
    await world.advance(16)
    await world.finish_pods("Succeeded", await world.list(PODS))
    await world.reap_pods()
    assert await phase(world, "disk") == "Available"


async def test_a_pod_that_someone_else_made_is_no_recycler(world_of: StartWorld) -> None:
    world = await world_of(BINDER)
    await world.create(PODS, pod("recycler-for-disk"))
    await world.finish_pods("Succeeded", await world.list(PODS))
    await release(world, volume(persistentVolumeReclaimPolicy="Recycle"))
    assert await phase(world, "disk") == "Failed"
    assert ("VolumeFailedRecycle", "Recycle failed: old recycler pod found, will retry later") in await events_of(
        world, "disk"
    )
    await world.reap_pods()
    await world.advance(16)
    assert await world.exists(PODS, "recycler-for-disk")


async def test_a_claim_whose_volume_is_gone_is_lost(world_of: StartWorld) -> None:
    world = await world_of(BINDER)
    await world.create(PERSISTENTVOLUMES, volume())
    await world.create(PERSISTENTVOLUMECLAIMS, claim())
    await world.client.delete(PERSISTENTVOLUMES, "disk")
    await world.patch(PERSISTENTVOLUMES, "disk", {"metadata": {"finalizers": None}})
    assert (await world.get(PERSISTENTVOLUMECLAIMS, "data"))["status"] == {"phase": "Lost"}
    assert await events_of(world, "data") == [
        ("ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!")
    ]


async def test_a_claim_without_a_class_gets_the_default_that_comes_later(world_of: StartWorld) -> None:
    world = await world_of(BINDER)
    unspecified = claim()
    del unspecified["spec"]["storageClassName"]
    await world.create(PERSISTENTVOLUMECLAIMS, unspecified)
    marked: Object = {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}
    await world.create(STORAGECLASSES, storage_class("standard", "disks.example", metadata=marked))
    found = await world.get(PERSISTENTVOLUMECLAIMS, "data")
    assert found["spec"]["storageClassName"] == "standard"
    assert objects.annotations(found)["volume.kubernetes.io/storage-provisioner"] == "disks.example"
    assert [reason for reason, _ in await events_of(world, "data")][-1] == "ExternalProvisioning"


async def test_an_in_tree_cloud_provisioner_is_replaced_by_its_csi_driver(world_of: StartWorld) -> None:
    world = await world_of(BINDER)
    await world.create(STORAGECLASSES, storage_class("gold", "kubernetes.io/gce-pd"))
    await world.create(PERSISTENTVOLUMECLAIMS, claim(storageClassName="gold"))
    annotations = objects.annotations(await world.get(PERSISTENTVOLUMECLAIMS, "data"))
    assert annotations["volume.kubernetes.io/storage-provisioner"] == "pd.csi.storage.gke.io"


async def test_a_host_path_is_provisioned_where_that_is_switched_on(world_of: StartWorld) -> None:
    folders = Folders()
    world = await world_of(BINDER, enable_hostpath_provisioner=True, host_paths=folders)
    await world.create(STORAGECLASSES, storage_class("dev", "kubernetes.io/host-path", reclaimPolicy="Delete"))
    await world.create(PERSISTENTVOLUMECLAIMS, claim(storageClassName="dev", size="3Gi"))
    bound = await world.get(PERSISTENTVOLUMECLAIMS, "data")
    assert bound["status"]["phase"] == "Bound"
    made = await world.get(PERSISTENTVOLUMES, f"pvc-{objects.uid(bound)}")
    assert [made["spec"]["hostPath"]["path"]] == folders.made
    assert "kubernetes.io/pv-controller" in objects.finalizers(made)
    await world.client.delete(PERSISTENTVOLUMECLAIMS, "data", namespace="default")
    await world.patch(PERSISTENTVOLUMECLAIMS, "data", {"metadata": {"finalizers": None}})
    await world.patch(PERSISTENTVOLUMES, objects.name(made), {"metadata": {"finalizers": None}})
    assert set(folders.removed) == set(folders.made)


async def test_a_host_path_is_not_provisioned_by_default(world_of: StartWorld) -> None:
    world = await world_of(BINDER)
    await world.create(STORAGECLASSES, storage_class("dev", "kubernetes.io/host-path"))
    await world.create(PERSISTENTVOLUMECLAIMS, claim(storageClassName="dev"))
    why = 'Failed to create provisioner: provisioning in volume plugin "kubernetes.io/host-path" is disabled'
    assert await events_of(world, "data") == [("ProvisioningFailed", why)]
