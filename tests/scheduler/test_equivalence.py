"""What is kept for pods that are alike is what the plugins would say if they were asked anew."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from steersman.scheduler.cluster import Cluster
from steersman.scheduler.component import default_configuration
from steersman.scheduler.equivalence import ROWS_ONE_BY_ONE, Entry, EquivalenceCache, LocalStates, local_states
from steersman.scheduler.pod_info import PodInfo, parse_pod
from tests.scheduler.builders import cluster_of, node, pod

SIZES = (("4", "8Gi"), ("4", "8Gi"), ("2", "16Gi"))
FRAMEWORK = next(iter(default_configuration().frameworks.values()))
KINDS = (
    pod("small", cpu="500m", memory="500Mi"),
    pod("large", cpu="1500m", memory="3Gi"),
    pod("gpu", cpu="100m", requests={"example.com/gpu": "1"}),
    pod("idle"),
)
steps = st.lists(st.tuples(st.integers(0, len(KINDS) - 1), st.integers(0, 8), st.booleans()), min_size=1, max_size=60)


def sized(count: int) -> Cluster:
    made = [node(f"n{number}", cpu=SIZES[number % 3][0], memory=SIZES[number % 3][1], pods="5",
                 more={"example.com/gpu": "2"} if number % 2 else None) for number in range(count)]  # fmt: skip
    return cluster_of(*made)


def built(cache: EquivalenceCache, asking: PodInfo, cluster: Cluster) -> Entry:
    local = local_states(FRAMEWORK, asking, cluster)
    assert isinstance(local, LocalStates)
    return cache.build(asking, local.states)


def same(kept: Entry, fresh: Entry) -> None:
    for field in ("first", "partial", "ranked"):
        assert np.array_equal(getattr(kept, field), getattr(fresh, field)), field
    for field in ("codes", "raw"):
        for position, column in getattr(fresh, field).items():
            assert np.array_equal(getattr(kept, field)[position], column), (field, position)


@settings(max_examples=60, deadline=None)
@given(steps)
def test_a_kept_answer_is_the_fresh_one_whatever_pods_come_and_go(sequence: list[tuple[int, int, bool]]) -> None:
    cluster = sized(9)
    cache = EquivalenceCache(FRAMEWORK, cluster)
    asking = parse_pod(pod("asks", cpu="1", memory="1Gi", requests={"example.com/gpu": "1"}))
    built(cache, asking, cluster)
    here: list[str] = []
    for number, (kind, row, leaves) in enumerate(sequence):
        if leaves and here:
            cluster.nodes.remove_pod(here.pop(row % len(here)))
        else:
            uid = f"uid-{number}"
            cluster.nodes.add_pod(replace(parse_pod(KINDS[kind]), uid=uid, node_name=f"n{row}"))
            here.append(uid)
        kept = cache.find(asking)
        assert kept is not None
        same(kept, built(EquivalenceCache(FRAMEWORK, cluster), asking, cluster))


def test_many_rows_that_change_together_are_asked_about_at_once() -> None:
    cluster = sized(3 * ROWS_ONE_BY_ONE)
    cache = EquivalenceCache(FRAMEWORK, cluster)
    asking = parse_pod(pod("asks", cpu="1", memory="1Gi"))
    built(cache, asking, cluster)
    for number in range(2 * ROWS_ONE_BY_ONE):
        cluster.nodes.add_pod(replace(parse_pod(KINDS[1]), uid=f"uid-{number}", node_name=f"n{number}"))
    kept = cache.find(asking)
    assert kept is not None
    same(kept, built(EquivalenceCache(FRAMEWORK, cluster), asking, cluster))


def test_nodes_with_equal_amounts_share_an_answer_and_pods_with_host_ports_ask_each_node() -> None:
    cluster = sized(9)
    cache = EquivalenceCache(FRAMEWORK, cluster)
    plain = parse_pod(pod("plain", cpu="1"))
    ports = parse_pod(pod("ports", cpu="1", containers=[{"name": "main", "ports": [{"hostPort": 80}]}]))
    entry = built(cache, plain, cluster)
    with_ports = built(cache, ports, cluster)
    for row in (0, 3, 6):
        cluster.nodes.add_pod(replace(ports, uid=f"uid-{row}", node_name=f"n{row}"))
    assert cache.find(plain) is entry
    assert cache.find(ports) is with_ports
    assert entry.answers is not None
    assert len(entry.answers) == 2, "n0 and n6 are alike, n3 has devices"
    assert with_ports.answers is None
    same(with_ports, built(EquivalenceCache(FRAMEWORK, cluster), ports, cluster))
