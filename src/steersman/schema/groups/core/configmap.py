"""ConfigMap: configuration that pods read as files or environment variables."""

from __future__ import annotations

from steersman.meta.resources import CONFIGMAPS
from steersman.schema.columns import AGE, NAME, length
from steersman.schema.kind import Kind

KIND = Kind(
    resource=CONFIGMAPS,
    definition="io.k8s.api.core.v1.ConfigMap",
    singular="configmap",
    short_names=("cm",),
    storage_prefix="configmaps",
    columns=(
        NAME,
        length("Data", ("data",), ("binaryData",), type="string", documented_by="io.k8s.api.core.v1.ConfigMap/data"),
        AGE,
    ),
)
