"""HorizontalPodAutoscaler: how many replicas a metric asks for, and what is made of several. Cases follow upstream's unit tests
of the replica calculator and the horizontal controller."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.controllers.hpabehavior import Memory, normalize
from steersman.controllers.hpameasurement import Measured
from steersman.controllers.hpareplicas import (
    Proposal,
    Readiness,
    Tolerances,
    by_average,
    by_utilization,
    by_value,
    by_value_per_pod,
)
from steersman.controllers.kinds.horizontalpodautoscaler import asks_metrics, plan
from steersman.controllers.metricsapi import MetricsUnavailable, Sample
from steersman.meta import times
from steersman.meta.objects import Object
from tests.controllers.builders import pod
from tests.controllers.kinds.test_horizontalpodautoscaler import hpa

NOW_S = 1_000_000.0
TOLERANCES = Tolerances(down=0.1, up=0.1)
READINESS = Readiness(now_s=NOW_S, cpu_initialization_s=120, initial_readiness_s=10)
WINDOW_S = 60.0

STATES = {
    "ready": (True, 1000.0, 500.0),
    "hot": (True, 60.0, 10.0),
    "young": (True, 110.0, 70.0),
    "never": (False, 1000.0, 995.0),
    "broke": (False, 1000.0, 100.0),
    "starting": (False, 60.0, 50.0),
}
"""(is ready, started so many seconds ago, its readiness changed so many seconds ago)."""


def member(number: int, state: str, request: str = "1", container: str = "main") -> Object:
    """A pod; its state is one of ``STATES`` or a phase, or "deleted"."""
    is_ready, started_s, since_s = STATES.get(state, STATES["ready"])
    entry = {
        "type": "Ready", "status": str(is_ready), "lastTransitionTime": times.format_time(NOW_S - since_s),
    }  # fmt: skip
    phase = state if state in ("Pending", "Failed", "Succeeded") else "Running"
    status = {"phase": phase, "startTime": times.format_time(NOW_S - started_s), "conditions": [entry]}
    metadata = {"deletionTimestamp": times.format_time(NOW_S)} if state == "deleted" else {}
    made = pod(f"p{number}", status=status, metadata=metadata)
    made["spec"]["containers"] = [{"name": container, "resources": {"requests": {"cpu": request, "memory": request}}}]
    return made


def samples(*levels: int | None) -> dict[str, Sample]:
    """Of pods that have one."""
    return {
        f"p{number}": Sample(milli=level, at_s=NOW_S, window_s=WINDOW_S)
        for number, level in enumerate(levels)
        if level is not None
    }


ALL = ("ready",) * 3


@pytest.mark.parametrize(
    ("current", "levels", "states", "target", "replicas", "utilization"),
    [
        (3, (300, 500, 700), ALL, 30, 5, 50),
        (3, (300, 500, 700), ("never", "ready", "ready"), 30, 4, 60),
        (3, (300, 500, 700), ("never", "ready", "never"), 30, 3, 50),
        (3, (300, 500, 700), ("hot", "ready", "ready"), 30, 4, 60),
        (3, (300, 500, 700), ("young", "ready", "ready"), 30, 5, 50),
        (3, (300, 500, 700), ("starting", "ready", "ready"), 30, 4, 60),
        (3, (300, 500, 700), ("broke", "ready", "ready"), 30, 5, 50),
        (2, (500, 700, None, None), ("ready", "ready", "Failed", "Failed"), 30, 4, 60),
        (2, (500, 700, 999, 999), ("ready", "ready", "deleted", "deleted"), 30, 4, 60),
        (5, (100, 300, 500, 250, 250), ("ready",) * 5, 50, 3, 28),
        (5, (100, 300, 500, 250, 250), ("ready", "ready", "ready", "never", "never"), 50, 2, 30),
        (5, (100, 300, 500, None, None), ("ready", "ready", "ready", "Pending", "Pending"), 50, 2, 30),
        (3, (1010, 1030, 1020), ALL, 100, 3, 102),
        (4, (100, None, None, None), ("ready",) * 4, 25, 4, 10),
        (2, (1000, None), ("ready",) * 2, 100, 2, 100),
        (2, (1900, None), ("ready",) * 2, 100, 2, 190),
        (2, (600, None), ("ready",) * 2, 100, 2, 60),
        (3, (100, 450, None), ("never", "ready", "ready"), 50, 3, 45),
        (3, (100, 2000, None), ("never", "ready", "ready"), 50, 4, 200),
        (4, (100, 100, 100, None), ("never", "ready", "ready", "ready"), 50, 3, 10),
        (2, (100, 100, None), ALL, 50, 2, 10),
        (4, (None, None, 1000, 1000), ("ready",) * 4, 200, 3, 100),
    ],
)
def test_utilization(
    current: int, levels: tuple[int | None, ...], states: tuple[str, ...], target: int, replicas: int, utilization: int
) -> None:
    pods = [member(number, state) for number, state in enumerate(states)]
    found = by_utilization(current, target, samples(*levels), pods, "cpu", "", TOLERANCES, READINESS)
    assert (found.replicas, found.utilization) == (replicas, utilization)


@pytest.mark.parametrize(
    ("current", "levels", "states", "target", "replicas"),
    [
        (3, (20_000, 10_000, 30_000), ALL, 15_000, 4),
        (3, (50_000, 10_000, 30_000), ("never", "ready", "ready"), 15_000, 6),
        (7, (50_000, 10_000, 30_000), ("hot", "ready", "ready"), 15_000, 6),
        (5, (12_000, 12_000, 12_000, 12_000, 12_000), ("ready",) * 5, 20_000, 3),
        (3, (20_000, 21_000, 21_000), ALL, 20_666, 3),
        (2, (1000, None), ("ready",) * 2, 1000, 2),
        (3, (10_000, 10_000, None), ("ready", "ready", "ready"), 17_000, 3),
    ],
)
def test_averages(
    current: int, levels: tuple[int | None, ...], states: tuple[str, ...], target: int, replicas: int
) -> None:
    """Of other metrics than CPU no sample is doubted."""
    pods = [member(number, state) for number, state in enumerate(states)]
    assert by_average(current, target, samples(*levels), pods, "", TOLERANCES, READINESS).replicas == replicas


def test_samples_of_pods_that_are_not_known_say_nothing_of_the_requests() -> None:
    pods = [member(0, "ready"), member(1, "ready"), member(2, "ready"), member(3, "ready")]
    levels = samples(4000, 9500, 3000, 7000, 3200, 2000)
    found = by_utilization(4, 100, levels, pods, "cpu", "", TOLERANCES, READINESS)
    assert (found.replicas, found.utilization, found.average) == (24, 587, 5875)


@pytest.mark.parametrize(
    ("current", "target", "value", "ready", "unready", "replicas"),
    [
        (3, 15_000, 20_000, 3, 0, 4),
        (3, 50_000, 40_000, 3, 2, 3),
        (5, 20_000, 12_000, 5, 0, 3),
        (3, 20_666, 20_000, 3, 0, 3),
        (3, 15_000, 50_000, 1, 2, 4),
        (0, 15_000, 50_000, 0, 0, 4),
        (3, 1, 2**62, 3, 0, 2**31 - 1),
    ],
)
def test_one_value_for_all(current: int, target: int, value: int, ready: int, unready: int, replicas: int) -> None:
    pods = [member(number, "ready" if number < ready else "broke") for number in range(ready + unready)]
    assert by_value(current, target, value, pods, TOLERANCES).replicas == replicas


@pytest.mark.parametrize(
    ("status_replicas", "target", "value", "replicas", "average"),
    [
        (3, 10_000, 20_000, 2, 6667),
        (3, 2150, 8600, 4, 2867),
        (5, 2867, 8600, 3, 1720),
        (3, 2867, 8600, 3, 2867),
        (1, 1, 2**62, 2**31 - 1, 2**62),
    ],
)
def test_one_value_shared_out(status_replicas: int, target: int, value: int, replicas: int, average: int) -> None:
    found = by_value_per_pod(status_replicas, target, value, TOLERANCES)
    assert (found.replicas, found.average) == (replicas, average)


@pytest.mark.parametrize(
    ("tolerances", "level", "replicas"),
    [
        (Tolerances(down=0.1, up=0.1), 540, 2),
        (Tolerances(down=0.1, up=0.01), 540, 3),
        (Tolerances(down=0.1, up=0.5), 740, 2),
        (Tolerances(down=0.1, up=0.1), 300, 2),
        (Tolerances(down=0.5, up=0.1), 260, 2),
        (Tolerances(down=0.0, up=0.0), 501, 2),
        (Tolerances(down=0.0, up=0.0), 510, 3),
    ],
)
def test_tolerance_of_either_direction(tolerances: Tolerances, level: int, replicas: int) -> None:
    pods = [member(0, "ready"), member(1, "ready")]
    found = by_utilization(2, 50, samples(level, level), pods, "cpu", "", tolerances, READINESS)
    assert found.replicas == replicas


@pytest.mark.parametrize(
    ("pods", "levels", "container", "message"),
    [
        ([], (100,), "", "no pods returned by selector while calculating replica count"),
        ([member(0, "Pending")], (100,), "", r"did not receive metrics for targeted pods \(pods might be unready\)"),
        ([member(0, "ready", request="0")], (100,), "", "no metrics returned matched known pods"),
        ([member(0, "ready")], (100,), "other", "container other not found in Pod p0"),
        ([pod("p0", status=member(0, "ready")["status"])], (100,), "", "missing request for cpu in container main of Pod p0"),
        ([pod("p0", status=member(0, "ready")["status"])], (100,), "main", "missing request for cpu in container main of Pod p0"),
    ],
)  # fmt: skip
def test_why_no_number_can_be_told(pods: list[Object], levels: tuple[int, ...], container: str, message: str) -> None:
    with pytest.raises(MetricsUnavailable, match=message):
        by_utilization(1, 50, samples(*levels), pods, "cpu", container, TOLERANCES, READINESS)


def test_requests_of_sidecars_count_and_those_of_the_pod_come_first() -> None:
    found = member(0, "ready")
    sidecar = {"name": "side", "restartPolicy": "Always", "resources": {"requests": {"cpu": "3"}}}
    start = {"name": "start", "resources": {"requests": {"cpu": "9"}}}
    found["spec"]["initContainers"] = [start, sidecar]
    share = by_utilization(1, 50, samples(1000), [found], "cpu", "", TOLERANCES, READINESS).utilization
    assert share == 25
    assert by_utilization(1, 50, samples(1000), [found], "cpu", "main", TOLERANCES, READINESS).utilization == 100
    found["spec"]["resources"] = {"requests": {"cpu": "10"}}
    assert by_utilization(1, 50, samples(1000), [found], "cpu", "", TOLERANCES, READINESS).utilization == 10


def says(replicas: int, name: str = "cpu") -> Measured:
    return Measured(name=name, proposal=Proposal(replicas=replicas))


FAILED = Measured(reason="FailedGetResourceMetric", failure="why", error="of cpu: why")


@pytest.mark.parametrize(
    ("current", "measured", "replicas", "reason"),
    [
        (0, [], 0, ""),
        (11, [], 10, "Current number of replicas above Spec.MaxReplicas"),
        (1, [], 2, "Current number of replicas below Spec.MinReplicas"),
        (4, [says(6)], 6, "cpu above target"),
        (4, [says(6), says(7, "qps")], 7, "qps above target"),
        (4, [says(3), says(4)], 4, ""),
        (4, [says(3), says(2)], 3, "All metrics below target"),
        (4, [FAILED, says(6, "qps")], 6, "qps above target"),
        (4, [says(0)], 2, "All metrics below target"),
    ],
)
def test_what_is_made_of_several_metrics(current: int, measured: list[Measured], replicas: int, reason: str) -> None:
    todo = plan(hpa(minReplicas=2, maxReplicas=10), current, measured, Memory(), 300.0, NOW_S)
    assert (todo.replicas, todo.reason, todo.error) == (replicas, reason, "")
    assert asks_metrics(hpa(minReplicas=2, maxReplicas=10), current) is bool(measured)


@pytest.mark.parametrize(
    ("measured", "error"),
    [
        ([FAILED], "invalid metrics (1 invalid out of 1), first error is: of cpu: why"),
        ([FAILED, says(3)], "invalid metrics (1 invalid out of 2), first error is: of cpu: why"),
        ([says(3), FAILED, FAILED], "invalid metrics (2 invalid out of 3), first error is: of cpu: why"),
    ],
)
def test_without_every_metric_nothing_shrinks(measured: list[Measured], error: str) -> None:
    todo = plan(hpa(minReplicas=2, maxReplicas=10), 4, measured, Memory(), 300.0, NOW_S)
    assert (todo.replicas, todo.error) == (4, error)


UP, DOWN = "scaleUp", "scaleDown"


def policies(direction: str, *found: tuple[str, int, int], select: str = "Max", window_s: int = 0) -> Object:
    listed = [{"type": kind, "value": value, "periodSeconds": period} for kind, value, period in found]
    rules: Object = {"selectPolicy": select, "stabilizationWindowSeconds": window_s} | (
        {"policies": listed} if listed else {}
    )
    return {direction: rules} | ({DOWN: {"stabilizationWindowSeconds": 0}} if direction == UP else {})


@pytest.mark.parametrize(
    ("current", "desired", "behavior", "done", "replicas", "limited"),
    [
        (10, 45, policies(UP, ("Percent", 1000, 60)), [], 45, "DesiredWithinRange"),
        (10, 45, policies(UP, ("Percent", 100, 60)), [], 20, "ScaleUpLimit"),
        (10, 45, policies(UP, ("Pods", 5, 60), ("Percent", 100, 60)), [], 20, "ScaleUpLimit"),
        (10, 45, policies(UP, ("Pods", 5, 60), ("Percent", 100, 60), select="Min"), [], 15, "ScaleUpLimit"),
        (10, 45, policies(UP, ("Pods", 5, 60), select="Disabled"), [], 10, "ScaleUpLimit"),
        (10, 45, policies(UP, ("Pods", 5, 60)), [(5, 3)], 12, "ScaleUpLimit"),
        (10, 45, policies(UP, ("Pods", 5, 60)), [(5, 9)], 10, "ScaleUpLimit"),
        (10, 45, policies(UP, ("Pods", 5, 60)), [(61, 9)], 15, "ScaleUpLimit"),
        (10, 45, policies(UP, ("Percent", 1, 60)), [], 11, "ScaleUpLimit"),
        (10, 99, policies(UP, ("Percent", 1000, 60)), [], 50, "TooManyReplicas"),
        (10, 2, policies(DOWN, ("Percent", 50, 60)), [], 5, "ScaleDownLimit"),
        (10, 2, policies(DOWN, ("Pods", 1, 60)), [], 9, "ScaleDownLimit"),
        (10, 2, policies(DOWN, ("Pods", 1, 60), ("Percent", 50, 60)), [], 5, "ScaleDownLimit"),
        (10, 2, policies(DOWN, ("Pods", 1, 60), ("Percent", 50, 60), select="Min"), [], 9, "ScaleDownLimit"),
        (10, 2, policies(DOWN, select="Disabled"), [], 10, "ScaleDownLimit"),
        (10, 2, policies(DOWN, ("Pods", 3, 60)), [(5, -2)], 9, "ScaleDownLimit"),
        (10, 2, policies(DOWN, ("Pods", 3, 60)), [(5, -4)], 10, "ScaleDownLimit"),
        (10, 0, policies(DOWN, ("Percent", 100, 60)), [], 1, "TooFewReplicas"),
        (10, 2, policies(DOWN, ("Percent", 5, 60)), [], 9, "ScaleDownLimit"),
    ],
)
def test_rates_of_change(
    current: int, desired: int, behavior: Object, done: list[tuple[float, int]], replicas: int, limited: str
) -> None:
    """``done`` are changes: (seconds ago, by how many)."""
    memory = Memory()
    for ago_s, change in done:
        memory.scaled(current - change, current, NOW_S - ago_s)
    found = normalize(current, desired, 1, 50, behavior, memory, 300.0, NOW_S)
    assert (found.replicas, found.limited[0]) == (replicas, limited)


@pytest.mark.parametrize(
    ("current", "desired", "windows_s", "recommendations", "replicas", "able"),
    [
        (5, 8, (60, 0), [(30, 6), (90, 3)], 6, "ScaleUpStabilized"),
        (5, 8, (60, 0), [(90, 3)], 8, "ReadyForNewScale"),
        (5, 8, (60, 0), [(30, 2)], 5, "ScaleUpStabilized"),
        (5, 2, (0, 60), [(30, 4), (90, 9)], 4, "ScaleDownStabilized"),
        (5, 2, (0, 60), [(30, 9)], 5, "ScaleDownStabilized"),
        (5, 2, (0, 60), [(60, 9)], 2, "ReadyForNewScale"),
        (5, 5, (0, 0), [], 5, "ReadyForNewScale"),
    ],
)
def test_stabilisation(
    current: int,
    desired: int,
    windows_s: tuple[int, int],
    recommendations: list[tuple[float, int]],
    replicas: int,
    able: str,
) -> None:
    every: Any = [{"type": "Percent", "value": 1000, "periodSeconds": 15}]
    behavior = {
        UP: {"stabilizationWindowSeconds": windows_s[0], "policies": every},
        DOWN: {"stabilizationWindowSeconds": windows_s[1]},
    }
    memory = Memory(recommendations=[(NOW_S - ago_s, count) for ago_s, count in recommendations])
    found = normalize(current, desired, 1, 50, behavior, memory, 300.0, NOW_S)
    assert (found.replicas, found.able[0]) == (replicas, able)
    assert memory.recommendations[-1] == (NOW_S, desired)
