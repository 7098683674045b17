"""ReplicationController: keeps a number of pods running; superseded by ReplicaSet."""

from __future__ import annotations

from steersman.meta.errors import FieldError, invalid, required
from steersman.meta.objects import Object
from steersman.meta.resources import REPLICATIONCONTROLLERS
from steersman.schema.columns import AGE, NAME, computed, containers, count, format_labels, value_at
from steersman.schema.groups.core.podspec.defaults import default_pod_template
from steersman.schema.groups.core.podspec.warnings import workload_update_warnings, workload_warnings
from steersman.schema.groups.core.workloads import check_running_template, replica_status_errors
from steersman.schema.kind import Kind
from steersman.schema.rules import check_counts
from steersman.schema.selectable import count_at
from steersman.schema.subresources import SCALE, STATUS


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    if spec.get("replicas") is None:
        spec["replicas"] = 1
    template = spec.get("template")
    if template is not None:
        default_pod_template(template)
        labels = template["metadata"].get("labels")
        if labels:
            if not spec.get("selector"):
                spec["selector"] = dict(labels)
            metadata = obj.setdefault("metadata", {})
            if not metadata.get("labels"):
                metadata["labels"] = dict(labels)
    if obj.get("status") is None:
        obj["status"] = {"replicas": 0}


def prepare_create(obj: Object) -> None:
    obj["status"] = {"replicas": 0}


def validate(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    spec = obj.get("spec") or {}
    check_counts(errors, spec, "spec", "replicas", "minReadySeconds")
    selector, template = spec.get("selector"), spec.get("template")
    if not selector:
        errors.append(required("spec.selector"))
    elif template is not None:
        labels = (template.get("metadata") or {}).get("labels") or {}
        if any(labels.get(key) != value for key, value in selector.items()):
            detail = "`selector` does not match template `labels`"
            errors.append(invalid("spec.template.metadata.labels", labels or None, detail))
    check_running_template(errors, spec, "ReplicationController")
    return errors


def validate_status_update(new: Object, old: Object) -> list[FieldError]:
    return replica_status_errors(new.get("status") or {}, "fullyLabeledReplicas")


def update_warnings(new: Object, old: Object) -> list[str]:
    """Upstream looks at the template as it was, here alone."""
    return workload_update_warnings({**new, "spec": old.get("spec")}, old)


KIND = Kind(
    resource=REPLICATIONCONTROLLERS,
    definition="io.k8s.api.core.v1.ReplicationController",
    singular="replicationcontroller",
    short_names=("rc",),
    categories=("all",),
    subresources=(
        SCALE,
        STATUS,
    ),
    storage_prefix="controllers",
    selectable_fields={"status.replicas": count_at("status", "replicas")},
    has_status=True,
    counts_generation=True,
    default=default,
    columns=(
        NAME,
        count("Desired", "spec", "replicas", documented_by="io.k8s.api.core.v1.ReplicationControllerSpec/replicas"),
        count("Current", "status", "replicas", documented_by="io.k8s.api.core.v1.ReplicationControllerStatus/replicas"),
        count(
            "Ready",
            "status",
            "readyReplicas",
            documented_by="io.k8s.api.core.v1.ReplicationControllerStatus/readyReplicas",
        ),
        AGE,
        *containers("spec", "template"),
        computed(
            "Selector",
            lambda obj, now: format_labels(value_at(obj, "spec", "selector")),
            priority=1,
            documented_by="io.k8s.api.core.v1.ReplicationControllerSpec/selector",
        ),
    ),
    prepare_create=prepare_create,
    validate=validate,
    validate_status_update=validate_status_update,
    warnings=workload_warnings,
    update_warnings=update_warnings,
)
