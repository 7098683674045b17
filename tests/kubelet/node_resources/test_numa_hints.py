"""Which NUMA nodes suit all of a container's resources."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steersman.kubelet.node_resources.numa_hints import (
    Hint,
    NUMALayout,
    ResourceHints,
    decide,
    mask_of,
    node_sets,
    nodes_of,
)
from steersman.kubelet.node_resources.policies import TopologyPolicy

TWO = NUMALayout(nodes=(0, 1))
FOUR = NUMALayout(nodes=(0, 1, 2, 3))
POLICIES: tuple[TopologyPolicy, ...] = ("best-effort", "restricted", "single-numa-node")


def hint(nodes: str, preferred: bool = True) -> Hint:
    """Of digits."""
    return Hint(nodes=mask_of(int(node) for node in nodes), preferred=preferred)


WIDE = hint("01", preferred=False)


@pytest.mark.parametrize(
    ("hints", "layout", "nodes", "admitted"),
    [
        pytest.param([{}], TWO, "01", (True, True, True), id="nobody cares"),
        pytest.param([{"a": None}], TWO, "01", (True, True, True), id="the resource does not care"),
        pytest.param([{"a": []}], TWO, "01", (True, False, False), id="no way"),
        pytest.param([{"a": [hint("0"), hint("1"), WIDE]}], TWO, "0", (True, True, True), id="the lowest of equals"),
        pytest.param(
            [{"cpu": [hint("0"), hint("1")]}, {"gpu": [hint("1")]}], TWO, "1", (True, True, True), id="in common"
        ),
        pytest.param(
            [{"cpu": [hint("0")]}, {"gpu": [hint("1")]}], TWO, "01", (True, False, False), id="nothing in common"
        ),
        pytest.param([{"cpu": [WIDE]}, {"gpu": [hint("1")]}], TWO, "1", (True, False, False), id="common, unpreferred"),
        pytest.param([{"cpu": [hint("01")]}], TWO, "01", (True, True, False), id="needs both"),
        pytest.param(
            [{"cpu": [hint("012")]}, {"gpu": [hint("0", False), hint("013", False)]}], FOUR, "01",
            (True, False, False), id="as near to the neediest as can be",
        ),
    ],
)  # fmt: skip
def test_the_best_common_set(
    hints: list[ResourceHints], layout: NUMALayout, nodes: str, admitted: tuple[bool, bool, bool]
) -> None:
    best, _ = decide("best-effort", hints, layout)
    assert best.nodes == mask_of(int(node) for node in nodes)
    assert tuple(decide(policy, hints, layout)[1] for policy in POLICIES) == admitted


def test_a_single_node_is_asked_for_only_where_it_matters() -> None:
    best, admitted = decide("single-numa-node", [{"a": None}, {}], TWO)
    assert (best, admitted) == (Hint(preferred=True), True)


def test_close_nodes_are_better_than_low_ones_where_that_is_wanted() -> None:
    hints = [{"cpu": [hint("01"), hint("13")]}]
    assert decide("best-effort", hints, FOUR)[0] == hint("01")
    distances = {0: (10, 30, 30, 30), 1: (30, 10, 30, 12), 2: (30, 30, 10, 30), 3: (30, 12, 30, 10)}
    close = NUMALayout(nodes=FOUR.nodes, distances=distances)
    assert decide("best-effort", hints, close)[0] == hint("13")


def test_sets_come_small_ones_first() -> None:
    assert list(node_sets((0, 2, 3))) == [(0,), (2,), (3,), (0, 2), (0, 3), (2, 3), (0, 2, 3)]


HINTS = st.builds(Hint, nodes=st.none() | st.integers(1, 15), preferred=st.booleans())


@given(st.lists(st.dictionaries(st.sampled_from("ab"), st.none() | st.lists(HINTS, max_size=3)), max_size=3))
def test_whatever_is_admitted_strictly_is_admitted_laxly(hints: list[ResourceHints]) -> None:
    best_effort, restricted, single = (decide(policy, hints, FOUR) for policy in POLICIES)
    assert best_effort[1]
    assert best_effort[0] == restricted[0]
    if single[1]:
        assert restricted[1]
        assert single[0].nodes is None or single[0].nodes.bit_count() == 1
    assert best_effort[0].nodes is not None and set(nodes_of(best_effort[0].nodes)) <= {0, 1, 2, 3}
