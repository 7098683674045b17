"""Which pods end in which turn of a graceful shutdown."""

from __future__ import annotations

import pytest

from steersman.kubelet.shutdown.periods import ShutdownPeriod, shutdown_periods, shutdown_turns
from steersman.meta import objects
from steersman.meta.objects import Object

CRITICAL = 2_000_000_000


def pod(name: str, priority: int | None = None, grace_s: int | None = None) -> Object:
    spec: Object = {"priority": priority} if priority is not None else {}
    if grace_s is not None:
        spec["terminationGracePeriodSeconds"] = grace_s
    return {"metadata": {"name": name}, "spec": spec}


def test_the_critical_share_comes_out_of_the_whole() -> None:
    assert shutdown_periods(30, 10) == (
        ShutdownPeriod(priority=0, grace_s=20),
        ShutdownPeriod(priority=CRITICAL, grace_s=10),
    )


@pytest.mark.parametrize(("total_s", "critical_s"), [(0, 0), (10, 20)])
def test_without_a_period_nothing_is_done(total_s: float, critical_s: float) -> None:
    assert shutdown_periods(total_s, critical_s) == ()


def test_periods_by_priority_are_taken_from_the_lowest() -> None:
    entries = [{"priority": 100, "shutdownGracePeriodSeconds": 5}, {"priority": 0, "shutdownGracePeriodSeconds": 7}]
    assert [period.priority for period in shutdown_periods(0, 0, entries)] == [0, 100]


def test_each_pod_goes_with_the_period_at_or_below_its_priority() -> None:
    periods = [ShutdownPeriod(priority=number, grace_s=1) for number in (1, 5, 10)]
    pods = [pod("none"), pod("low", 1), pod("between", 4), pod("on", 5), pod("above", 99)]
    turns = [[objects.name(item) for item in turn.pods] for turn in shutdown_turns(periods, pods)]
    assert turns == [["none", "low", "between"], ["on"], ["above"]]


def test_turns_without_pods_take_no_time() -> None:
    [turn] = shutdown_turns(shutdown_periods(30, 10), [pod("critical", CRITICAL)])
    assert turn.grace_s == 10


def test_a_pod_keeps_its_own_grace_where_that_is_shorter() -> None:
    pods = [pod("short", grace_s=2), pod("long", grace_s=60), pod("unsaid")]
    [turn] = shutdown_turns(shutdown_periods(20, 0), pods)
    assert [turn.grace_of(item) for item in pods] == [2, 20, 20]
