"""Having volumes made for claims: by an external provisioner, which waits for an annotation, or as a hostPath."""

from __future__ import annotations

import uuid

from steersman.controllers.runtime import Context
from steersman.controllers.standing import Notice, StandingEvents
from steersman.controllers.storageobjects import StorageObjects
from steersman.controllers.volumebinding import bound_volume, with_annotation
from steersman.controllers.volumeplugins import HOST_PATH, MIGRATED, VolumePluginError, is_external
from steersman.controllers.volumes import (
    BETA_STORAGE_PROVISIONER,
    BOUND_BY_CONTROLLER,
    IN_TREE_FINALIZER,
    PROVISIONED_BY,
    SELECTED_NODE,
    STORAGE_PROVISIONER,
    class_of,
    spec_of,
)
from steersman.meta import objects
from steersman.meta.errors import AlreadyExists, APIError, NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import PERSISTENTVOLUMECLAIMS, PERSISTENTVOLUMES


class Provisioner:
    """Asks for one volume a claim, however often it is called."""

    def __init__(self, context: Context, storage: StorageObjects, standing: StandingEvents) -> None:
        self._context = context
        self._storage = storage
        self._standing = standing

    async def provision(self, claim: Object, storage_class: Object) -> None:
        """What cannot be done is told as an Event of the claim, and tried again when the caller next does."""
        if not self._context.config.enable_dynamic_provisioning:
            return
        stated = str(storage_class.get("provisioner") or "")
        provisioner = MIGRATED.get(stated, stated)
        try:
            external = is_external(stated)
            claim = await self._marked(claim, provisioner)
            if not external:
                await self._provision_host_path(claim, storage_class)
                return
        except VolumePluginError as error:
            self._tell(claim, Notice(type="Warning", reason="ProvisioningFailed", message=str(error)))
            return
        text = (
            f"Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the system "
            "administrator. If volume creation is delayed, please verify that the provisioner is running and correctly "
            "registered."
        )
        self._tell(claim, Notice(type="Normal", reason="ExternalProvisioning", message=text))

    async def _marked(self, claim: Object, provisioner: str) -> Object:
        """``claim`` with the annotation that external provisioners watch for."""
        if objects.annotations(claim).get(STORAGE_PROVISIONER) == provisioner:
            return claim
        wanted = with_annotation(claim, BETA_STORAGE_PROVISIONER, provisioner)
        return await self._storage.save_claim(claim, with_annotation(wanted, STORAGE_PROVISIONER, provisioner))

    async def _provision_host_path(self, claim: Object, storage_class: Object) -> None:
        """Raises ``VolumePluginError``."""
        config, class_name = self._context.config, objects.name(storage_class)
        if spec_of(claim).get("dataSource"):
            what = "is not a CSI plugin. Only CSI plugin can provision a claim with a datasource"
            raise VolumePluginError(f'plugin "{HOST_PATH}" {what}')
        if storage_class.get("mountOptions"):
            options = " ".join(storage_class["mountOptions"])
            what = f'StorageClass "{class_name}" has mount options [{options}]'
            raise VolumePluginError(f"Mount options are not supported by the provisioner but {what}")
        if not config.enable_hostpath_provisioner:
            text = f'provisioning in volume plugin "{HOST_PATH}" is disabled'
            raise VolumePluginError(f"Failed to create provisioner: {text}")
        if await self._is_made(volume_name(claim)):
            return
        path = f"/tmp/hostpath_pv/{uuid.UUID(int=self._context.rng.getrandbits(128), version=4)}"
        why_not = await self._make_folder(claim, path)
        if why_not:
            await self._storage.save_claim(claim, with_annotation(claim, SELECTED_NODE, None))
            raise VolumePluginError(f'Failed to provision volume with StorageClass "{class_name}": {why_not}')
        await self._create(claim, host_path_volume(claim, storage_class, path))

    async def _is_made(self, name: str) -> bool:
        """Ask the server: a volume that was made a moment ago is in no cache, and its folder must not be made twice."""
        try:
            await self._context.client.get(PERSISTENTVOLUMES, name)
        except NotFound:
            return False
        return True

    async def _make_folder(self, claim: Object, path: str) -> str:
        """Why it cannot be made; empty where it is. In a simulated cluster there is none to make."""
        if spec_of(claim).get("volumeMode") == "Block":
            return f"{HOST_PATH} does not support block volume provisioning"
        host_paths = self._context.config.host_paths
        try:
            if host_paths is not None:
                await host_paths.make(path)
        except OSError as error:
            return str(error)
        return ""

    async def _create(self, claim: Object, volume: Object) -> None:
        try:
            await self._context.client.create(PERSISTENTVOLUMES, volume)
        except AlreadyExists:
            return
        except APIError as error:
            host_paths = self._context.config.host_paths
            if host_paths is not None:
                await host_paths.remove(volume["spec"]["hostPath"]["path"])
            what = f"Error creating provisioned PV object for claim {objects.key_of(claim)}"
            raise VolumePluginError(f"{what}: {error.message}. Deleting the volume.") from error
        text = f"Successfully provisioned volume {objects.name(volume)} using {HOST_PATH}"
        self._context.events.event(
            claim, PERSISTENTVOLUMECLAIMS, type="Normal", reason="ProvisioningSucceeded", message=text
        )

    def _tell(self, claim: Object, notice: Notice) -> None:
        self._standing.tell(claim, PERSISTENTVOLUMECLAIMS, notice)


def volume_name(claim: Object) -> str:
    """The name of the volume that is made for ``claim``; the same at every try."""
    return f"pvc-{objects.uid(claim)}"


def host_path_volume(claim: Object, storage_class: Object, path: str) -> Object:
    """The volume that hostPath provisioning makes for ``claim``, already promised to it."""
    policy = storage_class.get("reclaimPolicy") or "Delete"
    promised = bound_volume({"metadata": {"name": volume_name(claim)}, "spec": {}}, claim)
    annotations = {
        "kubernetes.io/createdby": "hostpath-dynamic-provisioner",
        BOUND_BY_CONTROLLER: "yes",
        PROVISIONED_BY: HOST_PATH,
    }
    named = objects.with_metadata(
        promised, annotations=annotations, finalizers=[IN_TREE_FINALIZER] if policy == "Delete" else None
    )
    spec = {
        **promised["spec"],
        "persistentVolumeReclaimPolicy": policy,
        "accessModes": spec_of(claim).get("accessModes") or ["ReadWriteOnce"],
        "capacity": {"storage": ((spec_of(claim).get("resources") or {}).get("requests") or {}).get("storage") or "0"},
        "hostPath": {"path": path},
        "storageClassName": class_of(claim),
    }
    return {"apiVersion": "v1", "kind": "PersistentVolume", **named, "spec": spec}
