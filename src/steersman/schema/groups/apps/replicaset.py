"""ReplicaSet: keeps a number of pods running."""

from __future__ import annotations

from steersman.meta.errors import FieldError
from steersman.meta.objects import Object
from steersman.meta.resources import REPLICASETS
from steersman.schema import goforms
from steersman.schema.columns import AGE, NAME, containers, count, selector, value_at
from steersman.schema.groups.core.podspec.defaults import default_pod_template
from steersman.schema.groups.core.podspec.warnings import workload_update_warnings, workload_warnings
from steersman.schema.groups.core.workloads import (
    check_running_template,
    check_workload_selector,
    replica_status_errors,
)
from steersman.schema.kind import Kind
from steersman.schema.rules import check_counts, check_immutable
from steersman.schema.subresources import SCALE, STATUS


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    if spec.get("replicas") is None:
        spec["replicas"] = 1
    default_pod_template(spec.setdefault("template", {}))
    if obj.get("status") is None:
        obj["status"] = {"replicas": 0}


def prepare_create(obj: Object) -> None:
    obj["status"] = {"replicas": 0}


def validate(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    spec = obj.get("spec") or {}
    check_counts(errors, spec, "spec", "replicas", "minReadySeconds")
    check_workload_selector(errors, spec, "deployment")
    check_running_template(errors, spec, "ReplicaSet")
    return errors


def validate_update(new: Object, old: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    selector, before = (value_at(obj, "spec", "selector") for obj in (new, old))
    check_immutable(errors, selector, before, "spec.selector", shown=goforms.label_selector)
    return errors


def validate_status_update(new: Object, old: Object) -> list[FieldError]:
    return replica_status_errors(new.get("status") or {}, "fullyLabeledReplicas")


KIND = Kind(
    resource=REPLICASETS,
    definition="io.k8s.api.apps.v1.ReplicaSet",
    singular="replicaset",
    short_names=("rs",),
    categories=("all",),
    subresources=(
        SCALE,
        STATUS,
    ),
    storage_prefix="replicasets",
    has_status=True,
    counts_generation=True,
    default=default,
    columns=(
        NAME,
        count("Desired", "spec", "replicas", documented_by="io.k8s.api.apps.v1.ReplicaSetSpec/replicas"),
        count("Current", "status", "replicas", documented_by="io.k8s.api.apps.v1.ReplicaSetStatus/replicas"),
        count("Ready", "status", "readyReplicas", documented_by="io.k8s.api.apps.v1.ReplicaSetStatus/readyReplicas"),
        AGE,
        *containers("spec", "template"),
        selector("spec", "selector", documented_by="io.k8s.api.apps.v1.ReplicaSetSpec/selector"),
    ),
    prepare_create=prepare_create,
    validate=validate,
    validate_update=validate_update,
    validate_status_update=validate_status_update,
    warnings=workload_warnings,
    update_warnings=workload_update_warnings,
)
