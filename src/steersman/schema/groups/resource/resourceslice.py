"""ResourceSlice: devices that a driver offers."""

from __future__ import annotations

from steersman.meta.resources import RESOURCESLICES
from steersman.schema.columns import AGE, NAME, text
from steersman.schema.kind import Kind
from steersman.schema.selectable import text_at

KIND = Kind(
    resource=RESOURCESLICES,
    definition="io.k8s.api.resource.v1.ResourceSlice",
    singular="resourceslice",
    storage_prefix="resourceslices",
    returns_deleted_object=True,
    selectable_fields={"spec.driver": text_at("spec", "driver"), "spec.nodeName": text_at("spec", "nodeName")},
    counts_generation=True,
    delete_returns_object=True,
    columns=(
        NAME,
        text("Node", "spec", "nodeName", documented_by="io.k8s.api.resource.v1.ResourceSliceSpec/nodeName"),
        text("Driver", "spec", "driver", documented_by="io.k8s.api.resource.v1.ResourceSliceSpec/driver"),
        text("Pool", "spec", "pool", "name", documented_by="io.k8s.api.resource.v1.ResourcePool/name"),
        AGE,
    ),
)
