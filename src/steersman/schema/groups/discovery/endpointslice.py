"""EndpointSlice: a part of the addresses behind a Service."""

from __future__ import annotations

from steersman.meta.resources import ENDPOINTSLICES
from steersman.schema.kind import Kind

KIND = Kind(
    resource=ENDPOINTSLICES,
    definition="io.k8s.api.discovery.v1.EndpointSlice",
    singular="endpointslice",
    storage_prefix="endpointslices",
    counts_generation=True,
)
