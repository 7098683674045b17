"""Node lifecycle, as a value: when nothing is known of a node, its taints, and how fast zones are evicted."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.controllers.config import ControllerManagerConfig
from steersman.controllers.kinds.nodelifecycle import plan
from steersman.controllers.nodehealth import Zones
from steersman.meta import objects, times
from steersman.meta.objects import Object

NOW_S = 1_000_000.0
CONFIG = ControllerManagerConfig()
NOT_READY, UNREACHABLE = "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"


def node(
    ready: str | None = "True", *, taints: tuple[tuple[str, str], ...] = (), zone: str = "", more: tuple[tuple[str, str], ...] = (), **spec: Any
) -> Object:  # fmt: skip
    conditions = [{"type": "Ready", "status": ready}] if ready else []
    conditions += [{"type": kind, "status": status} for kind, status in more]
    labels = {"topology.kubernetes.io/zone": zone} if zone else {}
    return {
        "metadata": {"name": "n1", "labels": labels, "creationTimestamp": times.format_time(NOW_S - 999)},
        "spec": {"taints": [{"key": key, "effect": effect} for key, effect in taints], **spec},
        "status": {"conditions": conditions},
    }


@pytest.mark.parametrize(
    ("found", "silent_s", "becomes_unknown", "is_told"),
    [
        (node(), 50, False, False),
        (node(), 50.1, True, True),
        (node("False"), 50.1, True, False),
        (node("Unknown", more=(("MemoryPressure", "Unknown"), ("DiskPressure", "Unknown"), ("PIDPressure", "Unknown"))), 500, False, False),
        (node(None), 60, False, False),
        (node(None), 60.1, True, False),
    ],
)  # fmt: skip
def test_when_nothing_is_known_of_a_node(found: Object, silent_s: float, becomes_unknown: bool, is_told: bool) -> None:
    todo = plan(found, NOW_S - silent_s, NOW_S, CONFIG)
    assert (todo.status is not None, todo.went_silent) == (becomes_unknown, is_told)
    if todo.status is not None:
        conditions = {entry["type"]: entry for entry in todo.status["status"]["conditions"]}
        assert {entry["status"] for entry in conditions.values()} == {"Unknown"}
        assert conditions["MemoryPressure"]["reason"] == "NodeStatusNeverUpdated"
        expected = "NodeStatusUnknown" if objects.condition(found, "Ready") else "NodeStatusNeverUpdated"
        assert conditions["Ready"]["reason"] == expected


@pytest.mark.parametrize(
    ("found", "all_disrupted", "taints", "evict"),
    [
        (node(), False, set(), ""),
        (node("False"), False, {(NOT_READY, "NoSchedule")}, NOT_READY),
        (node("Unknown"), False, {(UNREACHABLE, "NoSchedule")}, UNREACHABLE),
        (node("Unknown"), True, {(UNREACHABLE, "NoSchedule")}, ""),
        (node("Unknown", taints=((UNREACHABLE, "NoExecute"),)), True, {(UNREACHABLE, "NoSchedule")}, ""),
        (node("Unknown", taints=((NOT_READY, "NoExecute"),)), False,
         {(UNREACHABLE, "NoSchedule"), (UNREACHABLE, "NoExecute")}, ""),
        (node("False", taints=((UNREACHABLE, "NoExecute"), (UNREACHABLE, "NoSchedule"))), False,
         {(NOT_READY, "NoSchedule"), (NOT_READY, "NoExecute")}, ""),
        (node("True", taints=((UNREACHABLE, "NoExecute"), (UNREACHABLE, "NoSchedule"), ("own", "NoExecute"))), False,
         {("own", "NoExecute")}, ""),
        (node(more=(("MemoryPressure", "True"), ("DiskPressure", "False"))), False,
         {("node.kubernetes.io/memory-pressure", "NoSchedule")}, ""),
        (node(more=(("NetworkUnavailable", "True"),)), False,
         {("node.kubernetes.io/network-unavailable", "NoSchedule")}, ""),
        (node(unschedulable=True), False, {("node.kubernetes.io/unschedulable", "NoSchedule")}, ""),
        (node(taints=(("node.kubernetes.io/unschedulable", "NoSchedule"),)), False, set(), ""),
    ],
)  # fmt: skip
def test_which_taints_a_node_has(found: Object, all_disrupted: bool, taints: set[tuple[str, str]], evict: str) -> None:
    todo = plan(found, NOW_S, NOW_S, CONFIG, all_disrupted=all_disrupted)
    now = found["spec"]["taints"] if todo.taints is None else todo.taints
    assert {(entry["key"], entry["effect"]) for entry in now} == taints
    assert todo.evict == evict


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({}, None),
        ({"kubernetes.io/os": "linux"}, {"beta.kubernetes.io/os": "linux"}),
        ({"kubernetes.io/os": "linux", "beta.kubernetes.io/os": "linux"}, None),
        ({"kubernetes.io/arch": "arm64", "beta.kubernetes.io/arch": "amd64"}, {"beta.kubernetes.io/arch": "arm64"}),
        ({"beta.kubernetes.io/arch": "amd64"}, None),
    ],
)
def test_old_labels_follow_the_new_ones(labels: dict[str, str], expected: dict[str, str] | None) -> None:
    assert plan(objects.with_metadata(node(), labels=labels), NOW_S, NOW_S, CONFIG).labels == expected


@pytest.mark.parametrize(
    ("ready", "not_ready", "state", "interval_s"),
    [
        (10, 0, "Normal", 10),
        (1, 2, "Normal", 10),
        (3, 3, "Normal", 10),
        (2, 3, "PartialDisruption", None),
        (9, 11, "PartialDisruption", None),
        (10, 9, "Normal", 10),
        (20, 40, "PartialDisruption", 100),
        (0, 3, "FullDisruption", 10),
        (0, 1, "FullDisruption", 10),
    ],
)
def test_how_fast_a_zone_is_evicted(ready: int, not_ready: int, state: str, interval_s: float | None) -> None:
    """A healthy zone, so that not every zone is down; then the one in question: partly down and small, it is not at all."""
    zones = Zones(CONFIG)
    zones.note("elsewhere", node(zone="b"))
    for number in range(ready + not_ready):
        zones.note(f"n{number}", node("True" if number < ready else "Unknown", zone="a"))
    [zone] = [key for key in zones.states() if key[1] == "a"]
    assert zones.state(zone) == state
    first = zones.eviction_wait_s(zone, NOW_S)
    assert first == (None if interval_s is None else 0.0)
    assert zones.eviction_wait_s(zone, NOW_S) == interval_s
    assert not zones.all_disrupted
    zones.note("elsewhere", None)
    assert zones.all_disrupted is (state == "FullDisruption")


def test_nodes_that_are_excluded_do_not_count() -> None:
    zones = Zones(CONFIG)
    excluded = objects.with_metadata(node("Unknown"), labels={"node.kubernetes.io/exclude-disruption": ""})
    zones.note("n1", node())
    zones.note("n2", excluded)
    assert list(zones.states().values()) == ["Normal"]
    zones.note("n1", None)
    assert zones.states() == {}
