"""HorizontalPodAutoscaler between autoscaling/v1 and v2.

v1 has one field for one CPU target; everything else of v2 travels in annotations of the v1 object, as upstream writes them, so
that a client of v1 that reads and writes back loses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from steersman.meta.objects import Object, metadata

DEFAULT_CPU_PERCENT = 80
METRICS = "autoscaling.alpha.kubernetes.io/metrics"
BEHAVIOR = "autoscaling.alpha.kubernetes.io/behavior"
CURRENT_METRICS = "autoscaling.alpha.kubernetes.io/current-metrics"
CONDITIONS = "autoscaling.alpha.kubernetes.io/conditions"
_CARRIED = (METRICS, BEHAVIOR, CURRENT_METRICS, CONDITIONS)
_SOURCES = {
    "Resource": "resource",
    "ContainerResource": "containerResource",
    "Pods": "pods",
    "Object": "object",
    "External": "external",
}


def convert(obj: Object, api_version: str) -> Object:
    """A copy of ``obj`` in ``autoscaling/v1`` or ``autoscaling/v2``. Raises ``ValueError`` for other versions."""
    if api_version == obj.get("apiVersion"):
        return dict(obj)
    if api_version == "autoscaling/v1":
        return _to_v1(obj)
    if api_version == "autoscaling/v2":
        return _to_v2(obj)
    raise ValueError(f"{api_version} is not a version of HorizontalPodAutoscaler")


def cpu_metric(percent: int) -> Object:
    return {
        "type": "Resource",
        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": percent}},
    }


def _cpu_utilization(metric: Mapping[str, Any], part: str) -> int | None:
    resource = metric.get("resource") or {}
    if metric.get("type") != "Resource" or resource.get("name") != "cpu":
        return None
    percent: int | None = (resource.get(part) or {}).get("averageUtilization")
    return percent


def _without(value: Mapping[str, Any]) -> Object:
    return {name: entry for name, entry in value.items() if entry is not None}


def _to_v1(obj: Object) -> Object:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    metrics = spec.get("metrics") or []
    percents = [_cpu_utilization(metric, "target") for metric in metrics]
    current = status.get("currentMetrics") or []
    carried = {
        METRICS: [_metric_to_v1(metric) for metric, percent in zip(metrics, percents, strict=True) if percent is None],
        BEHAVIOR: _internal_behavior(spec.get("behavior")),
        CURRENT_METRICS: [_status_to_v1(metric) for metric in current],
        CONDITIONS: status.get("conditions"),
    }
    current_percents = [percent for metric in current if (percent := _cpu_utilization(metric, "current")) is not None]
    return {
        **obj,
        "apiVersion": "autoscaling/v1",
        "metadata": _with_carried(metadata(obj), carried),
        "spec": _without(
            {
                "scaleTargetRef": spec.get("scaleTargetRef"),
                "minReplicas": spec.get("minReplicas"),
                "maxReplicas": spec.get("maxReplicas"),
                "targetCPUUtilizationPercentage": next((each for each in percents if each is not None), None),
            }
        ),
        "status": _without(
            {
                "observedGeneration": status.get("observedGeneration"),
                "lastScaleTime": status.get("lastScaleTime"),
                "currentReplicas": status.get("currentReplicas") or 0,
                "desiredReplicas": status.get("desiredReplicas") or 0,
                "currentCPUUtilizationPercentage": current_percents[-1] if current_percents else None,
            }
        ),
    }


def _with_carried(meta: Mapping[str, Any], carried: Mapping[str, Any]) -> Object:
    own = {key: value for key, value in (meta.get("annotations") or {}).items() if key not in _CARRIED}
    own |= {key: msgspec.json.encode(value).decode() for key, value in carried.items() if value}
    bare = {key: value for key, value in meta.items() if key != "annotations"}
    return {**bare, "annotations": own} if own else bare


_RULES = ("stabilizationWindowSeconds", "selectPolicy", "policies", "tolerance")
_POLICY = ("type", "value", "periodSeconds")


def _internal_behavior(behavior: Mapping[str, Any] | None) -> Object | None:
    """As upstream carries it: a type of its own, which has Go's names for its fields."""
    if behavior is None:
        return None
    return {_go_name(name): _internal_rules(behavior.get(name)) for name in ("scaleUp", "scaleDown")}


def _internal_rules(rules: Mapping[str, Any] | None) -> Object | None:
    if rules is None:
        return None
    policies = [{_go_name(name): policy.get(name) for name in _POLICY} for policy in rules.get("policies") or ()]
    written = {**rules, "policies": policies or None}
    return {_go_name(name): written.get(name) for name in _RULES}


def _go_name(name: str) -> str:
    return name[0].upper() + name[1:]


