"""VolumeAttributesClass: attributes of volumes that can be changed while in use."""

from __future__ import annotations

from steersman.meta.errors import FieldError, forbidden, required
from steersman.meta.objects import Object
from steersman.meta.resources import VOLUMEATTRIBUTESCLASSES
from steersman.schema.columns import AGE, NAME, text
from steersman.schema.equality import same
from steersman.schema.groups.storage.parameters import check_parameters, check_provisioner
from steersman.schema.kind import Kind


def validate(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    parameters = obj.get("parameters") or {}
    check_provisioner(errors, obj.get("driverName") or "", "driverName")
    check_parameters(errors, parameters, "parameters")
    if not parameters:
        errors.append(required("parameters", "must contain at least one key/value pair"))
    return errors


def validate_update(new: Object, old: Object) -> list[FieldError]:
    return [
        forbidden(name, f"updates to {name} are forbidden.")
        for name in ("driverName", "parameters")
        if not same(new.get(name), old.get(name))
    ]


KIND = Kind(
    resource=VOLUMEATTRIBUTESCLASSES,
    definition="io.k8s.api.storage.v1.VolumeAttributesClass",
    singular="volumeattributesclass",
    short_names=("vac",),
    storage_prefix="volumeattributesclasses",
    returns_deleted_object=True,
    delete_returns_object=True,
    columns=(
        NAME,
        text("DriverName", "driverName", documented_by="io.k8s.api.storage.v1.VolumeAttributesClass/driverName"),
        AGE,
    ),
    validate=validate,
    validate_update=validate_update,
)
