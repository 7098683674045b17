"""StorageClass: how volumes are provisioned."""

from __future__ import annotations

from steersman.meta.objects import Object
from steersman.meta.objects import annotations as annotations_of
from steersman.meta.resources import STORAGECLASSES
from steersman.schema.columns import AGE, flag, named, own_name, text
from steersman.schema.kind import Kind


def default(obj: Object) -> None:
    if not obj.get("reclaimPolicy"):
        obj["reclaimPolicy"] = "Delete"
    if not obj.get("volumeBindingMode"):
        obj["volumeBindingMode"] = "Immediate"


def _name(obj: Object, now: float) -> str:
    marks = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")
    is_default = any(annotations_of(obj).get(mark) == "true" for mark in marks)
    return f"{own_name(obj, now)} (default)" if is_default else own_name(obj, now)


KIND = Kind(
    resource=STORAGECLASSES,
    definition="io.k8s.api.storage.v1.StorageClass",
    singular="storageclass",
    short_names=("sc",),
    storage_prefix="storageclasses",
    returns_deleted_object=True,
    delete_returns_object=True,
    default=default,
    columns=(
        named(_name),
        text("Provisioner", "provisioner", documented_by="io.k8s.api.storage.v1.StorageClass/provisioner"),
        text(
            "ReclaimPolicy",
            "reclaimPolicy",
            empty="Delete",
            documented_by="io.k8s.api.storage.v1.StorageClass/reclaimPolicy",
        ),
        text(
            "VolumeBindingMode",
            "volumeBindingMode",
            empty="Immediate",
            documented_by="io.k8s.api.storage.v1.StorageClass/volumeBindingMode",
        ),
        flag(
            "AllowVolumeExpansion",
            "allowVolumeExpansion",
            type="string",
            documented_by="io.k8s.api.storage.v1.StorageClass/allowVolumeExpansion",
        ),
        AGE,
    ),
)
