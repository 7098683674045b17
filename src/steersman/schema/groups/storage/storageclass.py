"""StorageClass: how volumes are provisioned."""

from __future__ import annotations

from steersman.meta.objects import Object
from steersman.meta.resources import STORAGECLASSES
from steersman.schema.kind import Kind


def default(obj: Object) -> None:
    if not obj.get("reclaimPolicy"):
        obj["reclaimPolicy"] = "Delete"
    if not obj.get("volumeBindingMode"):
        obj["volumeBindingMode"] = "Immediate"


KIND = Kind(
    resource=STORAGECLASSES,
    definition="io.k8s.api.storage.v1.StorageClass",
    singular="storageclass",
    short_names=("sc",),
    storage_prefix="storageclasses",
    delete_returns_object=True,
    default=default,
)
