"""Which CPUs are taken."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steersman.kubelet.cpusets import parse_cpus
from steersman.kubelet.node_resources.cpu_taking import (
    NotEnoughCPUs,
    take_distributed,
    take_packed,
    take_spread,
)
from steersman.kubelet.node_resources.machine_topology import CPUTopology
from tests.kubelet.node_resources.topologies import cpus

SINGLE = cpus(cores=4, threads=2)
"""Cores 0,4 1,5 2,6 3,7."""
DUAL = cpus(sockets=2, cores=3, threads=2)
"""Socket 0: 0,6 1,7 2,8; socket 1: 3,9 4,10 5,11."""
SPLIT = cpus(sockets=1, nodes_per_socket=2, cores=4)
QUAD = cpus(sockets=4, cores=4)


@pytest.mark.parametrize(
    ("topology", "free", "count", "expected"),
    [
        pytest.param(SINGLE, "0-7", 1, "0", id="one thread of the first core"),
        pytest.param(SINGLE, "0-7", 2, "0,4", id="a whole core"),
        pytest.param(SINGLE, "0-7", 3, "0-1,4", id="a core and a thread"),
        pytest.param(SINGLE, "0-7", 8, "0-7", id="the machine"),
        pytest.param(SINGLE, "1-7", 1, "4", id="a core already broken before a whole one"),
        pytest.param(SINGLE, "1-3,5-7", 2, "1,5", id="whole cores first"),
        pytest.param(SINGLE, "0-3", 2, "0-1", id="threads where no core is whole"),
        pytest.param(DUAL, "0-11", 6, "0-2,6-8", id="a whole socket"),
        pytest.param(DUAL, "1-11", 6, "3-5,9-11", id="the socket that is whole"),
        pytest.param(DUAL, "1-11", 1, "6", id="from the fullest socket"),
        pytest.param(DUAL, "0-1,3-4,6-7,9-11", 4, "0-1,6-7", id="cores of the fullest socket"),
        pytest.param(SPLIT, "0-7", 4, "0-3", id="a whole node of a socket"),
        pytest.param(SPLIT, "1-7", 5, "1,4-7", id="a whole node and the rest of the other"),
        pytest.param(QUAD, "0-15", 8, "0-7", id="two whole sockets"),
    ],
)
def test_packed(topology: CPUTopology, free: str, count: int, expected: str) -> None:
    assert take_packed(topology, parse_cpus(free), count) == parse_cpus(expected)


@pytest.mark.parametrize(
    ("free", "count", "group", "expected"),
    [
        pytest.param("0-15", 4, 1, "0-3", id="one node is enough"),
        pytest.param("0-15", 6, 1, "0-2,4-6", id="half from each of two"),
        pytest.param("0-15", 9, 1, "0-2,4-6,8-10", id="thirds from three"),
        pytest.param("0-15", 5, 1, "0-2,4-5", id="the rest where it leaves nodes most equal"),
        pytest.param("0-15", 10, 2, "0-3,4-7,8-9", id="in groups"),
        pytest.param("2-15", 6, 1, "4-6,8-10", id="from nodes that have their share"),
        pytest.param("0,4,8,12", 3, 1, "0,4,8", id="one from each"),
        pytest.param("0-15", 3, 2, "0-2", id="not in groups: packed"),
    ],
)
def test_distributed(free: str, count: int, group: int, expected: str) -> None:
    assert take_distributed(QUAD, parse_cpus(free), count, group=group) == parse_cpus(expected)


CACHES = cpus(cores=16, cache_cores=4)
CACHES_OF_PAIRS = cpus(cores=8, threads=2, cache_cores=2)
"""Caches of 0-1,8-9 2-3,10-11 4-5,12-13 6-7,14-15."""


@pytest.mark.parametrize(
    ("topology", "free", "count", "expected"),
    [
        pytest.param(CACHES, "0-15", 4, "0-3", id="a whole cache"),
        pytest.param(CACHES, "1-15", 4, "4-7", id="the cache that is whole"),
        pytest.param(CACHES, "1-15", 2, "1-2", id="of the cache that is broken already"),
        pytest.param(CACHES, "1-15", 6, "1-2,4-7", id="a whole one and a part of another"),
        pytest.param(CACHES, "3,7,8-15", 3, "8-10", id="a part that serves, though caches before have some"),
        pytest.param(CACHES, "3,7,11,15", 3, "3,7,11", id="no cache serves"),
        pytest.param(CACHES_OF_PAIRS, "0-15", 4, "0-1,8-9", id="both threads of a cache's cores"),
        pytest.param(CACHES_OF_PAIRS, "0-15", 3, "0-1,8", id="an odd thread"),
        pytest.param(CACHES_OF_PAIRS, "1-7,9-15", 2, "1,9", id="a core of the broken cache"),
        pytest.param(SINGLE, "0-7", 3, "0-1,4", id="a machine with one cache"),
    ],
)
def test_by_cache(topology: CPUTopology, free: str, count: int, expected: str) -> None:
    assert take_packed(topology, parse_cpus(free), count, by_cache=True) == parse_cpus(expected)


@pytest.mark.parametrize(
    ("topology", "free", "count", "expected"),
    [
        pytest.param(SINGLE, "0-7", 2, "0-1", id="of two cores"),
        pytest.param(SINGLE, "1-7", 4, "1-4", id="one of each core"),
        pytest.param(SINGLE, "0-7", 8, "0-7", id="the machine"),
        pytest.param(DUAL, "1-11", 2, "1-2", id="of the fullest socket"),
        pytest.param(DUAL, "0-11", 7, "0-3,6-8", id="a whole socket and one of the other"),
    ],
)
def test_spread(topology: CPUTopology, free: str, count: int, expected: str) -> None:
    assert take_spread(topology, parse_cpus(free), count) == parse_cpus(expected)


@pytest.mark.parametrize("take", [take_packed, lambda *args: take_distributed(*args, group=1)])
def test_what_is_not_there_cannot_be_taken(take: object) -> None:
    with pytest.raises(NotEnoughCPUs, match="requested=3, available=2"):
        take(SINGLE, parse_cpus("0-1"), 3)  # type: ignore[operator]


TOPOLOGIES = (
    SINGLE,
    DUAL,
    SPLIT,
    QUAD,
    CACHES,
    CACHES_OF_PAIRS,
    cpus(sockets=2, nodes_per_socket=2, cores=2, threads=2),
)


@given(topology=st.sampled_from(TOPOLOGIES), data=st.data(), group=st.sampled_from((1, 2)))
def test_as_many_free_ones_as_asked_for(topology: CPUTopology, data: st.DataObject, group: int) -> None:
    free = data.draw(st.frozensets(st.sampled_from(sorted(topology.all))))
    count = data.draw(st.integers(0, len(free)))
    for taken in (
        take_packed(topology, free, count),
        take_packed(topology, free, count, by_cache=True),
        take_spread(topology, free, count),
        take_distributed(topology, free, count, group=group),
    ):
        assert len(taken) == count
        assert taken <= free


@given(data=st.data(), count=st.integers(1, 6))
def test_of_whole_cores_whole_cores_are_taken(data: st.DataObject, count: int) -> None:
    cores: Iterable[int] = data.draw(st.frozensets(st.sampled_from(sorted(DUAL.cores)), min_size=count))
    free = DUAL.siblings(cores)
    taken = take_packed(DUAL, free, 2 * count)
    assert DUAL.siblings(taken) == taken
