"""ResourceClaim: a request for devices, and what was allocated."""

from __future__ import annotations

from steersman.meta.resources import RESOURCECLAIMS
from steersman.schema.kind import Kind
from steersman.schema.subresources import STATUS

KIND = Kind(
    resource=RESOURCECLAIMS,
    definition="io.k8s.api.resource.v1.ResourceClaim",
    singular="resourceclaim",
    subresources=(STATUS,),
    storage_prefix="resourceclaims",
    has_status=True,
    delete_returns_object=True,
)
