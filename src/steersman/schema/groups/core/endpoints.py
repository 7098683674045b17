"""Endpoints: addresses behind a Service; superseded by EndpointSlice."""

from __future__ import annotations

from steersman.meta.resources import ENDPOINTS
from steersman.schema.kind import Kind

KIND = Kind(
    resource=ENDPOINTS,
    definition="io.k8s.api.core.v1.Endpoints",
    singular="endpoints",
    short_names=("ep",),
    storage_prefix="services/endpoints",
    allows_create_on_update=True,
)
