"""Lists as sets: ``sets.contains``, ``sets.equivalent``, ``sets.intersects``."""

from __future__ import annotations

from steersman.cel import types
from steersman.cel.costs import ONE, Estimate, Rule
from steersman.cel.declarations import Library, function, overload
from steersman.cel.effort import METER
from steersman.cel.types import BOOL
from steersman.cel.values import Value, contains, size_of

_LIST = types.list_of(types.parameter("T"))


def _cost(factor: int) -> Rule:
    return Rule(
        lambda operands, _: 1 + size_of(operands[0]) * size_of(operands[1]) * factor,
        lambda operands: Estimate((operands.size(0) * operands.size(1)).scaled(factor) + ONE),
    )


def _contains(whole: list[Value], part: list[Value]) -> bool:
    METER.check(len(whole) * len(part))
    return all(contains(whole, item) for item in part)


def _equivalent(left: list[Value], right: list[Value]) -> bool:
    return _contains(left, right) and _contains(right, left)


def _intersects(left: list[Value], right: list[Value]) -> bool:
    METER.check(len(left) * len(right))
    return any(contains(right, item) for item in left)


LIBRARY = Library(
    name="sets",
    functions=(
        function(
            "sets.contains", overload("list_sets_contains_list", _LIST, _LIST, to=BOOL, do=_contains, cost=_cost(1))
        ),
        function(
            "sets.equivalent",
            overload("list_sets_equivalent_list", _LIST, _LIST, to=BOOL, do=_equivalent, cost=_cost(2)),
        ),
        function(
            "sets.intersects",
            overload("list_sets_intersects_list", _LIST, _LIST, to=BOOL, do=_intersects, cost=_cost(1)),
        ),
    ),
)
