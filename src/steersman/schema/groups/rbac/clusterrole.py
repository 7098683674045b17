"""ClusterRole: rules about what may be done, in the cluster or any namespace."""

from __future__ import annotations

from steersman.meta.names import path_segment_errors
from steersman.meta.resources import CLUSTERROLES
from steersman.schema.columns import CREATED_AT, NAME
from steersman.schema.kind import Kind

KIND = Kind(
    resource=CLUSTERROLES,
    definition="io.k8s.api.rbac.v1.ClusterRole",
    singular="clusterrole",
    storage_prefix="clusterroles",
    name_errors=path_segment_errors,
    allows_create_on_update=True,
    columns=(
        NAME,
        CREATED_AT,
    ),
)
