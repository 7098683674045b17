"""PersistentVolumeClaim: a request for storage by a namespace."""

from __future__ import annotations

from typing import Any

from steersman.meta.errors import FieldError, forbidden, invalid, not_supported
from steersman.meta.names import label_key_errors
from steersman.meta.objects import Object, is_deleting
from steersman.meta.quantities import quantity
from steersman.meta.resources import PERSISTENTVOLUMECLAIMS
from steersman.schema.cells import UNSET
from steersman.schema.columns import AGE, NAME, computed, text, value_at
from steersman.schema.equality import same
from steersman.schema.groups.core.accessmodes import short_access_modes, storage_class_of
from steersman.schema.groups.core.claimspec import check_claim_spec, default_claim_spec
from steersman.schema.groups.core.podspec.updates import differences
from steersman.schema.groups.core.podspec.warnings import claim_warnings
from steersman.schema.groups.core.resourcelist import default_amounts
from steersman.schema.groups.core.resourcenames import check_amount, is_native
from steersman.schema.kind import Kind
from steersman.schema.rules import check_immutable, check_quantity
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


def _status(obj: Object, now: float) -> str:
    return "Terminating" if is_deleting(obj) else str(value_at(obj, "status", "phase") or "")


def _capacity(obj: Object, now: float) -> str:
    return str(value_at(obj, "status", "capacity", "storage") or "0") if value_at(obj, "spec", "volumeName") else ""


def _access_modes(obj: Object, now: float) -> str:
    return short_access_modes(value_at(obj, "status", "accessModes")) if value_at(obj, "spec", "volumeName") else ""


RESIZE_STATUSES = (
    "ControllerResizeInProgress",
    "ControllerResizeInfeasible",
    "NodeResizeInProgress",
    "NodeResizeInfeasible",
    "NodeResizePending",
)


def prepare_create(obj: Object) -> None:
    obj["status"] = {"phase": "Pending"}
    _prepare_source(obj["spec"], None)


def prepare_update(new: Object, old: Object) -> None:
    _prepare_source(new["spec"], old.get("spec") or {})


def _prepare_source(spec: Object, before: Object | None) -> None:
    """Of the two ways to name a data source, the newer one gets what the older says and the other way round. The older knows
    claims and snapshots only, and anything else that is named there alone is ignored."""
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    had = before is not None and (before.get("dataSource") is not None or before.get("dataSourceRef") is not None)
    if source is not None and reference is None:
        if had or _is_known(source):
            spec["dataSourceRef"] = dict(source)
        else:
            del spec["dataSource"]
    elif reference is not None and source is None and not reference.get("namespace"):
        spec["dataSource"] = {name: value for name, value in reference.items() if name != "namespace"}


def _is_known(source: Object) -> bool:
    group, kind = source.get("apiGroup") or "", source.get("kind")
    return (group, kind) in (("", "PersistentVolumeClaim"), ("snapshot.storage.k8s.io", "VolumeSnapshot"))


