"""Rules of an autoscaler's metrics (autoscaling/v2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from steersman.meta.errors import forbidden, invalid, not_supported, required
from steersman.meta.names import label_errors, path_segment_errors
from steersman.meta.quantities import quantity
from steersman.schema.groups.core.resourcenames import check_container_resource_name
from steersman.schema.rules import Errors, check_name, check_required_name

Metric = Mapping[str, Any]

SOURCES = {
    "ContainerResource": "containerResource",
    "External": "external",
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
}
_ORDER = ("object", "external", "pods", "resource", "containerResource")
_TARGETS = ("Utilization", "Value", "AverageValue")


def check_metrics(errors: Errors, metrics: Sequence[Metric], path: str, *, scales_to_zero: bool) -> None:
    for index, metric in enumerate(metrics):
        _check_metric(errors, metric, f"{path}[{index}]")
    if scales_to_zero and not any(metric.get("type") in ("Object", "External") for metric in metrics):
        detail = "must specify at least one Object or External metric to support scaling to zero replicas"
        errors.append(forbidden(path, detail))


def _check_metric(errors: Errors, metric: Metric, path: str) -> None:
    kind = metric.get("type") or ""
    if not kind:
        errors.append(required(f"{path}.type", "must specify a metric source type"))
    if kind not in SOURCES:
        errors.append(not_supported(f"{path}.type", kind, tuple(SOURCES)))
    present = [name for name in _ORDER if metric.get(name) is not None]
    if present:
        _check_source(errors, present[0], metric[present[0]], f"{path}.{present[0]}")
    wanted = SOURCES.get(kind)
    if wanted is None:
        errors.append(not_supported(f"{path}.type", kind, tuple(SOURCES)))
    elif wanted not in present:
        errors.append(required(f"{path}.{wanted}", "must populate information for the given metric source"))
    if len(present) != 1:
        detail = "must populate the given metric source only"
        errors.extend(forbidden(f"{path}.{name}", detail) for name in present if name != wanted)


def _check_source(errors: Errors, name: str, source: Metric, path: str) -> None:
    target = source.get("target") or {}
    value, average, percent = (target.get(part) for part in ("value", "averageValue", "averageUtilization"))
    match name:
        case "object" | "external" | "pods":
            if name == "object":
                check_scale_reference(errors, source.get("describedObject") or {}, f"{path}.describedObject")
            identity = (source.get("metric") or {}).get("name")
            if not identity:
                errors.append(required(f"{path}.metric.name", "must specify a metric name"))
            else:
                check_name(errors, identity, f"{path}.metric.name", path_segment_errors)
        case "containerResource":
            if not source.get("name"):
                errors.append(required(f"{path}.name", "must specify a resource name"))
            else:
                check_container_resource_name(errors, source["name"], f"{path}.name")
            if not source.get("container"):
                errors.append(required(f"{path}.container", "must specify a container"))
            else:
                check_name(errors, source["container"], f"{path}.container", label_errors)
        case _:
            if not source.get("name"):
                errors.append(required(f"{path}.name", "must specify a resource name"))
    _check_target(errors, target, f"{path}.target")
    match name:
        case "object" if value is None and average is None:
            errors.append(required(f"{path}.target.averageValue", "must set either a target value or averageValue"))
        case "external" if value is None and average is None:
            detail = "must set either a target value for metric or a per-pod target"
            errors.append(required(f"{path}.target.averageValue", detail))
        case "external" if value is not None and average is not None:
            detail = "may not set both a target value for metric and a per-pod target"
            errors.append(forbidden(f"{path}.target.value", detail))
        case "pods" if average is None:
            errors.append(required(f"{path}.target.averageValue", "must specify a positive target averageValue"))
        case "resource" | "containerResource" if percent is None and average is None:
            detail = "must set either a target raw value or a target utilization"
            errors.append(required(f"{path}.target.averageUtilization", detail))
        case "resource" | "containerResource" if percent is not None and average is not None:
            detail = "may not set both a target raw value and a target utilization"
            errors.append(forbidden(f"{path}.target.averageValue", detail))


def _check_target(errors: Errors, target: Metric, path: str) -> None:
    kind, percent = target.get("type") or "", target.get("averageUtilization")
    if not kind:
        errors.append(required(f"{path}.type", "must specify a metric target type"))
    if kind not in _TARGETS:
        errors.append(invalid(f"{path}.type", kind, "must be either Utilization, Value, or AverageValue"))
    for name in ("value", "averageValue"):
        amount = target.get(name)
        if amount is not None and not _is_positive(amount):
            errors.append(invalid(f"{path}.{name}", amount, "must be positive"))
    if percent is not None and percent < 1:
        errors.append(invalid(f"{path}.averageUtilization", percent, "must be greater than 0"))


def _is_positive(amount: Any) -> bool:
    try:
        return quantity(amount) > 0
    except ValueError:
        return False


def check_scale_reference(errors: Errors, reference: Metric, path: str) -> None:
    """``kind`` and ``name`` of what is scaled or measured."""
    check_required_name(errors, reference.get("kind"), f"{path}.kind", path_segment_errors)
    check_required_name(errors, reference.get("name"), f"{path}.name", path_segment_errors)
    if (reference.get("apiVersion") or "").count("/") > 1:
        check_api_version(errors, reference, path)


def check_api_version(errors: Errors, reference: Metric, path: str) -> None:
    """The API group of what is scaled: only replication controllers do without one."""
    version = reference.get("apiVersion") or ""
    if version.count("/") > 1:
        errors.append(invalid(f"{path}.apiVersion", version, f"unexpected GroupVersion string: {version}"))
    elif not version.partition("/")[1] and reference.get("kind") != "ReplicationController":
        errors.append(invalid(f"{path}.apiVersion", version, "apiVersion must specify API group"))
