"""ResourceQuota: what a namespace may use in all."""

from __future__ import annotations

from steersman.meta.objects import Object
from steersman.meta.resources import RESOURCEQUOTAS
from steersman.schema.groups.core.resourcelist import default_amounts
from steersman.schema.kind import Kind
from steersman.schema.subresources import STATUS


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    if spec.get("hard"):
        default_amounts(spec["hard"])
    status = obj.get("status")
    if status is None:
        status = obj["status"] = {}
    for part in ("hard", "used"):
        if status.get(part):
            default_amounts(status[part])


KIND = Kind(
    resource=RESOURCEQUOTAS,
    definition="io.k8s.api.core.v1.ResourceQuota",
    singular="resourcequota",
    short_names=("quota",),
    subresources=(STATUS,),
    storage_prefix="resourcequotas",
    has_status=True,
    delete_returns_object=True,
    default=default,
)
