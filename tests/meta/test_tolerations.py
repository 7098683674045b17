"""What a toleration covers, how two lists are merged, what a whitelist lets through."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.meta.objects import Object
from steersman.meta.tolerations import are_within, covers, merged


def _toleration(key: str = "", operator: str = "Exists", **fields: Any) -> Object:
    return {**({"key": key} if key else {}), "operator": operator, **fields}


ALL = _toleration()
EQUAL = _toleration("k", "Equal", value="v", effect="NoSchedule")
EVICTED = _toleration("k", effect="NoExecute", tolerationSeconds=30)


@pytest.mark.parametrize(
    ("wider", "toleration", "is_covered"),
    [
        (ALL, EQUAL, True),
        (ALL, EVICTED, True),
        (EQUAL, EQUAL, True),
        (EQUAL, ALL, False),
        (_toleration("k"), EQUAL, True),
        (_toleration("j"), EQUAL, False),
        (_toleration("k", effect="NoSchedule"), EVICTED, False),
        (_toleration("k", effect="NoExecute"), EVICTED, True),
        (EVICTED, _toleration("k", effect="NoExecute"), False),
        (EVICTED, _toleration("k", effect="NoExecute", tolerationSeconds=29), True),
        (EVICTED, _toleration("k", effect="NoExecute", tolerationSeconds=31), False),
        (_toleration("k", "Equal", value="v"), EQUAL, True),
        (_toleration("k", "Equal", value="w"), EQUAL, False),
        (_toleration("k", "Equal", value="v"), _toleration("k", effect="NoSchedule"), False),
        (_toleration("k", "Lt", value="5"), _toleration("k", "Lt", value="4"), False),
        (_toleration("k", ""), _toleration("k", "", value=""), True),
    ],
)
def test_a_toleration_covers_those_that_tolerate_less(wider: Object, toleration: Object, is_covered: bool) -> None:
    assert covers(wider, toleration) is is_covered


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([], [], []),
        ([EQUAL], [EQUAL], [EQUAL]),
        ([EQUAL], [ALL], [ALL]),
        ([ALL], [EQUAL], [ALL]),
        ([EQUAL, EVICTED], [_toleration("k")], [_toleration("k")]),
        ([EQUAL], [EVICTED], [EQUAL, EVICTED]),
    ],
)
def test_merging_keeps_the_widest(first: list[Object], second: list[Object], expected: list[Object]) -> None:
    assert merged(first, second) == expected


def test_an_empty_whitelist_lets_everything_through() -> None:
    assert are_within([EQUAL, ALL], [])
    assert are_within([EQUAL, EVICTED], [_toleration("k")])
    assert not are_within([EQUAL, _toleration("j")], [_toleration("k")])
