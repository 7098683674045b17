"""Binding: a pod is bound to a node by creating one; the older form of ``pods/binding``."""

from __future__ import annotations

from steersman.meta.errors import FieldError, not_supported, required
from steersman.meta.objects import Object
from steersman.meta.resources import BINDINGS
from steersman.schema.kind import Kind


def validate(obj: Object) -> list[FieldError]:
    """Of a binding of its own and as the body of ``pods/binding``."""
    errors: list[FieldError] = []
    target = obj.get("target") or {}
    if target.get("kind") not in (None, "", "Node"):
        errors.append(not_supported("target.kind", target["kind"], ("Node", "<empty>")))
    if not target.get("name"):
        errors.append(required("target.name"))
    return errors


KIND = Kind(
    resource=BINDINGS,
    definition="io.k8s.api.core.v1.Binding",
    singular="binding",
    verbs=("create",),
    storage_prefix="",
    is_stored=False,
    validate=validate,
)
