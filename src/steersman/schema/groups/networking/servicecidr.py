"""ServiceCIDR: a range that Services get their addresses from."""

from __future__ import annotations

from steersman.meta.resources import SERVICECIDRS
from steersman.schema.kind import Kind
from steersman.schema.subresources import STATUS

KIND = Kind(
    resource=SERVICECIDRS,
    definition="io.k8s.api.networking.v1.ServiceCIDR",
    singular="servicecidr",
    subresources=(STATUS,),
    storage_prefix="servicecidrs",
    has_status=True,
)
