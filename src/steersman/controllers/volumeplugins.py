"""What the volume types that are built into kube-controller-manager can do for a PersistentVolume: make, empty, delete it.

Since Kubernetes v1.31 few are left: hostPath (all three, for development), NFS (emptying by a pod); Fibre Channel, iSCSI and CSI
can nothing of it, which CSI leaves to its external provisioner. The cloud providers' types are carried out by CSI drivers
("CSI migration"): objects that name them are marked with the driver and otherwise left alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, Protocol

from msgspec import Struct

from steersman.controllers.volumes import (
    EXTERNAL_FINALIZER,
    IN_TREE_FINALIZER,
    MIGRATED_TO,
    PROVISIONED_BY,
    capacity_bytes,
    spec_of,
)
from steersman.meta import objects
from steersman.meta.objects import Object

HOST_PATH = "kubernetes.io/host-path"
IN_TREE_PREFIX = "kubernetes.io/"
MIGRATED: Mapping[str, str] = {
    "kubernetes.io/aws-ebs": "ebs.csi.aws.com",
    "kubernetes.io/azure-disk": "disk.csi.azure.com",
    "kubernetes.io/azure-file": "file.csi.azure.com",
    "kubernetes.io/cinder": "cinder.csi.openstack.org",
    "kubernetes.io/gce-pd": "pd.csi.storage.gke.io",
    "kubernetes.io/portworx-volume": "pxd.portworx.com",
    "kubernetes.io/vsphere-volume": "csi.vsphere.vmware.com",
}
"""In-tree provisioner -> the CSI driver that does its work."""
DELETABLE = re.compile(r"/tmp/.+")
GIBIBYTE = 2**30
RECYCLER_IMAGE = "registry.k8s.io/build-image/debian-base:bookworm-v1.0.6"
SCRUB = 'test -e /scrub && find /scrub -mindepth 1 -delete && test -z "$(ls -A /scrub)" || exit 1'

Deleter = Literal["external", "host-path"]


class HostPaths(Protocol):
    """Folders of the machine that the controllers run on: what hostPath provisioning is about."""

    async def make(self, path: str) -> None:
        """Raises ``OSError``."""

    async def remove(self, path: str) -> None:
        """The folder with all that is in it; no error where it is absent. Raises ``OSError``."""


class RecyclerTimeouts(Struct, frozen=True, kw_only=True):
    """How long a recycler pod may take, in seconds: at least the first, and the second for each gibibyte."""

    host_path_s: tuple[int, int] = (60, 30)
    nfs_s: tuple[int, int] = (300, 30)


class VolumePluginError(Exception):
    """No built-in volume type can do it; the message is upstream's."""


def deleter_of(volume: Object) -> Deleter:
    """Who deletes what is behind ``volume``. Raises ``VolumePluginError``."""
    provisioner = objects.annotations(volume).get(PROVISIONED_BY)
    if provisioner:
        if provisioner == HOST_PATH:
            return "host-path"
        if provisioner.startswith(IN_TREE_PREFIX):
            raise VolumePluginError(f"no volume plugin matched name: {provisioner}")
        return "external"
    if MIGRATED_TO in objects.annotations(volume) or spec_of(volume).get("csi"):
        return "external"
    if spec_of(volume).get("hostPath"):
        return "host-path"
    name = objects.name(volume)
    raise VolumePluginError(
        f'error getting deleter volume plugin for volume "{name}": no deletable volume plugin matched'
    )


async def delete_host_path(volume: Object, host_paths: HostPaths | None) -> None:
    """Without ``host_paths`` the cluster is simulated and nothing is behind the volume. Raises ``VolumePluginError``."""
    path = str((spec_of(volume).get("hostPath") or {}).get("path") or "")
    if not DELETABLE.search(path):
        raise VolumePluginError(f"host_path deleter only supports /tmp/.+ but received provided {path}")
    if host_paths is None:
        return
    try:
        await host_paths.remove(path)
    except OSError as error:
        raise VolumePluginError(str(error)) from error


def is_external(provisioner: str) -> bool:
    """Volumes are made by someone else, who reads claims from the API. Raises ``VolumePluginError``."""
    if provisioner == HOST_PATH:
        return False
    if provisioner in MIGRATED or not provisioner.startswith(IN_TREE_PREFIX):
        return True
    raise VolumePluginError(f"no volume plugin matched name: {provisioner}")


def recycler_pod(volume: Object, timeouts: RecyclerTimeouts) -> Object:
    """The pod that empties ``volume``. Raises ``VolumePluginError`` where its type cannot be emptied."""
    spec = spec_of(volume)
    if spec.get("hostPath"):
        source, (least_s, step_s) = {"hostPath": {"path": spec["hostPath"].get("path")}}, timeouts.host_path_s
    elif spec.get("nfs"):
        source, (least_s, step_s) = (
            {"nfs": {name: spec["nfs"].get(name) for name in ("server", "path")}},
            timeouts.nfs_s,
        )
    else:
        raise VolumePluginError("No recycler plugin found for the volume!")
    container = {
        "name": "pv-recycler",
        "image": RECYCLER_IMAGE,
        "command": ["/bin/sh"],
        "args": ["-c", SCRUB],
        "volumeMounts": [{"name": "vol", "mountPath": "/scrub"}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": recycler_name(volume), "namespace": "default"},
        "spec": {
            "activeDeadlineSeconds": max(capacity_bytes(volume) // GIBIBYTE * step_s, least_s),
            "restartPolicy": "Never",
            "volumes": [{"name": "vol", **source}],
            "containers": [container],
        },
    }


def recycler_name(volume: Mapping[str, Any]) -> str:
    return f"recycler-for-{objects.name(volume)}"


def finalizers_of(volume: Object) -> list[str]:
    """The finalizers that ``volume`` should have: in-tree provisioners hold what they made until it is deleted."""
    have = objects.finalizers(volume)
    provisioner = objects.annotations(volume).get(PROVISIONED_BY)
    if provisioner is None:
        return have
    if provisioner in MIGRATED:
        return [name for name in have if name != IN_TREE_FINALIZER]
    if not provisioner.startswith(IN_TREE_PREFIX):
        return have
    kept = [name for name in have if name != EXTERNAL_FINALIZER]
    if spec_of(volume).get("persistentVolumeReclaimPolicy") == "Delete":
        return kept if IN_TREE_FINALIZER in kept else [*kept, IN_TREE_FINALIZER]
    return [name for name in kept if name != IN_TREE_FINALIZER]


_TYPES = {
    "awsElasticBlockStore": "kubernetes.io/aws-ebs",
    "azureDisk": "kubernetes.io/azure-disk",
    "azureFile": "kubernetes.io/azure-file",
    "cinder": "kubernetes.io/cinder",
    "gcePersistentDisk": "kubernetes.io/gce-pd",
    "portworxVolume": "kubernetes.io/portworx-volume",
    "vsphereVolume": "kubernetes.io/vsphere-volume",
}


def in_tree_type(volume: Object) -> str:
    """The in-tree name of a cloud provider's volume; empty for every other volume."""
    return next((name for field, name in _TYPES.items() if spec_of(volume).get(field)), "")


def migrated_driver(obj: Object, *annotations: str) -> str | None:
    """The CSI driver for the provisioner that ``obj`` names in the first of ``annotations`` it has; None: it names none."""
    for name in annotations:
        provisioner = objects.annotations(obj).get(name)
        if provisioner is not None:
            return MIGRATED.get(provisioner, "")
    return None
