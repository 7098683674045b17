"""RuntimeClass: which container runtime configuration pods may ask for."""

from __future__ import annotations

from steersman.meta.errors import FieldError, duplicate
from steersman.meta.names import label_errors
from steersman.meta.objects import Object
from steersman.meta.resources import RUNTIMECLASSES
from steersman.schema import goforms
from steersman.schema.columns import AGE, NAME, text
from steersman.schema.groups.core.nodelabels import NODE_LABELS
from steersman.schema.groups.core.podspec.placement import check_tolerations
from steersman.schema.groups.core.podspec.resources import check_overhead
from steersman.schema.kind import Kind
from steersman.schema.rules import check_immutable, check_labels, check_required_name


def validate(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    check_required_name(errors, obj.get("handler"), "handler", label_errors)
    overhead, scheduling = obj.get("overhead"), obj.get("scheduling") or {}
    if overhead is not None:
        check_overhead(errors, overhead.get("podFixed"), "overhead")
    check_labels(errors, scheduling.get("nodeSelector"), "scheduling.nodeSelector")
    tolerations, seen = scheduling.get("tolerations") or (), set()
    check_tolerations(errors, tolerations, "scheduling.tolerations")
    for index, toleration in enumerate(tolerations):
        key = tuple(toleration.get(name) or "" for name in ("key", "operator", "value", "effect"))
        if key in seen:
            errors.append(
                duplicate(f"scheduling.tolerations[{index}]", goforms.internal("core.v1.Toleration", toleration))
            )
        seen.add(key)
    return errors


def validate_update(new: Object, old: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    check_immutable(errors, new.get("handler"), old.get("handler"), "handler")
    return errors


def warnings(obj: Object) -> list[str]:
    selector = (obj.get("scheduling") or {}).get("nodeSelector") or ()
    return [f"scheduling.nodeSelector: {NODE_LABELS[key]}" for key in selector if key in NODE_LABELS]


KIND = Kind(
    resource=RUNTIMECLASSES,
    definition="io.k8s.api.node.v1.RuntimeClass",
    singular="runtimeclass",
    qualifies_finalizers=False,
    storage_prefix="runtimeclasses",
    allows_create_on_update=True,
    allows_unconditional_update=False,
    columns=(
        NAME,
        text("Handler", "handler", documented_by="io.k8s.api.node.v1.RuntimeClass/handler"),
        AGE,
    ),
    validate=validate,
    validate_update=validate_update,
    warnings=warnings,
)
