"""DeviceClass: a kind of device that claims may ask for."""

from __future__ import annotations

from steersman.meta.resources import DEVICECLASSES
from steersman.schema.columns import AGE, NAME
from steersman.schema.kind import Kind

KIND = Kind(
    resource=DEVICECLASSES,
    definition="io.k8s.api.resource.v1.DeviceClass",
    singular="deviceclass",
    storage_prefix="deviceclasses",
    returns_deleted_object=True,
    counts_generation=True,
    delete_returns_object=True,
    columns=(
        NAME,
        AGE,
    ),
)
