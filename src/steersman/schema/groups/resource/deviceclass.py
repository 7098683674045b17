"""DeviceClass: a kind of device that claims may ask for."""

from __future__ import annotations

from steersman.meta.errors import FieldError, invalid
from steersman.meta.objects import Object
from steersman.meta.resources import DEVICECLASSES
from steersman.schema.columns import AGE, NAME
from steersman.schema.groups.core.resourcenames import is_extended
from steersman.schema.groups.resource.claimrules import check_configurations, check_selectors
from steersman.schema.kind import Kind


def validate(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    spec = obj.get("spec") or {}
    check_selectors(errors, spec.get("selectors") or (), "spec.selectors")
    check_configurations(errors, spec.get("config") or (), "spec.config")
    name = spec.get("extendedResourceName")
    if name is not None and not is_extended(name):
        errors.append(invalid("spec.extendedResourceName", name, "must be a valid extended resource name"))
    return errors


KIND = Kind(
    resource=DEVICECLASSES,
    definition="io.k8s.api.resource.v1.DeviceClass",
    singular="deviceclass",
    storage_prefix="deviceclasses",
    returns_deleted_object=True,
    counts_generation=True,
    delete_returns_object=True,
    columns=(
        NAME,
        AGE,
    ),
    validate=validate,
)
