"""HorizontalPodAutoscaler: scales a workload by what its pods use. Stored as v2; v1 knows CPU utilization only."""

from __future__ import annotations

from steersman.meta.errors import FieldError, invalid, required
from steersman.meta.objects import Object
from steersman.meta.resources import HORIZONTALPODAUTOSCALERS, HORIZONTALPODAUTOSCALERS_V1
from steersman.schema.cells import UNSET
from steersman.schema.columns import AGE, NAME, computed, count, value_at
from steersman.schema.equality import same
from steersman.schema.groups.autoscaling.behavior import check_behavior
from steersman.schema.groups.autoscaling.conversion import DEFAULT_CPU_PERCENT, carries_metrics, convert, cpu_metric
from steersman.schema.groups.autoscaling.metricrules import check_api_version, check_metrics, check_scale_reference
from steersman.schema.groups.autoscaling.metrics import format_targets
from steersman.schema.kind import Kind
from steersman.schema.rules import check_counts
from steersman.schema.subresources import STATUS

_DOC = "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler"
_TARGET = "spec.scaleTargetRef"
_SCALE_UP: Object = {
    "stabilizationWindowSeconds": 0,
    "selectPolicy": "Max",
    "policies": [
        {"type": "Pods", "value": 4, "periodSeconds": 15},
        {"type": "Percent", "value": 100, "periodSeconds": 15},
    ],
}
_SCALE_DOWN: Object = {
    "selectPolicy": "Max",
    "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
}


_EMPTY_V1: Object = {"currentReplicas": 0, "desiredReplicas": 0}
_EMPTY_V2: Object = {"currentMetrics": None, "desiredReplicas": 0}
"""What upstream writes of a status that nobody has filled."""


def default_v1(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    if spec.get("minReplicas") is None:
        spec["minReplicas"] = 1
    if not carries_metrics(obj):
        spec["targetCPUUtilizationPercentage"] = DEFAULT_CPU_PERCENT
    _default_status(obj, _EMPTY_V1)


def default_v2(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    if spec.get("minReplicas") is None:
        spec["minReplicas"] = 1
    if not spec.get("metrics"):
        spec["metrics"] = [cpu_metric(DEFAULT_CPU_PERCENT)]
    behavior = spec.get("behavior")
    if behavior is not None:
        behavior["scaleUp"] = _rules(behavior.get("scaleUp"), _SCALE_UP)
        behavior["scaleDown"] = _rules(behavior.get("scaleDown"), _SCALE_DOWN)
    _default_status(obj, _EMPTY_V2)


def _rules(written: Object | None, defaults: Object) -> Object:
    return {**defaults, **{name: value for name, value in (written or {}).items() if value is not None}}


def _default_status(obj: Object, always_there: Object) -> None:
    obj["status"] = {**always_there, **(obj.get("status") or {})}


def _reference(obj: Object, now: float) -> str:
    target = value_at(obj, "spec", "scaleTargetRef") or {}
    return f"{target.get('kind') or ''}/{target.get('name') or ''}"


def _targets(obj: Object, now: float) -> str:
    newest = convert(obj, "autoscaling/v2")
    return format_targets(value_at(newest, "spec", "metrics") or (), value_at(newest, "status", "currentMetrics") or ())


def _min_pods(obj: Object, now: float) -> str:
    least = value_at(obj, "spec", "minReplicas")
    return UNSET if least is None else str(least)


def prepare_create(obj: Object) -> None:
    obj["status"] = dict(_EMPTY_V1 if obj["apiVersion"] == "autoscaling/v1" else _EMPTY_V2)


def validate(obj: Object) -> list[FieldError]:
    """Rules are those of v2; messages about v1 objects speak of v2's fields, as upstream's do."""
    errors: list[FieldError] = []
    spec = convert(obj, "autoscaling/v2").get("spec") or {}
    least, most = spec.get("minReplicas"), spec.get("maxReplicas") or 0
    if least is not None and least < 1:
        errors.append(invalid("spec.minReplicas", least, "must be greater than or equal to 1"))
    if most == 0:
        errors.append(required("spec.maxReplicas", "must be set and greater than 0"))
    elif most < 0:
        errors.append(invalid("spec.maxReplicas", most, "must be greater than or equal to 1"))
    if least is not None and most < least:
        errors.append(invalid("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`"))
    check_scale_reference(errors, spec.get("scaleTargetRef") or {}, _TARGET)
    check_metrics(errors, spec.get("metrics") or (), "spec.metrics", scales_to_zero=least == 0)
    check_behavior(errors, spec.get("behavior") or {}, "spec.behavior")
    return errors


def validate_create(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    check_api_version(errors, value_at(obj, "spec", "scaleTargetRef") or {}, _TARGET)
    return errors


def validate_update(new: Object, old: Object) -> list[FieldError]:
    now, before = (value_at(obj, "spec", "scaleTargetRef") or {} for obj in (new, old))
    is_same = all(same(now.get(name), before.get(name)) for name in ("apiVersion", "kind"))
    return [] if is_same else validate_create(new)


def validate_status_update(new: Object, old: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    check_counts(errors, new.get("status") or {}, "status", "currentReplicas", "desiredReplicas")
    return errors


COLUMNS = (
    NAME,
    computed("Reference", _reference, documented_by=f"{_DOC}Spec/scaleTargetRef"),
    computed("Targets", _targets, documented_by=f"{_DOC}Spec/metrics"),
    computed("MinPods", _min_pods, documented_by=f"{_DOC}Spec/minReplicas"),
    count("MaxPods", "spec", "maxReplicas", type="string", documented_by=f"{_DOC}Spec/maxReplicas"),
    count("Replicas", "status", "currentReplicas", type="string", documented_by=f"{_DOC}Status/currentReplicas"),
    AGE,
)

V2 = Kind(
    resource=HORIZONTALPODAUTOSCALERS,
    definition="io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler",
    singular="horizontalpodautoscaler",
    short_names=("hpa",),
    categories=("all",),
    subresources=(STATUS,),
    storage_prefix="horizontalpodautoscalers",
    has_status=True,
    default=default_v2,
    columns=COLUMNS,
    convert=convert,
    prepare_create=prepare_create,
    validate=validate,
    validate_create=validate_create,
    validate_update=validate_update,
    validate_status_update=validate_status_update,
)

V1 = Kind(
    resource=HORIZONTALPODAUTOSCALERS_V1,
    definition="io.k8s.api.autoscaling.v1.HorizontalPodAutoscaler",
    singular="horizontalpodautoscaler",
    short_names=("hpa",),
    categories=("all",),
    subresources=(STATUS,),
    storage_prefix="horizontalpodautoscalers",
    storage_version="v2",
    has_status=True,
    default=default_v1,
    columns=COLUMNS,
    convert=convert,
    prepare_create=prepare_create,
    validate=validate,
    validate_create=validate_create,
    validate_update=validate_update,
    validate_status_update=validate_status_update,
)

KINDS = (V2, V1)
