"""ResourceClaim: a request for devices, and what was allocated."""

from __future__ import annotations

from functools import partial

from steersman.meta.errors import FieldError
from steersman.meta.objects import Object, is_deleting
from steersman.meta.resources import RESOURCECLAIMS
from steersman.schema import goforms
from steersman.schema.columns import AGE, NAME, computed, value_at
from steersman.schema.groups.resource.claimrules import check_device_claim
from steersman.schema.groups.resource.claimspec import default_device_claim
from steersman.schema.groups.resource.claimstatus import drop_deallocated, status_errors
from steersman.schema.kind import Kind
from steersman.schema.rules import check_immutable
from steersman.schema.statuswrites import keep_metadata
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


def prepare_create(obj: Object) -> None:
    obj["status"] = {}


def prepare_status_update(new: Object, old: Object) -> None:
    keep_metadata(new, old)
    drop_deallocated(new, old)


def validate_create(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    check_device_claim(errors, value_at(obj, "spec", "devices") or {}, "spec.devices")
    return errors


def validate_update(new: Object, old: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    shown = partial(goforms.internal, "resource.v1.ResourceClaimSpec")
    check_immutable(errors, new.get("spec"), old.get("spec"), "spec", shown=shown)
    return errors


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
    prepare_create=prepare_create,
    prepare_status_update=prepare_status_update,
    validate_create=validate_create,
    validate_update=validate_update,
    validate_status_update=status_errors,
)
