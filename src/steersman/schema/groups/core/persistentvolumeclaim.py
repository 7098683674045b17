"""PersistentVolumeClaim: a request for storage by a namespace."""

from __future__ import annotations

from steersman.meta.objects import Object, is_deleting
from steersman.meta.resources import PERSISTENTVOLUMECLAIMS
from steersman.schema.cells import UNSET
from steersman.schema.columns import AGE, NAME, computed, text, value_at
from steersman.schema.groups.core.accessmodes import short_access_modes, storage_class_of
from steersman.schema.groups.core.claimspec import default_claim_spec
from steersman.schema.groups.core.resourcelist import default_amounts
from steersman.schema.kind import Kind
from steersman.schema.subresources import STATUS


def default(obj: Object) -> None:
    default_claim_spec(obj.setdefault("spec", {}))
    status = obj.get("status")
    if status is None:
        status = obj["status"] = {}
    if not status.get("phase"):
        status["phase"] = "Pending"
    for part in ("capacity", "allocatedResources"):
        if status.get(part):
            default_amounts(status[part])


def _status(obj: Object, now: float) -> str:
    return "Terminating" if is_deleting(obj) else str(value_at(obj, "status", "phase") or "")


def _capacity(obj: Object, now: float) -> str:
    return str(value_at(obj, "status", "capacity", "storage") or "0") if value_at(obj, "spec", "volumeName") else ""


def _access_modes(obj: Object, now: float) -> str:
    return short_access_modes(value_at(obj, "status", "accessModes")) if value_at(obj, "spec", "volumeName") else ""


KIND = Kind(
    resource=PERSISTENTVOLUMECLAIMS,
    definition="io.k8s.api.core.v1.PersistentVolumeClaim",
    singular="persistentvolumeclaim",
    short_names=("pvc",),
    subresources=(STATUS,),
    storage_prefix="persistentvolumeclaims",
    returns_deleted_object=True,
    has_status=True,
    delete_returns_object=True,
    default=default,
    columns=(
        NAME,
        computed("Status", _status, documented_by="io.k8s.api.core.v1.PersistentVolumeClaimStatus/phase"),
        text("Volume", "spec", "volumeName", documented_by="io.k8s.api.core.v1.PersistentVolumeClaimSpec/volumeName"),
        computed("Capacity", _capacity, documented_by="io.k8s.api.core.v1.PersistentVolumeClaimStatus/capacity"),
        computed(
            "Access Modes", _access_modes, documented_by="io.k8s.api.core.v1.PersistentVolumeClaimStatus/accessModes"
        ),
        computed("StorageClass", lambda obj, now: storage_class_of(obj), description="StorageClass of the pvc"),
        text(
            "VolumeAttributesClass",
            "spec",
            "volumeAttributesClassName",
            empty=UNSET,
            description="VolumeAttributesClass of the pvc",
        ),
        AGE,
        text(
            "VolumeMode",
            "spec",
            "volumeMode",
            empty=UNSET,
            priority=1,
            documented_by="io.k8s.api.core.v1.PersistentVolumeClaimSpec/volumeMode",
        ),
    ),
)
