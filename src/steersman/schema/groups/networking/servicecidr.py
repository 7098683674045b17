"""ServiceCIDR: a range that Services get their addresses from."""

from __future__ import annotations

from steersman.meta.objects import Object
from steersman.meta.resources import SERVICECIDRS
from steersman.schema.kind import Kind
from steersman.schema.subresources import STATUS


def default(obj: Object) -> None:
    if obj.get("status") is None:
        obj["status"] = {}


KIND = Kind(
    resource=SERVICECIDRS,
    definition="io.k8s.api.networking.v1.ServiceCIDR",
    singular="servicecidr",
    subresources=(STATUS,),
    storage_prefix="servicecidrs",
    has_status=True,
    default=default,
)
