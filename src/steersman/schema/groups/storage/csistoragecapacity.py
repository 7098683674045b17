"""CSIStorageCapacity: how much a CSI driver can still provision in a topology segment."""

from __future__ import annotations

from steersman.meta.resources import CSISTORAGECAPACITIES
from steersman.schema.cells import UNSET
from steersman.schema.columns import NAME, text
from steersman.schema.kind import Kind

KIND = Kind(
    resource=CSISTORAGECAPACITIES,
    definition="io.k8s.api.storage.v1.CSIStorageCapacity",
    singular="csistoragecapacity",
    storage_prefix="csistoragecapacities",
    allows_unconditional_update=False,
    columns=(
        NAME,
        text(
            "StorageClassName",
            "storageClassName",
            documented_by="io.k8s.api.storage.v1.CSIStorageCapacity/storageClassName",
        ),
        text("Capacity", "capacity", empty=UNSET, documented_by="io.k8s.api.storage.v1.CSIStorageCapacity/capacity"),
    ),
)
