"""ResourceClaim: a request for devices, and what was allocated."""

from __future__ import annotations

from steersman.meta.objects import Object, is_deleting
from steersman.meta.resources import RESOURCECLAIMS
from steersman.schema.columns import AGE, NAME, computed, value_at
from steersman.schema.groups.resource.claimspec import default_device_claim
from steersman.schema.kind import Kind
from steersman.schema.subresources import STATUS


def default(obj: Object) -> None:
    default_device_claim(obj.setdefault("spec", {}).get("devices"))
    if obj.get("status") is None:
        obj["status"] = {}


def _state(obj: Object, now: float) -> str:
    words = ["deleted"] if is_deleting(obj) else []
    if not value_at(obj, "status", "allocation"):
        return ",".join(words or ["pending"])
    words.append("allocated")
    if value_at(obj, "status", "reservedFor"):
        words.append("reserved")
    return ",".join(words)


KIND = Kind(
    resource=RESOURCECLAIMS,
    definition="io.k8s.api.resource.v1.ResourceClaim",
    singular="resourceclaim",
    subresources=(STATUS,),
    storage_prefix="resourceclaims",
    returns_deleted_object=True,
    has_status=True,
    delete_returns_object=True,
    default=default,
    columns=(
        NAME,
        computed("State", _state, description="A summary of the current state (allocated, pending, reserved, etc.)."),
        AGE,
    ),
)