def validate(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    check_claim_spec(errors, obj.get("spec") or {}, "spec")
    return errors


def validate_update(new: Object, old: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    rest, had = dict(spec), dict(before)
    if not before.get("volumeName"):
        had["volumeName"] = spec.get("volumeName")
    if before.get("storageClassName") is None:
        had["storageClassName"] = spec.get("storageClassName")
    is_bound = value_at(new, "status", "phase") == "Bound"
    size, old_size = (value_at(each, "resources", "requests", "storage") for each in (spec, before))
    if is_bound:
        requests = {**(value_at(rest, "resources", "requests") or {}), "storage": old_size}
        rest["resources"] = {**(rest.get("resources") or {}), "requests": requests}
        rest["volumeAttributesClassName"] = before.get("volumeAttributesClassName")
    if not same(rest, had):
        shown = "\n".join(differences(rest, had))
        detail = (
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n"
            f"{shown}\n"
        )
        errors.append(forbidden("spec", detail))
    _check_shrinking(errors, size, old_size, value_at(old, "status", "capacity", "storage"))
    check_immutable(errors, spec.get("volumeMode"), before.get("volumeMode"), "volumeMode")
    if value_at(old, "status", "currentVolumeAttributesClassName") is not None:
        wanted, path = spec.get("volumeAttributesClassName"), "spec.volumeAttributesClassName"
        if not wanted and wanted != before.get("volumeAttributesClassName"):
            what = "nil" if wanted is None else "empty string"
            detail = f"update to {what} is forbidden when status.currentVolumeAttributesClassName is not nil"
            errors.append(forbidden(path, detail))
    return errors


def _check_shrinking(errors: list[FieldError], size: Any, old_size: Any, capacity: Any) -> None:
    """A request may be taken back as long as it stays above what the volume has."""
    if size is None or old_size is None:
        return
    try:
        wanted, had, has = quantity(size), quantity(old_size), quantity(capacity or "0")
    except ValueError:
        return
    if wanted < had and wanted <= has:
        errors.append(forbidden("spec.resources.requests.storage", "field can not be less than status.capacity"))


def validate_status_update(new: Object, old: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    status = new.get("status") or {}
    for name, amount in (status.get("capacity") or {}).items():
        value = check_quantity(errors, amount, f"status.capacity[{name}]")
        if value is not None and value < 0:
            errors.append(invalid(f"status.capacity[{name}]", amount, "must be a valid resource quantity"))
    for name, state in (status.get("allocatedResourceStatuses") or {}).items():
        _check_resource(errors, name, "status.allocatedResourceStatuses")
        if state not in RESIZE_STATUSES:
            errors.append(not_supported("status.allocatedResourceStatuses", name, RESIZE_STATUSES))
    for name, amount in (status.get("allocatedResources") or {}).items():
        _check_resource(errors, name, "status.allocatedResources")
        check_amount(errors, "storage", amount, f"status.allocatedResources[{name}]")
    return errors


def _check_resource(errors: list[FieldError], name: str, path: str) -> None:
    wrong = label_key_errors(name)
    errors.extend(invalid(path, name, text) for text in wrong)
    if not wrong and is_native(name) and name != "storage":
        errors.append(not_supported(path, name, ("storage",)))


_OLD_CLASS = "volume.beta.kubernetes.io/storage-class"


def warnings(obj: Object) -> list[str]:
    found = claim_warnings(obj.get("spec") or {}, "spec")
    if _OLD_CLASS in ((obj.get("metadata") or {}).get("annotations") or ()):
        found.insert(
            0, f'metadata.annotations[{_OLD_CLASS}]: deprecated since v1.8; use "storageClassName" attribute instead'
        )
    return found


KIND = Kind(
    resource=PERSISTENTVOLUMECLAIMS,
    definition="io.k8s.api.core.v1.PersistentVolumeClaim",
    singular="persistentvolumeclaim",
    short_names=("pvc",),
    subresources=(STATUS,),
    storage_prefix="persistentvolumeclaims",
    returns_deleted_object=True,
    has_status=True,
    delete_returns_object=True,
    default=default,
    columns=(
        NAME,
        computed("Status", _status, documented_by="io.k8s.api.core.v1.PersistentVolumeClaimStatus/phase"),
        text("Volume", "spec", "volumeName", documented_by="io.k8s.api.core.v1.PersistentVolumeClaimSpec/volumeName"),
        computed("Capacity", _capacity, documented_by="io.k8s.api.core.v1.PersistentVolumeClaimStatus/capacity"),
        computed(
            "Access Modes", _access_modes, documented_by="io.k8s.api.core.v1.PersistentVolumeClaimStatus/accessModes"
        ),
        computed("StorageClass", lambda obj, now: storage_class_of(obj), description="StorageClass of the pvc"),
        text(
            "VolumeAttributesClass",
            "spec",
            "volumeAttributesClassName",
            empty=UNSET,
            description="VolumeAttributesClass of the pvc",
        ),
        AGE,
        text(
            "VolumeMode",
            "spec",
            "volumeMode",
            empty=UNSET,
            priority=1,
            documented_by="io.k8s.api.core.v1.PersistentVolumeClaimSpec/volumeMode",
        ),
    ),
    prepare_create=prepare_create,
    prepare_update=prepare_update,
    validate=validate,
    validate_update=validate_update,
    validate_status_update=validate_status_update,
    warnings=warnings,
)
