"""Explanations: every plugin's part in where a pod is, or in why it is nowhere."""

from __future__ import annotations

from steersman.client.api import Client
from steersman.scheduler.component import default_configuration
from steersman.scheduler.core import SchedulerCore
from steersman.scheduler.explanation import as_text, explain
from steersman.scheduler.pod_info import parse_pod
from steersman.scheduler.snapshot import read_cluster
from tests.scheduler.builders import cluster_of, core_of, node, pod
from tests.scheduler.test_component import create


def test_a_placed_pod_shows_its_node_and_the_runners_up() -> None:
    placed = pod(cpu="1", node_name="busy")
    cluster = cluster_of(
        node("busy"), node("idle"), node("tiny", cpu="500m"), pod("x", cpu="2", node_name="busy"), placed
    )
    explanation = explain(core_of(cluster), parse_pod(placed))
    assert (explanation.node_name, explanation.feasible_count) == ("busy", 2)
    assert [score.node_name for score in explanation.best] == ["busy", "idle"]
    assert explanation.best[0].by_plugin["NodeResourcesFit"] < explanation.best[1].by_plugin["NodeResourcesFit"]
    assert dict(explanation.diagnosis.rejected_nodes) == {"NodeResourcesFit": 1}
    assert cluster.nodes.pod("default-p1") is not None
    text = as_text(explanation)
    assert "pod default/p1: on busy" in text
    assert "busy *" in text


def test_a_pending_pod_shows_who_rejected_how_many() -> None:
    taint = {"key": "k", "effect": "NoSchedule"}
    cluster = cluster_of(node("a", taints=[taint]), node("b", taints=[taint]), node("c", cpu="1"))
    text = as_text(explain(core_of(cluster), parse_pod(pod(cpu="2"))))
    assert text.splitlines() == [
        "pod default/p1: pending",
        "0 of 3 nodes fit",
        "  TaintToleration rejected 2",
        "  NodeResourcesFit rejected 1",
        "    2 node(s) had untolerated taint(s)",
        "    1 Insufficient cpu",
    ]


def test_a_gated_pod_says_so_and_where_it_would_fit() -> None:
    gated = pod(schedulingGates=[{"name": "example.com/g"}])
    assert as_text(explain(core_of(cluster_of(node("a"))), parse_pod(gated))).splitlines()[:3] == [
        "pod default/p1: pending",
        "not tried, held back by SchedulingGates: waiting for scheduling gates: [example.com/g]",
        "1 of 1 nodes fit",
    ]


async def test_the_cluster_is_read_through_the_api(client: Client) -> None:
    await create(client, node("a"), node("b", cpu="1"), pod("p1", cpu="2"))
    cluster, pods = await read_cluster(client)
    explanation = explain(SchedulerCore(default_configuration().frameworks, cluster), pods["default/p1"])
    assert (explanation.node_count, explanation.feasible_count) == (2, 1)
