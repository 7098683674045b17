"""Namespace: a scope for names."""

from __future__ import annotations

from steersman.meta.errors import FieldError, invalid
from steersman.meta.names import label_errors, label_key_errors
from steersman.meta.objects import Object, is_deleting
from steersman.meta.resources import NAMESPACES
from steersman.schema.columns import AGE, NAME, text
from steersman.schema.kind import Kind, Subresource
from steersman.schema.rules import check_name
from steersman.schema.selectable import text_at
from steersman.schema.subresources import STATUS


def default(obj: Object) -> None:
    """Every namespace carries its name as a label, so that selectors can name it."""
    metadata = obj.setdefault("metadata", {})
    if metadata.get("name"):
        metadata["labels"] = {**(metadata.get("labels") or {}), "kubernetes.io/metadata.name": metadata["name"]}
    if obj.get("spec") is None:
        obj["spec"] = {}
    status = obj.get("status")
    if status is None:
        status = obj["status"] = {}
    if not status.get("phase"):
        status["phase"] = "Active"


FINALIZER = "kubernetes"


def prepare_create(obj: Object) -> None:
    obj["status"] = {"phase": "Active"}
    finalizers = obj["spec"].get("finalizers") or []
    if FINALIZER not in finalizers:
        obj["spec"]["finalizers"] = [*finalizers, FINALIZER]


def prepare_update(new: Object, old: Object) -> None:
    """Finalizers of the specification change through ``finalize`` only."""
    new["spec"] = old.get("spec") or {}


def validate(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    _check_finalizers(errors, obj, "spec.finalizers", indexed=False)
    return errors


def _check_finalizers(errors: list[FieldError], obj: Object, path: str, *, indexed: bool) -> None:
    for index, name in enumerate((obj.get("spec") or {}).get("finalizers") or ()):
        at = f"{path}[{index}]" if indexed else path
        check_name(errors, name, at, label_key_errors)
        if "/" not in name and name not in (FINALIZER, "orphan", "foregroundDeletion"):
            detail = "name is neither a standard finalizer name nor is it fully qualified"
            errors.append(invalid(at, name, detail))


def validate_status_update(new: Object, old: Object) -> list[FieldError]:
    phase = (new.get("status") or {}).get("phase") or ""
    if is_deleting(new):
        if phase != "Terminating":
            return [invalid("status.Phase", phase, "may only be 'Terminating' if `deletionTimestamp` is not empty")]
    elif phase != "Active":
        return [invalid("status.Phase", phase, "may only be 'Active' if `deletionTimestamp` is empty")]
    return []


def _prepare_finalize(new: Object, old: Object) -> None:
    new["status"] = old.get("status") or {}


def _validate_finalize(new: Object, old: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    _check_finalizers(errors, new, "spec.finalizers", indexed=True)
    return errors


KIND = Kind(
    resource=NAMESPACES,
    definition="io.k8s.api.core.v1.Namespace",
    singular="namespace",
    short_names=("ns",),
    verbs=("create", "delete", "get", "list", "patch", "update", "watch"),
    subresources=(
        Subresource(
            name="finalize",
            verbs=("update",),
            prepare_update=_prepare_finalize,
            validate_update=_validate_finalize,
        ),
        STATUS,
    ),
    storage_prefix="namespaces",
    selectable_fields={"status.phase": text_at("status", "phase")},
    name_errors=label_errors,
    has_status=True,
    delete_returns_object=True,
    default=default,
    columns=(
        NAME,
        text("Status", "status", "phase", description="The status of the namespace"),
        AGE,
    ),
    prepare_create=prepare_create,
    prepare_update=prepare_update,
    validate=validate,
    validate_status_update=validate_status_update,
)
