"""CSIDriver: what a CSI driver can do."""

from __future__ import annotations

from steersman.meta.resources import CSIDRIVERS
from steersman.schema.kind import Kind

KIND = Kind(
    resource=CSIDRIVERS,
    definition="io.k8s.api.storage.v1.CSIDriver",
    singular="csidriver",
    storage_prefix="csidrivers",
    allows_unconditional_update=False,
    delete_returns_object=True,
)
