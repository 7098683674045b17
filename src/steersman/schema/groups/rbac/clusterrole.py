"""ClusterRole: rules about what may be done, in the cluster or any namespace."""

from __future__ import annotations

from steersman.meta.errors import FieldError, required
from steersman.meta.names import path_segment_errors
from steersman.meta.objects import Object
from steersman.meta.resources import CLUSTERROLES
from steersman.schema.columns import CREATED_AT, NAME
from steersman.schema.groups.rbac.policyrules import check_policy_rules
from steersman.schema.kind import Kind
from steersman.schema.rules import check_label_selector


def validate(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    check_policy_rules(errors, obj.get("rules"), is_namespaced=False)
    aggregation, path = obj.get("aggregationRule"), "aggregationRule.clusterRoleSelectors"
    if aggregation is not None:
        selectors = aggregation.get("clusterRoleSelectors") or ()
        if not selectors:
            detail = "at least one clusterRoleSelector required if aggregationRule is non-nil"
            errors.append(required(path, detail))
        for index, selector in enumerate(selectors):
            check_label_selector(errors, selector, f"{path}[{index}]")
    return errors


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
    validate=validate,
)
