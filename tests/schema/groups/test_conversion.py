"""Kinds that are served in several shapes keep everything on the way there and back."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.schema.groups.autoscaling import conversion as autoscaling
from steersman.schema.groups.autoscaling.conversion import convert
from steersman.schema.groups.events import conversion as events

TARGET = {"scaleTargetRef": {"kind": "Deployment", "name": "d"}, "minReplicas": 1, "maxReplicas": 3}
METRICS: list[dict[str, Any]] = [
    {"type": "Resource", "resource": {"name": "memory", "target": {"type": "Utilization", "averageUtilization": 7}}},
    {"type": "Pods", "pods": {"metric": {"name": "m"}, "target": {"type": "AverageValue", "averageValue": "5"}}},
    {
        "type": "Object",
        "object": {
            "describedObject": {"kind": "Ingress", "name": "i"},
            "metric": {"name": "m", "selector": {"matchLabels": {"a": "b"}}},
            "target": {"type": "Value", "value": "10"},
        },
    },
    {"type": "External", "external": {"metric": {"name": "m"}, "target": {"type": "Value", "value": "10"}}},
    {
        "type": "ContainerResource",
        "containerResource": {"name": "cpu", "container": "c", "target": {"type": "AverageValue", "averageValue": "1"}},
    },
    {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}},
]


def autoscaler(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "a"},
        "spec": {**TARGET, **spec},
        "status": {
            "currentReplicas": 1,
            "desiredReplicas": 2,
            "conditions": [{"type": "AbleToScale", "status": "True"}],
            "currentMetrics": [
                {
                    "type": "Resource",
                    "resource": {"name": "cpu", "current": {"averageUtilization": 3, "averageValue": "1m"}},
                }
            ],
        },
    }


def test_autoscaler_keeps_all_metrics_through_v1() -> None:
    written = autoscaler(metrics=METRICS, behavior={"scaleUp": {"selectPolicy": "Max"}})
    old = autoscaling.convert(written, "autoscaling/v1")
    assert old["spec"] == {**TARGET, "targetCPUUtilizationPercentage": 60}
    assert old["status"]["currentCPUUtilizationPercentage"] == 3
    assert autoscaling.convert(old, "autoscaling/v2") == written


def test_a_v1_autoscaler_without_target_aims_at_80_percent() -> None:
    new = autoscaling.convert({"apiVersion": "autoscaling/v1", "spec": TARGET}, "autoscaling/v2")
    assert new["spec"]["metrics"] == [autoscaling.cpu_metric(80)]


def test_event_fields_have_their_names_of_the_version() -> None:
    core = {
        "apiVersion": "v1",
        "kind": "Event",
        "involvedObject": {"kind": "Pod"},
        "message": "m",
        "source": {"component": "c"},
        "count": 2,
        "reportingComponent": "r",
        "reason": "x",
    }
    new = events.convert(core, "events.k8s.io/v1")
    assert new == {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "regarding": {"kind": "Pod"},
        "note": "m",
        "deprecatedSource": {"component": "c"},
        "deprecatedCount": 2,
        "reportingController": "r",
        "reason": "x",
    }
    assert events.convert(new, "v1") == core


def test_unknown_versions_are_refused() -> None:
    with pytest.raises(ValueError, match="autoscaling/v3"):
        autoscaling.convert(autoscaler(), "autoscaling/v3")


def test_behavior_travels_in_upstreams_internal_form() -> None:
    policies = [{"type": "Pods", "value": 4, "periodSeconds": 15}]
    behavior = {"scaleDown": {"stabilizationWindowSeconds": 5, "selectPolicy": "Max", "policies": policies}}
    written = convert(autoscaler(behavior=behavior), "autoscaling/v1")
    note = written["metadata"]["annotations"]["autoscaling.alpha.kubernetes.io/behavior"]
    assert note == (
        '{"ScaleUp":null,"ScaleDown":{"StabilizationWindowSeconds":5,"SelectPolicy":"Max",'
        '"Policies":[{"Type":"Pods","Value":4,"PeriodSeconds":15}],"Tolerance":null}}'
    )
    assert convert(written, "autoscaling/v2")["spec"]["behavior"] == behavior
