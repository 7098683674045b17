"""ServiceCIDR: a range that Services get their addresses from."""

from __future__ import annotations

from steersman.meta.objects import Object
from steersman.meta.resources import SERVICECIDRS
from steersman.schema.columns import AGE, NAME, computed, value_at
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
    columns=(
        NAME,
        computed(
            "CIDRs",
            lambda obj, now: ",".join(value_at(obj, "spec", "cidrs") or ()),
            documented_by="io.k8s.api.networking.v1.ServiceCIDRSpec/cidrs",
        ),
        AGE,
    ),
)
