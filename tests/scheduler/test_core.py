"""The core's own rules: which of the feasible nodes are scored, and which one is taken."""

from __future__ import annotations

from steersman.scheduler.cluster import Cluster
from steersman.scheduler.component import DEFAULT_PLUGINS
from steersman.scheduler.configuration import read_configuration
from steersman.scheduler.core import SchedulerCore
from steersman.scheduler.pod_info import parse_pod
from tests.scheduler.builders import cluster_of, core_of, node, pod


def sampling(cluster: Cluster, percentage: int) -> SchedulerCore:
    head = {"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration"}
    document = {**head, "percentageOfNodesToScore": percentage}
    return SchedulerCore(read_configuration(document, DEFAULT_PLUGINS).frameworks, cluster)


def test_a_share_of_the_nodes_is_scored_each_time_beginning_where_the_last_ended() -> None:
    cluster = cluster_of(*(node(f"n{number}") for number in range(400)))
    core = sampling(cluster, 50)
    scored = [set(core.sampled(core.search(parse_pod(pod(f"p{number}")))).names()) for number in range(2)]
    assert [len(names) for names in scored] == [200, 200]
    assert not scored[0] & scored[1]


def test_a_hundred_nodes_are_scored_in_any_case() -> None:
    cluster = cluster_of(*(node(f"n{number}") for number in range(150)))
    core = sampling(cluster, 1)
    assert core.sampled(core.search(parse_pod(pod()))).count == 100


def test_without_a_share_every_node_is_scored() -> None:
    cluster = cluster_of(*(node(f"n{number}") for number in range(400)))
    for percentage in (0, 100):
        core = sampling(cluster, percentage)
        assert core.sampled(core.search(parse_pod(pod()))).count == 400


def test_the_best_node_may_be_missed_where_only_some_are_scored() -> None:
    busy = [pod(f"x{number}", cpu="3", node_name=f"n{number}") for number in range(300)]
    cluster = cluster_of(*(node(f"n{number}") for number in range(400)), *busy)
    assert int(core_of(cluster).decide(parse_pod(pod(cpu="1"))).node_name[1:]) >= 300
    assert int(sampling(cluster, 25).decide(parse_pod(pod(cpu="1"))).node_name[1:]) < 100


def test_a_nominated_node_is_taken_where_the_pod_fits_there_and_passed_over_where_not() -> None:
    cluster = cluster_of(node("idle"), node("busy"), node("full"), pod("x", cpu="2", node_name="busy"),
                         pod("y", cpu="4", node_name="full"))  # fmt: skip
    core = core_of(cluster)
    assert core.decide(parse_pod(pod(cpu="1"))).node_name == "idle"
    assert core.decide(parse_pod(pod(cpu="1", status={"nominatedNodeName": "busy"}))).node_name == "busy"
    assert core.decide(parse_pod(pod(cpu="1", status={"nominatedNodeName": "full"}))).node_name == "idle"
    assert core.decide(parse_pod(pod(cpu="1", status={"nominatedNodeName": "gone"}))).node_name == "idle"


def test_a_resource_that_no_node_offers_is_counted_where_pods_were_bound_that_want_it() -> None:
    """Nodes lose resources while pods that use them run; the table then meets the name in a pod first."""
    cluster = cluster_of(node("a"))
    for number in range(4):
        wanted = pod(f"p{number}", requests={f"example.com/r{number}": "1"}, node_name="a")
        cluster.nodes.add_pod(parse_pod(wanted))
    assert [
        int(cluster.nodes.requested[cluster.nodes.resources[f"example.com/r{number}"], 0]) for number in range(4)
    ] == [1] * 4
