"""ResourceClaimTemplate: from which claims are made for each pod."""

from __future__ import annotations

from steersman.meta.resources import RESOURCECLAIMTEMPLATES
from steersman.schema.kind import Kind

KIND = Kind(
    resource=RESOURCECLAIMTEMPLATES,
    definition="io.k8s.api.resource.v1.ResourceClaimTemplate",
    singular="resourceclaimtemplate",
    storage_prefix="resourceclaimtemplates",
    delete_returns_object=True,
)