def _of_internal(value: Any) -> Any:
    """With the API's names again, however they are written: Go reads them in any case."""
    if isinstance(value, list):
        return [_of_internal(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    return {key[:1].lower() + key[1:]: _of_internal(entry) for key, entry in value.items() if entry is not None}


def carries_metrics(obj: Object) -> bool:
    """An object of v1 says in some way by what it scales."""
    percent = (obj.get("spec") or {}).get("targetCPUUtilizationPercentage")
    return percent is not None or bool(_read(metadata(obj).get("annotations") or {}, METRICS))


def _read(notes: Mapping[str, str], key: str) -> Any:
    """What an annotation carries; what cannot be read counts as absent."""
    try:
        return msgspec.json.decode(notes.get(key) or "null")
    except msgspec.DecodeError:
        return None


def _to_v2(obj: Object) -> Object:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    notes = metadata(obj).get("annotations") or {}
    metrics = [_metric_to_v2(metric) for metric in _read(notes, METRICS) or []]
    percent = spec.get("targetCPUUtilizationPercentage")
    if percent is not None:
        metrics.append(cpu_metric(percent))
    current = [_status_to_v2(metric) for metric in _read(notes, CURRENT_METRICS) or []]
    current_percent = status.get("currentCPUUtilizationPercentage")
    if not current and current_percent is not None:
        current = [
            {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": current_percent}}}
        ]
    return {
        **obj,
        "apiVersion": "autoscaling/v2",
        "metadata": _with_carried(metadata(obj), {}),
        "spec": _without(
            {
                "scaleTargetRef": spec.get("scaleTargetRef"),
                "minReplicas": spec.get("minReplicas"),
                "maxReplicas": spec.get("maxReplicas"),
                "metrics": metrics or [cpu_metric(DEFAULT_CPU_PERCENT)],
                "behavior": _of_internal(_read(notes, BEHAVIOR)),
            }
        ),
        "status": _without(
            {
                "observedGeneration": status.get("observedGeneration"),
                "lastScaleTime": status.get("lastScaleTime"),
                "currentReplicas": status.get("currentReplicas") or None,
                "desiredReplicas": status.get("desiredReplicas") or 0,
                "currentMetrics": current or None,
                "conditions": _read(notes, CONDITIONS),
            }
        ),
    }


def _source(metric: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    name = _SOURCES.get(str(metric.get("type")), "")
    return name, metric.get(name) or {}


def _metric_to_v1(metric: Mapping[str, Any]) -> Object:
    name, source = _source(metric)
    target, identity = source.get("target") or {}, source.get("metric") or {}
    old: Mapping[str, Any] = {}
    match name:
        case "resource" | "containerResource":
            old = {
                "name": source.get("name"),
                "container": source.get("container"),
                "targetAverageUtilization": target.get("averageUtilization"),
                "targetAverageValue": target.get("averageValue"),
            }
        case "pods":
            old = {
                "metricName": identity.get("name"),
                "selector": identity.get("selector"),
                "targetAverageValue": target.get("averageValue") or "0",
            }
        case "object":
            old = {
                "target": source.get("describedObject"),
                "metricName": identity.get("name"),
                "selector": identity.get("selector"),
                "targetValue": target.get("value") or "0",
                "averageValue": target.get("averageValue"),
            }
        case "external":
            old = {
                "metricName": identity.get("name"),
                "metricSelector": identity.get("selector"),
                "targetValue": target.get("value"),
                "targetAverageValue": target.get("averageValue"),
            }
    return {"type": metric.get("type"), name: _without(old)} if name else {"type": metric.get("type")}


def _metric_to_v2(metric: Mapping[str, Any]) -> Object:
    name, source = _source(metric)
    identity = {"name": source.get("metricName"), "selector": source.get("selector") or source.get("metricSelector")}
    average = source.get("targetAverageValue")
    new: dict[str, Any] = {}
    match name:
        case "resource" | "containerResource":
            percent = source.get("targetAverageUtilization")
            kind = "AverageValue" if percent is None else "Utilization"
            target = {"type": kind, "averageUtilization": percent, "averageValue": average}
            new = {"name": source.get("name"), "container": source.get("container"), "target": _without(target)}
        case "pods":
            new = {"metric": _without(identity), "target": {"type": "AverageValue", "averageValue": average}}
        case "object":
            average = source.get("averageValue")
            value = source.get("targetValue")
            kept = None if average is not None and value in ("0", 0) else value
            kind = "Value" if average is None else "AverageValue"
            new = {
                "describedObject": source.get("target"),
                "metric": _without(identity),
                "target": _without({"type": kind, "value": kept, "averageValue": average}),
            }
        case "external":
            value = source.get("targetValue")
            kind = "AverageValue" if value is None else "Value"
            target = {"type": kind, "value": value, "averageValue": average}
            new = {"metric": _without(identity), "target": _without(target)}
    return {"type": metric.get("type"), name: _without(new)} if name else {"type": metric.get("type")}


def _status_to_v1(metric: Mapping[str, Any]) -> Object:
    name, source = _source(metric)
    current, identity = source.get("current") or {}, source.get("metric") or {}
    old: Mapping[str, Any] = {}
    match name:
        case "resource" | "containerResource":
            old = {
                "name": source.get("name"),
                "container": source.get("container"),
                "currentAverageUtilization": current.get("averageUtilization"),
                "currentAverageValue": current.get("averageValue") or "0",
            }
        case "pods":
            old = {
                "metricName": identity.get("name"),
                "selector": identity.get("selector"),
                "currentAverageValue": current.get("averageValue") or "0",
            }
        case "object":
            old = {
                "target": source.get("describedObject"),
                "metricName": identity.get("name"),
                "selector": identity.get("selector"),
                "currentValue": current.get("value") or "0",
                "averageValue": current.get("averageValue"),
            }
        case "external":
            old = {
                "metricName": identity.get("name"),
                "metricSelector": identity.get("selector"),
                "currentValue": current.get("value") or "0",
                "currentAverageValue": current.get("averageValue"),
            }
    return {"type": metric.get("type"), name: _without(old)} if name else {"type": metric.get("type")}


def _status_to_v2(metric: Mapping[str, Any]) -> Object:
    name, source = _source(metric)
    if not name:
        return {"type": metric.get("type")}
    current = {
        "averageUtilization": source.get("currentAverageUtilization"),
        "averageValue": source.get("currentAverageValue") or source.get("averageValue"),
        "value": source.get("currentValue"),
    }
    identity = {"name": source.get("metricName"), "selector": source.get("selector") or source.get("metricSelector")}
    new = {
        "name": source.get("name"),
        "container": source.get("container"),
        "describedObject": source.get("target"),
        "metric": _without(identity) or None,
        "current": _without(current),
    }
    return {"type": metric.get("type"), name: _without(new)}
