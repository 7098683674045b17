"""PersistentVolumeClaim: a request for storage by a namespace."""

from __future__ import annotations

from steersman.meta.objects import Object
from steersman.meta.resources import PERSISTENTVOLUMECLAIMS
from steersman.schema.groups.core.claimspec import default_claim_spec
from steersman.schema.groups.core.resourcelist import default_amounts
from steersman.schema.kind import Kind
from steersman.schema.subresources import STATUS


def default(obj: Object) -> None:
    default_claim_spec(obj.setdefault("spec", {}))
    status = obj.get("status")
    if status is None:
        status = obj["status"] = {}
    if not status.get("phase"):
        status["phase"] = "Pending"
    for part in ("capacity", "allocatedResources"):
        if status.get(part):
            default_amounts(status[part])


KIND = Kind(
    resource=PERSISTENTVOLUMECLAIMS,
    definition="io.k8s.api.core.v1.PersistentVolumeClaim",
    singular="persistentvolumeclaim",
    short_names=("pvc",),
    subresources=(STATUS,),
    storage_prefix="persistentvolumeclaims",
    has_status=True,
    delete_returns_object=True,
    default=default,
)
