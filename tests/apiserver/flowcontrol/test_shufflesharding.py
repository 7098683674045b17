"""Hands of queues: distinct cards, every card equally often, the same hand for the same flow."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from steersman.apiserver.flowcontrol.shufflesharding import deal, flow_hash


@given(st.integers(min_value=0, max_value=2**64 - 1), st.integers(min_value=1, max_value=128), st.data())
def test_a_hand_has_distinct_cards_of_the_deck(value: int, deck: int, data: st.DataObject) -> None:
    size = data.draw(st.integers(min_value=1, max_value=min(deck, 8)))
    hand = deal(value, deck, size)
    assert len(set(hand)) == len(hand) == size
    assert all(0 <= card < deck for card in hand)


def test_every_hand_of_a_small_deck_is_dealt_once() -> None:
    hands = Counter(deal(value, 4, 2) for value in range(12))
    assert len(hands) == 12
    assert set(hands.values()) == {1}


def test_flows_are_told_apart_by_schema_and_distinguisher() -> None:
    assert flow_hash("a", "b") == flow_hash("a", "b")
    assert len({flow_hash("a", "b"), flow_hash("ab", ""), flow_hash("", "ab"), flow_hash("a", "c")}) == 4


def test_cards_are_dealt_evenly_over_many_flows() -> None:
    seen: Counter[int] = Counter()
    for user in range(2000):
        seen.update(deal(flow_hash("global-default", f"user-{user}"), 64, 6))
    expected = 2000 * 6 / 64
    assert all(0.6 * expected < count < 1.4 * expected for count in seen.values())
    assert len(seen) == 64
