"""HorizontalPodAutoscaler: algorithm as tables; the loop against a real API server with metrics that a test serves."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.controllers.hpabehavior import Memory, normalize
from steersman.controllers.hpareplicas import Readiness, Tolerances, by_average, by_utilization, by_value
from steersman.controllers.metricsapi import MetricsUnavailable, Sample
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import DEPLOYMENTS, EVENTS, HORIZONTALPODAUTOSCALERS, PODS
from tests.controllers.builders import pod, workload
from tests.controllers.conftest import StartWorld

NAME = "horizontal-pod-autoscaler-controller"
TOLERANCES = Tolerances(down=0.1, up=0.1)
READINESS = Readiness(now_s=2e9, cpu_initialization_s=300, initial_readiness_s=30)


def running(name: str, *, phase: str = "Running", request: str = "100m") -> Object:
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:01:00Z"}
    status = {"phase": phase, "startTime": "2026-01-01T00:00:00Z", "conditions": [ready]}
    made = pod(name, status=status)
    made["spec"]["containers"][0]["resources"] = {"requests": {"cpu": request}}
    return made


def samples(*millis: int | None) -> dict[str, Sample]:
    return {f"p{number}": Sample(milli=value, at_s=2e9) for number, value in enumerate(millis) if value is not None}


@pytest.mark.parametrize(
    "millis, phases, current, expected",
    [
        ((100, 100), ("Running", "Running"), 2, 4),
        ((50, 50), ("Running", "Running"), 2, 2),
        ((54, 54), ("Running", "Running"), 2, 2),
        ((20, 20), ("Running", "Running"), 2, 1),
        ((100, None), ("Running", "Running"), 2, 2),
        ((300, None), ("Running", "Running"), 2, 6),
        ((10, None), ("Running", "Running"), 2, 2),
        ((200, None), ("Running", "Pending"), 2, 4),
        ((10, None), ("Running", "Pending"), 2, 1),
    ],
)
def test_utilization_asks_for_replicas_and_doubts_missing_values(
    millis: tuple[int | None, ...], phases: tuple[str, ...], current: int, expected: int
) -> None:
    pods = [running(f"p{number}", phase=phase) for number, phase in enumerate(phases)]
    found = by_utilization(current, 50, samples(*millis), pods, "cpu", "", TOLERANCES, READINESS)
    assert found.replicas == expected


def test_a_pod_that_is_starting_does_not_count() -> None:
    young = running("p1")
    young["status"]["startTime"] = "2033-05-18T03:33:10Z"
    young["status"]["conditions"][0] |= {"status": "False", "lastTransitionTime": "2033-05-18T03:33:15Z"}
    found = by_utilization(2, 50, samples(100, 1000), [running("p0"), young], "cpu", "", TOLERANCES, READINESS)
    assert found.replicas == 2


def test_a_request_that_is_missing_is_a_failure() -> None:
    bare = pod("p0", status=running("p0")["status"])
    with pytest.raises(MetricsUnavailable, match="missing request for cpu in container main of Pod p0"):
        by_utilization(1, 50, samples(1), [bare], "cpu", "", TOLERANCES, READINESS)


def test_averages_and_values() -> None:
    pods = [running("p0"), running("p1")]
    assert by_average(2, 10_000, samples(20_000, 20_000), pods, "", TOLERANCES, READINESS).replicas == 4
    assert by_value(2, 10_000, 25_000, pods, TOLERANCES).replicas == 5
    assert by_value(0, 10_000, 25_000, [], TOLERANCES).replicas == 3


@pytest.mark.parametrize(
    "current, desired, behavior, expected, reason",
    [
        (2, 3, None, 3, "DesiredWithinRange"),
        (2, 20, None, 4, "ScaleUpLimit"),
        (9, 20, None, 10, "TooManyReplicas"),
        (5, 0, None, 1, "TooFewReplicas"),
        (2, 20, {"scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]}}, 3, "ScaleUpLimit"),
        (4, 9, {"scaleUp": {"selectPolicy": "Disabled"}}, 4, "ScaleUpLimit"),
        (
            10,
            1,
            {
                "scaleDown": {
                    "stabilizationWindowSeconds": 0,
                    "policies": [{"type": "Percent", "value": 10, "periodSeconds": 60}],
                }
            },
            9,
            "ScaleDownLimit",
        ),
    ],
)
def test_rates_and_bounds(current: int, desired: int, behavior: Any, expected: int, reason: str) -> None:
    found = normalize(current, desired, 1, 10, behavior, Memory(), 300.0, now_s=1000.0)
    assert (found.replicas, found.limited[0]) == (expected, reason)


def test_a_lower_recommendation_waits_for_the_window() -> None:
    memory = Memory(recommendations=[(0.0, 5)])
    first = normalize(5, 2, 1, 10, None, memory, 300.0, now_s=100.0)
    assert (first.replicas, first.able[0]) == (5, "ScaleDownStabilized")
    later = normalize(5, 2, 1, 10, None, memory, 300.0, now_s=301.0)
    assert (later.replicas, later.able[0]) == (2, "ReadyForNewScale")


def test_a_rate_counts_what_was_done_in_its_period() -> None:
    behavior = {"scaleUp": {"policies": [{"type": "Pods", "value": 2, "periodSeconds": 60}]}}
    memory = Memory()
    memory.scaled(2, 4, 1000.0)
    assert normalize(4, 10, 1, 10, behavior, memory, 300.0, now_s=1030.0).replicas == 4
    assert normalize(4, 10, 1, 10, behavior, memory, 300.0, now_s=1061.0).replicas == 6


def hpa(**spec: Any) -> Object:
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"scaleTargetRef": reference, "maxReplicas": 5, **spec},
    }


async def test_brings_the_target_into_its_bounds_and_says_what_it_cannot_measure(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    await world.create(DEPLOYMENTS, workload(DEPLOYMENTS, replicas=8))
    await world.create(HORIZONTALPODAUTOSCALERS, hpa(minReplicas=2))
    assert (await world.get(DEPLOYMENTS, "web"))["spec"]["replicas"] == 5
    found = await world.get(HORIZONTALPODAUTOSCALERS, "web")
    able = objects.condition(found, "AbleToScale")
    assert able is not None and able["reason"] == "SucceededRescale"
    await world.advance(16)
    found = await world.get(HORIZONTALPODAUTOSCALERS, "web")
    active = objects.condition(found, "ScalingActive")
    assert active is not None
    assert (active["status"], active["reason"]) == ("False", "FailedGetResourceMetric")
    assert (await world.get(DEPLOYMENTS, "web"))["spec"]["replicas"] == 5
    reasons = {event["reason"] for event in await world.list(EVENTS)}
    assert {"SuccessfulRescale", "FailedGetResourceMetric", "FailedComputeMetricsReplicas"} <= reasons


async def test_leaves_a_target_of_zero_alone(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    await world.create(DEPLOYMENTS, workload(DEPLOYMENTS, replicas=0))
    await world.create(HORIZONTALPODAUTOSCALERS, hpa(minReplicas=2))
    active = objects.condition(await world.get(HORIZONTALPODAUTOSCALERS, "web"), "ScalingActive")
    assert active is not None and active["reason"] == "ScalingDisabled"


async def test_says_when_the_target_is_missing(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    await world.create(HORIZONTALPODAUTOSCALERS, hpa())
    able = objects.condition(await world.get(HORIZONTALPODAUTOSCALERS, "web"), "AbleToScale")
    assert able is not None and able["reason"] == "FailedGetScale"


async def test_pods_of_two_autoscalers_are_scaled_by_neither(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    await world.create(DEPLOYMENTS, workload(DEPLOYMENTS, replicas=2))
    await world.create(PODS, pod())
    await world.set_status(DEPLOYMENTS, await world.get(DEPLOYMENTS, "web"), replicas=2)
    await world.create(HORIZONTALPODAUTOSCALERS, hpa(minReplicas=1))
    other = hpa(minReplicas=1)
    await world.create(HORIZONTALPODAUTOSCALERS, {**other, "metadata": {"name": "two", "namespace": "default"}})
    await world.advance(16)
    active = objects.condition(await world.get(HORIZONTALPODAUTOSCALERS, "two"), "ScalingActive")
    assert active is not None
    assert (active["status"], active["reason"]) == ("False", "AmbiguousSelector")
    assert active["message"].startswith("pods by selector app=web are controlled by multiple HPAs: [{two default}")
    assert "AmbiguousSelector" in {event["reason"] for event in await world.list(EVENTS)}
