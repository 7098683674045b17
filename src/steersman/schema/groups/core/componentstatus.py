"""ComponentStatus: health of the control plane's parts as the API server sees it; deprecated and computed on every read."""

from __future__ import annotations

from steersman.meta.resources import COMPONENTSTATUSES
from steersman.schema.kind import Kind

KIND = Kind(
    resource=COMPONENTSTATUSES,
    definition="io.k8s.api.core.v1.ComponentStatus",
    singular="componentstatus",
    short_names=("cs",),
    verbs=("get", "list"),
    storage_prefix="",
    is_stored=False,
)
