"""The columns: which rows are said to have changed when pods come, change and go."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.meta.objects import Object
from steersman.scheduler.node_table import CPU, NodeTable
from steersman.scheduler.pod_info import PodInfo, parse_pod
from tests.scheduler.builders import cluster_of, node, pod


def table_with(version: PodInfo) -> NodeTable:
    table = cluster_of(node("a"), node("b")).nodes
    table.add_pod(version)
    return table


def placed(**changes: Any) -> Object:
    return pod(**{"cpu": "1", "labels": {"app": "web"}, "node_name": "a", **changes})


def test_a_version_that_counts_the_same_takes_the_place_of_the_earlier_and_nothing_is_asked_again() -> None:
    table = table_with(parse_pod(placed()))
    position, version = table.position, int(table.pods_version[0])
    confirmed = parse_pod(placed(status={"startTime": "2026-01-01T00:00:00Z"}))
    table.add_pod(confirmed)
    assert table.changed_since(position) == []
    assert (table.pod(confirmed.uid), [*table.pods_on(0).values()]) == (confirmed, [confirmed])
    assert int(table.pods_version[0]) > version
    table.remove_pod(confirmed.uid)
    assert (int(table.requested[CPU, 0]), int(table.pod_count[0])) == (0, 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"cpu": "2"},
        {"labels": {"app": "db"}},
        {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}},
        {"node_name": "b"},
    ],
)
def test_a_version_that_counts_otherwise_is_counted_anew(changes: Any) -> None:
    changed = placed(**changes)
    table = table_with(parse_pod(placed()))
    position = table.position
    table.add_pod(parse_pod(changed))
    row = table.rows[changed["spec"]["nodeName"]]
    assert row in (table.changed_since(position) or ())
    assert [int(count) for count in table.pod_count[:2]] == [int(row == 0), int(row == 1)]
    assert int(table.requested[CPU, row]) == int(changes.get("cpu", 1)) * 1000


def test_a_pod_whose_node_is_not_known_yet_is_exchanged_too() -> None:
    table = NodeTable()
    table.add_pod(parse_pod(placed()))
    later = parse_pod(placed())
    table.add_pod(later)
    row = table.put_node(node("a"))
    assert [*table.pods_on(row).values()] == [later]
