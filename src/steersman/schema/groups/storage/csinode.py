"""CSINode: CSI drivers that are installed on a node."""

from __future__ import annotations

from steersman.meta.resources import CSINODES
from steersman.schema.columns import AGE, NAME, length
from steersman.schema.kind import Kind

KIND = Kind(
    resource=CSINODES,
    definition="io.k8s.api.storage.v1.CSINode",
    singular="csinode",
    storage_prefix="csinodes",
    returns_deleted_object=True,
    allows_unconditional_update=False,
    delete_returns_object=True,
    columns=(
        NAME,
        length(
            "Drivers",
            ("spec", "drivers"),
            description="Drivers indicates the number of CSI drivers registered on the node",
        ),
        AGE,
    ),
)
