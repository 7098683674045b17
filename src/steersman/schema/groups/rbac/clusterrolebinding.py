"""ClusterRoleBinding: grants a ClusterRole everywhere."""

from __future__ import annotations

from steersman.meta.names import path_segment_errors
from steersman.meta.resources import CLUSTERROLEBINDINGS
from steersman.schema.groups.rbac.subjects import binding_columns, default_binding
from steersman.schema.kind import Kind

KIND = Kind(
    resource=CLUSTERROLEBINDINGS,
    definition="io.k8s.api.rbac.v1.ClusterRoleBinding",
    singular="clusterrolebinding",
    storage_prefix="clusterrolebindings",
    name_errors=path_segment_errors,
    allows_create_on_update=True,
    default=default_binding,
    columns=binding_columns("ClusterRoleBinding"),
)
