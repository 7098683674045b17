"""DaemonSet: a pod on every matching node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from steersman.meta.errors import FieldError, invalid, not_supported, required
from steersman.meta.objects import Object
from steersman.meta.objects import annotations as annotations_of
from steersman.meta.resources import DAEMONSETS
from steersman.schema import goforms
from steersman.schema.columns import AGE, NAME, computed, containers, count, format_labels, selector, value_at
from steersman.schema.equality import alike
from steersman.schema.groups.core.podspec.defaults import default_pod_template
from steersman.schema.groups.core.podspec.warnings import template_warnings, workload_warnings
from steersman.schema.groups.core.workloads import (
    amount_of,
    check_at_most_100_percent,
    check_collision_count,
    check_count_or_percent,
    check_running_template,
    check_workload_selector,
)
from steersman.schema.kind import Kind
from steersman.schema.rules import check_counts, check_immutable
from steersman.schema.subresources import STATUS


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    default_pod_template(spec.setdefault("template", {}))
    strategy = spec.get("updateStrategy")
    if strategy is None:
        strategy = spec["updateStrategy"] = {}
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.get("rollingUpdate")
        if rolling is None:
            rolling = strategy["rollingUpdate"] = {}
        if rolling.get("maxUnavailable") is None:
            rolling["maxUnavailable"] = 1
        if rolling.get("maxSurge") is None:
            rolling["maxSurge"] = 0
    if spec.get("revisionHistoryLimit") is None:
        spec["revisionHistoryLimit"] = 10
    status = obj.get("status")
    if status is None:
        status = obj["status"] = {}
    for name in ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady"):
        status.setdefault(name, 0)
    _note_template_generation(obj, _template_generation(obj))


TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
UPDATE_STRATEGIES = ("RollingUpdate", "OnDelete")
_COUNTS = (
    "currentNumberScheduled",
    "numberMisscheduled",
    "desiredNumberScheduled",
    "numberReady",
    "observedGeneration",
    "updatedNumberScheduled",
    "numberAvailable",
    "numberUnavailable",
    "collisionCount",
)


def _note_template_generation(obj: Object, number: int) -> None:
    """How often the template changed, where old clients look for it."""
    metadata = obj.setdefault("metadata", {})
    metadata["annotations"] = {**(metadata.get("annotations") or {}), TEMPLATE_GENERATION: str(number)}


def _template_generation(obj: Object) -> int:
    text = annotations_of(obj).get(TEMPLATE_GENERATION) or ""
    return int(text) if text.isascii() and text.isdigit() else 0


def prepare_create(obj: Object) -> None:
    obj["status"] = dict.fromkeys(_COUNTS[:4], 0)
    _note_template_generation(obj, max(1, _template_generation(obj)))


def prepare_update(new: Object, old: Object) -> None:
    changed = not alike(new["spec"].get("template"), old["spec"].get("template"))
    _note_template_generation(new, _template_generation(old) + (1 if changed else 0))


def validate(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    spec = obj.get("spec") or {}
    check_workload_selector(errors, spec, "daemonset")
    check_running_template(errors, spec, "DaemonSet")
    check_counts(errors, spec, "spec", "minReadySeconds", "revisionHistoryLimit")
    _check_strategy(errors, spec.get("updateStrategy") or {})
    return errors


def _check_strategy(errors: list[FieldError], strategy: Mapping[str, Any]) -> None:
    kind, rolling, path = strategy.get("type"), strategy.get("rollingUpdate"), "spec.updateStrategy.rollingUpdate"
    if kind == "OnDelete":
        return
    if kind != "RollingUpdate":
        errors.append(
            not_supported(
                "spec.updateStrategy", goforms.internal("apps.v1.DaemonSetUpdateStrategy", strategy), UPDATE_STRATEGIES
            )
        )
        return
    if rolling is None:
        errors.append(required(path))
        return
    for name in ("maxUnavailable", "maxSurge"):
        check_count_or_percent(errors, rolling.get(name), f"{path}.{name}")
        check_at_most_100_percent(errors, rolling.get(name), f"{path}.{name}")
    unavailable, surge = amount_of(rolling.get("maxUnavailable")), amount_of(rolling.get("maxSurge"))
    if unavailable and surge:
        detail = "may not be set when maxUnavailable is non-zero"
        errors.append(invalid(f"{path}.maxSurge", rolling.get("maxSurge"), detail))
    if not unavailable and not surge:
        errors.append(required(f"{path}.maxUnavailable", "cannot be 0 when maxSurge is 0"))


def validate_update(new: Object, old: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    selector, before = (value_at(obj, "spec", "selector") for obj in (new, old))
    check_immutable(errors, selector, before, "spec.selector", shown=goforms.label_selector)
    return errors


def validate_status_update(new: Object, old: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    check_counts(errors, new.get("status") or {}, "status", *_COUNTS)
    check_collision_count(errors, new, old)
    return errors


def update_warnings(new: Object, old: Object) -> list[str]:
    template = value_at(new, "spec", "template")
    return (
        [] if alike(template, value_at(old, "spec", "template")) else template_warnings(template or {}, "spec.template")
    )


KIND = Kind(
    resource=DAEMONSETS,
    definition="io.k8s.api.apps.v1.DaemonSet",
    singular="daemonset",
    short_names=("ds",),
    categories=("all",),
    subresources=(STATUS,),
    storage_prefix="daemonsets",
    has_status=True,
    counts_generation=True,
    default=default,
    columns=(
        NAME,
        count(
            "Desired",
            "status",
            "desiredNumberScheduled",
            documented_by="io.k8s.api.apps.v1.DaemonSetStatus/desiredNumberScheduled",
        ),
        count(
            "Current",
            "status",
            "currentNumberScheduled",
            documented_by="io.k8s.api.apps.v1.DaemonSetStatus/currentNumberScheduled",
        ),
        count("Ready", "status", "numberReady", documented_by="io.k8s.api.apps.v1.DaemonSetStatus/numberReady"),
        count(
            "Up-to-date",
            "status",
            "updatedNumberScheduled",
            documented_by="io.k8s.api.apps.v1.DaemonSetStatus/updatedNumberScheduled",
        ),
        count(
            "Available", "status", "numberAvailable", documented_by="io.k8s.api.apps.v1.DaemonSetStatus/numberAvailable"
        ),
        computed(
            "Node Selector",
            lambda obj, now: format_labels(value_at(obj, "spec", "template", "spec", "nodeSelector")),
            documented_by="io.k8s.api.core.v1.PodSpec/nodeSelector",
        ),
        AGE,
        *containers("spec", "template"),
        selector("spec", "selector", documented_by="io.k8s.api.apps.v1.DaemonSetSpec/selector"),
    ),
    prepare_create=prepare_create,
    prepare_update=prepare_update,
    validate=validate,
    validate_update=validate_update,
    validate_status_update=validate_status_update,
    warnings=workload_warnings,
    update_warnings=update_warnings,
)
