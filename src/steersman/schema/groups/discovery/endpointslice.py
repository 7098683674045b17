"""EndpointSlice: a part of the addresses behind a Service."""

from __future__ import annotations

from steersman.meta.objects import Object
from steersman.meta.resources import ENDPOINTSLICES
from steersman.schema.kind import Kind


def default(obj: Object) -> None:
    for port in obj.get("ports") or ():
        if port.get("name") is None:
            port["name"] = ""
        if not port.get("protocol"):
            port["protocol"] = "TCP"


KIND = Kind(
    resource=ENDPOINTSLICES,
    definition="io.k8s.api.discovery.v1.EndpointSlice",
    singular="endpointslice",
    storage_prefix="endpointslices",
    counts_generation=True,
    default=default,
)
