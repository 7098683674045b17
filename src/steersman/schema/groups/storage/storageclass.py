"""StorageClass: how volumes are provisioned."""

from __future__ import annotations

from steersman.meta.resources import STORAGECLASSES
from steersman.schema.kind import Kind

KIND = Kind(
    resource=STORAGECLASSES,
    definition="io.k8s.api.storage.v1.StorageClass",
    singular="storageclass",
    short_names=("sc",),
    storage_prefix="storageclasses",
    delete_returns_object=True,
)
