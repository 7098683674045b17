"""VolumeAttributesClass: attributes of volumes that can be changed while in use."""

from __future__ import annotations

from steersman.meta.resources import VOLUMEATTRIBUTESCLASSES
from steersman.schema.columns import AGE, NAME, text
from steersman.schema.kind import Kind

KIND = Kind(
    resource=VOLUMEATTRIBUTESCLASSES,
    definition="io.k8s.api.storage.v1.VolumeAttributesClass",
    singular="volumeattributesclass",
    short_names=("vac",),
    storage_prefix="volumeattributesclasses",
    returns_deleted_object=True,
    delete_returns_object=True,
    columns=(
        NAME,
        text("DriverName", "driverName", documented_by="io.k8s.api.storage.v1.VolumeAttributesClass/driverName"),
        AGE,
    ),
)
