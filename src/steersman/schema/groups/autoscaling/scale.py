"""Scale: how many replicas a workload should have and has: the body of the ``scale`` subresources."""

from __future__ import annotations

from steersman.meta.errors import FieldError
from steersman.meta.objects import Object
from steersman.meta.resources import Resource
from steersman.schema.columns import AGE, NAME, count
from steersman.schema.kind import Kind
from steersman.schema.rules import check_counts


def validate(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    check_counts(errors, obj.get("spec") or {}, "spec", "replicas")
    return errors


KIND = Kind(
    resource=Resource(group="autoscaling", version="v1", plural="", kind="Scale", namespaced=True),
    definition="io.k8s.api.autoscaling.v1.Scale",
    singular="",
    verbs=(),
    storage_prefix="",
    is_stored=False,
    columns=(
        NAME,
        count("Desired", "spec", "replicas", documented_by="io.k8s.api.autoscaling.v1.ScaleSpec/replicas"),
        count("Available", "status", "replicas", documented_by="io.k8s.api.autoscaling.v1.ScaleStatus/replicas"),
        AGE,
    ),
    validate=validate,
)
