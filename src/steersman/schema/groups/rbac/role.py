"""Role: rules about what may be done in a namespace."""

from __future__ import annotations

from steersman.meta.names import path_segment_errors
from steersman.meta.resources import ROLES
from steersman.schema.columns import CREATED_AT, NAME
from steersman.schema.kind import Kind

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
)
