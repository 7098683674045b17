"""Deployment: pods that are replaced in a rolling way, through ReplicaSets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from steersman.meta.errors import FieldError, forbidden, invalid, not_supported, required
from steersman.meta.objects import Object, generation
from steersman.meta.resources import DEPLOYMENTS
from steersman.schema import goforms
from steersman.schema.columns import AGE, NAME, computed, containers, count, selector, value_at
from steersman.schema.equality import same
from steersman.schema.groups.core.podspec.defaults import default_pod_template
from steersman.schema.groups.core.podspec.warnings import workload_update_warnings, workload_warnings
from steersman.schema.groups.core.workloads import (
    amount_of,
    check_at_most_100_percent,
    check_collision_count,
    check_count_or_percent,
    check_running_template,
    check_workload_selector,
    replica_status_errors,
)
from steersman.schema.kind import Kind
from steersman.schema.rules import check_counts, check_immutable
from steersman.schema.statuswrites import keep_labels
from steersman.schema.subresources import SCALE, STATUS

STRATEGIES = ("Recreate", "RollingUpdate")


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    default_pod_template(spec.setdefault("template", {}))
    if spec.get("replicas") is None:
        spec["replicas"] = 1
    strategy = spec.get("strategy")
    if strategy is None:
        strategy = spec["strategy"] = {}
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.get("rollingUpdate")
        if rolling is None:
            rolling = strategy["rollingUpdate"] = {}
        if rolling.get("maxUnavailable") is None:
            rolling["maxUnavailable"] = "25%"
        if rolling.get("maxSurge") is None:
            rolling["maxSurge"] = "25%"
    if spec.get("revisionHistoryLimit") is None:
        spec["revisionHistoryLimit"] = 10
    if spec.get("progressDeadlineSeconds") is None:
        spec["progressDeadlineSeconds"] = 600
    if obj.get("status") is None:
        obj["status"] = {}


def _ready(obj: Object, now: float) -> str:
    return f"{value_at(obj, 'status', 'readyReplicas') or 0}/{value_at(obj, 'spec', 'replicas') or 0}"


def prepare_create(obj: Object) -> None:
    obj["status"] = {}


def prepare_update(new: Object, old: Object) -> None:
    """A change of annotations counts as a new generation too."""
    if not same(new["metadata"].get("annotations"), old["metadata"].get("annotations")):
        new["metadata"]["generation"] = generation(old) + 1


def validate(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    spec = obj.get("spec") or {}
    check_counts(errors, spec, "spec", "replicas", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds")
    check_workload_selector(errors, spec, "deployment")
    check_running_template(errors, spec, "ReplicaSet")
    _check_strategy(errors, spec.get("strategy") or {})
    deadline_s = spec.get("progressDeadlineSeconds")
    if deadline_s is not None and deadline_s <= (spec.get("minReadySeconds") or 0):
        errors.append(invalid("spec.progressDeadlineSeconds", deadline_s, "must be greater than minReadySeconds"))
    return errors


def _check_strategy(errors: list[FieldError], strategy: Mapping[str, Any]) -> None:
    rolling, path = strategy.get("rollingUpdate"), "spec.strategy.rollingUpdate"
    match strategy.get("type"):
        case "Recreate":
            if rolling is not None:
                errors.append(forbidden(path, "may not be specified when strategy `type` is 'Recreate'"))
        case "RollingUpdate":
            if rolling is None:
                errors.append(required(path, "this should be defaulted and never be nil"))
                return
            unavailable, surge = rolling.get("maxUnavailable"), rolling.get("maxSurge")
            check_count_or_percent(errors, unavailable, f"{path}.maxUnavailable")
            check_count_or_percent(errors, surge, f"{path}.maxSurge")
            if amount_of(unavailable) == 0 and amount_of(surge) == 0:
                detail = "may not be 0 when `maxSurge` is 0"
                errors.append(invalid(f"{path}.maxUnavailable", unavailable, detail))
            check_at_most_100_percent(errors, unavailable, f"{path}.maxUnavailable")
        case _:
            errors.append(
                not_supported("spec.strategy", goforms.internal("apps.v1.DeploymentStrategy", strategy), STRATEGIES)
            )


def validate_update(new: Object, old: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    selector, before = (value_at(obj, "spec", "selector") for obj in (new, old))
    check_immutable(errors, selector, before, "spec.selector", shown=goforms.label_selector)
    return errors


def validate_status_update(new: Object, old: Object) -> list[FieldError]:
    errors = replica_status_errors(new.get("status") or {}, "updatedReplicas")
    check_collision_count(errors, new, old)
    return errors


KIND = Kind(
    resource=DEPLOYMENTS,
    definition="io.k8s.api.apps.v1.Deployment",
    singular="deployment",
    short_names=("deploy",),
    categories=("all",),
    subresources=(
        SCALE,
        STATUS,
    ),
    prepare_status_update=keep_labels,
    storage_prefix="deployments",
    has_status=True,
    counts_generation=True,
    default=default,
    columns=(
        NAME,
        computed("Ready", _ready, description="Number of the pod with ready state"),
        count(
            "Up-to-date",
            "status",
            "updatedReplicas",
            type="string",
            documented_by="io.k8s.api.apps.v1.DeploymentStatus/updatedReplicas",
        ),
        count(
            "Available",
            "status",
            "availableReplicas",
            type="string",
            documented_by="io.k8s.api.apps.v1.DeploymentStatus/availableReplicas",
        ),
        AGE,
        *containers("spec", "template"),
        selector("spec", "selector", documented_by="io.k8s.api.apps.v1.DeploymentSpec/selector"),
    ),
    prepare_create=prepare_create,
    prepare_update=prepare_update,
    validate=validate,
    validate_update=validate_update,
    validate_status_update=validate_status_update,
    warnings=workload_warnings,
    update_warnings=workload_update_warnings,
)
