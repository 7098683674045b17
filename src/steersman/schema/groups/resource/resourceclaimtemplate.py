"""ResourceClaimTemplate: from which claims are made for each pod."""

from __future__ import annotations

from functools import partial

from steersman.meta.errors import FieldError
from steersman.meta.objects import Object
from steersman.meta.resources import RESOURCECLAIMTEMPLATES
from steersman.schema import goforms
from steersman.schema.columns import AGE, NAME, value_at
from steersman.schema.groups.core.claimspec import check_template_metadata
from steersman.schema.groups.resource.claimrules import check_device_claim
from steersman.schema.groups.resource.claimspec import default_device_claim
from steersman.schema.kind import Kind
from steersman.schema.rules import check_immutable


def default(obj: Object) -> None:
    template = obj.setdefault("spec", {})
    template.setdefault("metadata", {})
    default_device_claim((template.get("spec") or {}).get("devices"))


def validate(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    metadata, path = value_at(obj, "spec", "metadata") or {}, "spec.metadata"
    check_template_metadata(errors, metadata, path)
    check_device_claim(errors, value_at(obj, "spec", "spec", "devices") or {}, "spec.spec.devices")
    return errors


def validate_update(new: Object, old: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    shown = partial(goforms.internal, "resource.v1.ResourceClaimTemplateSpec")
    check_immutable(errors, new.get("spec"), old.get("spec"), "spec", shown=shown)
    return errors


KIND = Kind(
    resource=RESOURCECLAIMTEMPLATES,
    definition="io.k8s.api.resource.v1.ResourceClaimTemplate",
    singular="resourceclaimtemplate",
    storage_prefix="resourceclaimtemplates",
    returns_deleted_object=True,
    delete_returns_object=True,
    default=default,
    columns=(
        NAME,
        AGE,
    ),
    validate=validate,
    validate_update=validate_update,
)
