"""LimitRange: defaults and bounds of what one container, pod or claim in a namespace may ask for."""

from __future__ import annotations

from steersman.meta.resources import LIMITRANGES
from steersman.schema.kind import Kind

KIND = Kind(
    resource=LIMITRANGES,
    definition="io.k8s.api.core.v1.LimitRange",
    singular="limitrange",
    short_names=("limits",),
    storage_prefix="limitranges",
    allows_create_on_update=True,
)
