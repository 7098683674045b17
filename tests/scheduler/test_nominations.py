"""Promised nodes: who counts where for whom."""

from __future__ import annotations

from steersman.scheduler.cluster import Cluster
from steersman.scheduler.pod_info import PodInfo, parse_pod
from tests.scheduler.builders import cluster_of, node, pod


def asking(priority: int = 10, name: str = "asks") -> PodInfo:
    return parse_pod(pod(name, cpu="1", priority=priority))


def promised(cluster: Cluster, asker: PodInfo) -> dict[str, int]:
    """Node name to the milli-CPUs that are promised of it."""
    nominations, table = cluster.nominations, cluster.nodes
    slots = nominations.before(asker, table)
    found: dict[str, int] = {}
    for row, amount in zip(nominations.rows(slots), nominations.amounts(slots, "cpu"), strict=True):
        found[table.names[row]] = found.get(table.names[row], 0) + int(amount)
    return found


def test_promises_to_pods_of_at_least_the_same_priority_count_and_the_pods_own_does_not() -> None:
    cluster = cluster_of(node("a"), node("b"), node("c"))
    for name, priority, where in (("low", 5, "a"), ("same", 10, "b"), ("high", 20, "b"), ("asks", 10, "c")):
        cluster.nominations.nominate(asking(priority, name), where)
    assert promised(cluster, asking()) == {"b": 2000}
    assert promised(cluster, asking(5, "other")) == {"a": 1000, "b": 2000, "c": 1000}
    assert promised(cluster, asking(30, "first")) == {}


def test_a_promise_counts_from_when_its_node_exists_and_wherever_it_returns() -> None:
    cluster = cluster_of(node("a"))
    cluster.nominations.nominate(asking(name="early"), "b")
    assert promised(cluster, asking()) == {}
    cluster.nodes.put_node(node("b"))
    assert promised(cluster, asking()) == {"b": 1000}
    cluster.nodes.remove_node("b")
    cluster.nodes.put_node(node("x"))
    assert promised(cluster, asking()) == {}, "another node took its row"
    cluster.nodes.put_node(node("b"))
    assert promised(cluster, asking()) == {"b": 1000}


def test_a_pod_that_counts_on_a_node_is_promised_nothing_more() -> None:
    cluster = cluster_of(node("a"), node("b"))
    cluster.nominations.nominate(asking(name="there"), "a")
    cluster.nodes.add_pod(parse_pod(pod("there", cpu="1", priority=10, node_name="a")))
    assert promised(cluster, asking()) == {}


def test_promises_come_and_go_in_any_number() -> None:
    cluster = cluster_of(*(node(f"n{number}") for number in range(50)))
    nominations = cluster.nominations
    for number in range(50):
        nominations.nominate(asking(name=f"p{number}"), f"n{number}")
    assert promised(cluster, asking()) == {f"n{number}": 1000 for number in range(50)}
    for number in range(0, 50, 2):
        nominations.withdraw(asking(name=f"p{number}").uid)
    nominations.nominate(parse_pod(pod("large", requests={"example.com/gpu": "2"}, priority=10)), "n0")
    assert promised(cluster, asking()) == {"n0": 0} | {f"n{number}": 1000 for number in range(1, 50, 2)}
    slots = nominations.before(asking(), cluster.nodes)
    assert int(nominations.amounts(slots, "example.com/gpu").sum()) == 2
    assert (len(nominations), nominations.node_of(asking(name="p1").uid), nominations.node_of("no")) == (26, "n1", "")
