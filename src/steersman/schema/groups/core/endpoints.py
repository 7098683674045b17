"""Endpoints: addresses behind a Service; superseded by EndpointSlice."""

from __future__ import annotations

from steersman.meta.objects import Object
from steersman.meta.resources import ENDPOINTS
from steersman.schema.kind import Kind


def default(obj: Object) -> None:
    for subset in obj.get("subsets") or ():
        for port in subset.get("ports") or ():
            if not port.get("protocol"):
                port["protocol"] = "TCP"


KIND = Kind(
    resource=ENDPOINTS,
    definition="io.k8s.api.core.v1.Endpoints",
    singular="endpoints",
    short_names=("ep",),
    storage_prefix="services/endpoints",
    allows_create_on_update=True,
    default=default,
)
