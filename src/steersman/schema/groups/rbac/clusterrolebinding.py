"""ClusterRoleBinding: grants a ClusterRole everywhere."""

from __future__ import annotations

from steersman.meta.errors import FieldError
from steersman.meta.names import path_segment_errors
from steersman.meta.objects import Object
from steersman.meta.resources import CLUSTERROLEBINDINGS
from steersman.schema.groups.rbac.subjects import (
    binding_columns,
    binding_errors,
    binding_update_errors,
    default_binding,
)
from steersman.schema.kind import Kind


def validate(obj: Object) -> list[FieldError]:
    return binding_errors(obj, ("ClusterRole",), is_namespaced=False)


KIND = Kind(
    resource=CLUSTERROLEBINDINGS,
    definition="io.k8s.api.rbac.v1.ClusterRoleBinding",
    singular="clusterrolebinding",
    storage_prefix="clusterrolebindings",
    name_errors=path_segment_errors,
    allows_create_on_update=True,
    default=default_binding,
    columns=binding_columns("ClusterRoleBinding"),
    validate=validate,
    validate_update=binding_update_errors,
)
