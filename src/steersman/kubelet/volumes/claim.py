"""``persistentVolumeClaim`` and generic ``ephemeral`` volumes whose persistent volume is a path of this node."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from steersman.kubelet.admission import selects
from steersman.kubelet.volumes.api import MountedVolume, VolumeContext, VolumeError, VolumePlugin
from steersman.kubelet.volumes.host_path import check_host_path
from steersman.kubelet.volumes.ownership import set_ownership
from steersman.meta import objects
from steersman.meta.resources import PERSISTENTVOLUMECLAIMS, PERSISTENTVOLUMES

_NOT_SOURCES = frozenset({
    "accessModes", "capacity", "claimRef", "mountOptions", "nodeAffinity", "persistentVolumeReclaimPolicy",
    "storageClassName", "volumeMode", "volumeAttributesClassName",
})  # fmt: skip


class PersistentClaim:
    """A claim by name."""

    field = "persistentVolumeClaim"
    refreshes = False

    async def set_up(self, context: VolumeContext) -> MountedVolume:
        spec = context.volume[self.field]
        return await mount_claim(context, spec["claimName"], read_only=bool(spec.get("readOnly")), owned=False)


class EphemeralClaim:
    """The claim that the ephemeral volume controller made for the pod."""

    field = "ephemeral"
    refreshes = False

    async def set_up(self, context: VolumeContext) -> MountedVolume:
        return await mount_claim(context, f"{objects.name(context.pod)}-{context.name}", read_only=False, owned=True)


async def mount_claim(context: VolumeContext, name: str, *, read_only: bool, owned: bool) -> MountedVolume:
    """The folder behind the claim. ``owned``: it has to be controlled by the pod. Raises ``VolumeError``."""
    claim = await context.source.get(PERSISTENTVOLUMECLAIMS, context.namespace, name)
    if owned and not objects.is_controlled_by(claim, context.pod):
        raise VolumeError(f"PVC {context.namespace}/{name} was not created for pod {objects.key_of(context.pod)}")
    if objects.is_deleting(claim):
        raise VolumeError(f"PVC {context.namespace}/{name} is being deleted")
    volume_name = (claim.get("spec") or {}).get("volumeName") or ""
    if not volume_name or (claim.get("status") or {}).get("phase") != "Bound":
        raise VolumeError(f"PVC {context.namespace}/{name} is not bound")
    volume = await context.source.get(PERSISTENTVOLUMES, "", volume_name)
    bound_to = volume["spec"].get("claimRef") or {}
    if bound_to.get("uid") != objects.uid(claim):
        raise VolumeError(f"PV {volume_name} is bound to another claim than {context.namespace}/{name}")
    if volume["spec"].get("volumeMode") == "Block":
        raise VolumeError(f"PV {volume_name}: block volumes are not supported by this kubelet")
    affinity = (volume["spec"].get("nodeAffinity") or {}).get("required")
    if affinity is not None and context.node is not None and not selects(affinity, context.node):
        raise VolumeError(f"PV {volume_name}: no matching NodeSelectorTerms")
    path = await asyncio.to_thread(_path, volume)
    if context.fs_group is not None and "local" in volume["spec"]:
        policy = (context.pod["spec"].get("securityContext") or {}).get("fsGroupChangePolicy")
        await asyncio.to_thread(
            set_ownership, path, context.fs_group, on_root_mismatch=policy == "OnRootMismatch"
        )  # fmt: skip
    modes = volume["spec"].get("accessModes") or []
    return MountedVolume(name=context.name, path=path, read_only=read_only or modes == ["ReadOnlyMany"])


def _path(volume: Mapping[str, Any]) -> Path:
    spec = volume["spec"]
    if "hostPath" in spec:
        path = Path(spec["hostPath"]["path"])
        check_host_path(path, spec["hostPath"].get("type") or "")
        return path
    if "local" in spec:
        path = Path(spec["local"]["path"])
        if not path.is_dir():
            raise VolumeError(f'path "{path}" does not exist')
        return path
    kinds = sorted(set(spec) - _NOT_SOURCES)
    raise VolumeError(f"persistent volume type {', '.join(kinds)} is not supported by this kubelet")


def _conforms() -> list[VolumePlugin]:
    return [PersistentClaim(), EphemeralClaim()]
