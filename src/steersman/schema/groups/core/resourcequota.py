"""ResourceQuota: what a namespace may use in all."""

from __future__ import annotations

from steersman.meta.resources import RESOURCEQUOTAS
from steersman.schema.kind import Kind
from steersman.schema.subresources import STATUS

KIND = Kind(
    resource=RESOURCEQUOTAS,
    definition="io.k8s.api.core.v1.ResourceQuota",
    singular="resourcequota",
    short_names=("quota",),
    subresources=(STATUS,),
    storage_prefix="resourcequotas",
    has_status=True,
    delete_returns_object=True,
)
