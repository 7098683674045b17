"""PodTemplate: a pod template that stands alone."""

from __future__ import annotations

from steersman.meta.errors import FieldError
from steersman.meta.objects import Object
from steersman.meta.resources import PODTEMPLATES
from steersman.schema.columns import NAME, computed, containers, format_labels, value_at
from steersman.schema.groups.core.podspec.defaults import default_pod_template
from steersman.schema.groups.core.podspec.specification import check_pod_template
from steersman.schema.groups.core.podspec.warnings import template_warnings
from steersman.schema.kind import Kind


def default(obj: Object) -> None:
    default_pod_template(obj.setdefault("template", {}))


def validate(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    check_pod_template(errors, obj.get("template"), "template")
    return errors


def warnings(obj: Object) -> list[str]:
    return template_warnings(obj.get("template") or {}, "template")


def update_warnings(new: Object, old: Object) -> list[str]:
    return warnings(new) if new["metadata"].get("generation") != old["metadata"].get("generation") else []


KIND = Kind(
    resource=PODTEMPLATES,
    definition="io.k8s.api.core.v1.PodTemplate",
    singular="podtemplate",
    storage_prefix="podtemplates",
    returns_deleted_object=True,
    counts_generation=True,
    delete_returns_object=True,
    default=default,
    columns=(
        NAME,
        *containers("template", priority=0),
        computed(
            "Pod Labels",
            lambda obj, now: format_labels(value_at(obj, "template", "metadata", "labels")),
            description="The labels for the pod template.",
        ),
    ),
    validate=validate,
    warnings=warnings,
    update_warnings=update_warnings,
)
