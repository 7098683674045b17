"""SortedMap agrees with a dict that is sorted each time."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, strategies

from steersman.store import sorted_map
from steersman.store.sorted_map import SortedMap, prefix_end

keys = strategies.text("ab/\U0010ffffé", max_size=5)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sorted_map, "BLOCK", 3)


@given(
    strategies.lists(strategies.tuples(keys, strategies.booleans()), max_size=80), keys, keys, strategies.integers(0, 5)
)
def test_ranges_and_counts(changes: Sequence[tuple[str, bool]], prefix: str, start: str, limit: int) -> None:
    sorted_map.BLOCK = 3
    mine: SortedMap[int] = SortedMap()
    model: dict[str, int] = {}
    for number, (key, keep) in enumerate(changes):
        if keep:
            mine[key] = model[key] = number
        else:
            assert mine.pop(key) == model.pop(key, None)
    expected = sorted(key for key in model if key.startswith(prefix) and key >= start)
    assert mine.range_keys(prefix, start=start) == expected
    assert mine.count(prefix, start=start) == len(expected)
    assert mine.range_keys(prefix, start=start, limit=limit) == expected[: limit or None]
    assert mine.range_values(prefix, start=start) == [model[key] for key in expected]
    assert len(mine) == len(model)


@given(keys, keys)
def test_the_end_of_a_prefix_is_above_exactly_what_begins_with_it(prefix: str, other: str) -> None:
    end = prefix_end(prefix)
    below = end is None or other < end
    assert (prefix <= other and below) == other.startswith(prefix)


def test_no_prefix_ends_in_a_surrogate() -> None:
    assert prefix_end("\ud7ff") == "\ue000"
    assert prefix_end("\U0010ffff") is None
