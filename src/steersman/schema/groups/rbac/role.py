"""Role: rules about what may be done in a namespace."""

from __future__ import annotations

from steersman.meta.errors import FieldError
from steersman.meta.names import path_segment_errors
from steersman.meta.objects import Object
from steersman.meta.resources import ROLES
from steersman.schema.columns import CREATED_AT, NAME
from steersman.schema.groups.rbac.policyrules import check_policy_rules
from steersman.schema.kind import Kind


def validate(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    check_policy_rules(errors, obj.get("rules"), is_namespaced=True)
    return errors


KIND = Kind(
    resource=ROLES,
    definition="io.k8s.api.rbac.v1.Role",
    singular="role",
    storage_prefix="roles",
    name_errors=path_segment_errors,
    allows_create_on_update=True,
    columns=(
        NAME,
        CREATED_AT,
    ),
    validate=validate,
)
