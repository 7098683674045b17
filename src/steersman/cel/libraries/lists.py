"""The lists extension, version 3 of cel-go's: ``slice``, ``flatten``, ``distinct``, ``reverse``, ``sort``, ``sortBy``, ``lists.range``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cmp_to_key

from steersman.cel import types
from steersman.cel.ast import Call, Expr
from steersman.cel.costs import NEW_LIST, TRAVERSAL, UNBOUNDED, Estimate, Operands, Range, Rule, fixed
from steersman.cel.declarations import Function, Library, Overload, function, member, overload
from steersman.cel.effort import METER
from steersman.cel.errors import CostLimitExceeded, EvaluationError
from steersman.cel.macros import STANDARD, Builder, Macro, bound
from steersman.cel.types import BOOL, BYTES, DOUBLE, DURATION, DYN, INT, STRING, TIMESTAMP, UINT
from steersman.cel.values import Value, compare, contains, size_of, type_of

_T = types.parameter("T")
_LIST = types.list_of(_T)
_COMPARABLE = (INT, UINT, DOUBLE, BOOL, DURATION, TIMESTAMP, STRING, BYTES)
_INPUT = "@__sortBy_input__"
MAX_RANGE = 1_000_000
"""Elements that ``lists.range`` makes at most: what the cost limit of a call allows, refused before memory is spent."""


def _allocated(factor: float, size: int) -> int:
    return int(size * factor) + 1 + NEW_LIST


def _estimate(factor: float, size: Range) -> Estimate:
    return Estimate(size.scaled(factor) + fixed(1 + NEW_LIST), size)


def _literal(operands: Operands, index: int, otherwise: int) -> int:
    value = operands.literal(index)
    return max(value, 0) if type(value) is int else otherwise


def _by_output(estimate: Callable[[Operands], Range]) -> Rule:
    return Rule(lambda _, result: _allocated(1, size_of(result)), lambda operands: _estimate(1, estimate(operands)))


def _slice_size(operands: Operands) -> Range:
    size = _literal(operands, 2, operands.size(0).max) - _literal(operands, 1, 0)
    return fixed(size % 2**64)


def _flatten_cost(operands: Sequence[Value], _: Value) -> int:
    return _allocated(operands[1] if len(operands) == 2 else 1, size_of(operands[0]))


def _estimate_flatten(operands: Operands) -> Estimate:
    depth = _literal(operands, 1, UNBOUNDED) if operands.count == 2 else 1
    return _estimate(float(depth), operands.size(0))


def _compares_itself(index: int) -> Rule:
    """Everything in a list is compared with everything."""

    def actual(operands: Sequence[Value], _: Value) -> int:
        elements = operands[index]
        textual = bool(elements) and isinstance(elements[0], str | bytes)
        return _allocated(2 + TRAVERSAL if textual else 2, len(elements) ** 2)

    def estimate(operands: Operands) -> Estimate:
        element = operands.element_type(index)
        textual = index == 1 or operands.count == 1
        factor = 2 + TRAVERSAL if textual and element in (STRING, BYTES) else 2
        return _estimate(factor, operands.size(index) * operands.size(index))

    return Rule(actual, estimate)


def _distinct_estimate(operands: Operands) -> Estimate:
    return _estimate(2, operands.size(0) * operands.size(0))


def _slice(elements: list[Value], start: int, end: int) -> list[Value]:
    call = f"cannot slice({start}, {end})"
    if start < 0 or end < 0:
        raise EvaluationError(f"{call}, negative indexes not supported")
    if start > end:
        raise EvaluationError(f"{call}, start index must be less than or equal to end index")
    if len(elements) < end:
        raise EvaluationError(f"{call}, list is length {len(elements)}")
    return elements[start:end]


def _flatten(elements: list[Value], depth: int = 1) -> list[Value]:
    if depth < 0:
        raise EvaluationError("level must be non-negative")
    result: list[Value] = []
    for item in elements:
        if isinstance(item, list) and depth > 0:
            METER.spend(1 + len(item))
            result.extend(_flatten(item, depth - 1))
        else:
            result.append(item)
    return result


def _reverse(elements: list[Value]) -> list[Value]:
    return elements[::-1]


def _distinct(elements: list[Value]) -> list[Value]:
    METER.check(2 * len(elements) ** 2)
    result: list[Value] = []
    for item in elements:
        if not contains(result, item):
            result.append(item)
    return result


def _sort_by_keys(elements: list[Value], keys: list[Value]) -> list[Value]:
    if len(elements) != len(keys):
        raise EvaluationError(
            "@sortByAssociatedKeys() expected a list of the same size as the associated keys list, "
            f"but got {len(elements)} and {len(keys)} elements respectively"
        )
    if any(type_of(key) != type_of(keys[0]) for key in keys):
        raise EvaluationError("list elements must have the same type")

    def by_key(left: int, right: int) -> int:
        return compare(keys[left], keys[right])

    order = sorted(range(len(keys)), key=cmp_to_key(by_key))
    return [elements[at] for at in order]


def _sort(elements: list[Value]) -> list[Value]:
    return _sort_by_keys(elements, elements)


def _range(count: int) -> list[Value]:
    if count > MAX_RANGE:
        raise CostLimitExceeded
    return list(range(count))


def _sort_by(build: Builder, target: Expr | None, arguments: Sequence[Expr]) -> Expr:
    assert target is not None
    expand_map = next(macro.expand for macro in STANDARD if macro.name == "map" and macro.arguments == 2)
    keys = expand_map(build, build.ident(_INPUT), arguments)
    assert keys is not None
    call = Call(
        id=build.numbering.next_id(),
        offset=build.offset,
        function="@sortByAssociatedKeys",
        arguments=(keys,),
        target=build.ident(_INPUT),
    )
    return bound(build, _INPUT, target, call)


LIBRARY = Library(
    name="lists",
    functions=(
        function("slice", member("list_slice", _LIST, INT, INT, to=_LIST, do=_slice, cost=_by_output(_slice_size))),
        function(
            "flatten",
            Overload(
                id="list_flatten",
                parameters=(types.list_of(_LIST),),
                result=_LIST,
                member=True,
                implement=_flatten,
                cost=Rule(_flatten_cost, _estimate_flatten),
                element_guarded=False,
            ),
            member(
                "list_flatten_int",
                types.list_of(DYN),
                INT,
                to=types.list_of(DYN),
                do=_flatten,
                cost=Rule(_flatten_cost, _estimate_flatten),
            ),
        ),
        Function(
            "sort",
            tuple(
                member(
                    f"list_{kind.name}_sort",
                    types.list_of(kind),
                    to=types.list_of(kind),
                    do=_sort,
                    cost=_compares_itself(0),
                )
                for kind in _COMPARABLE
            ),
        ),
        Function(
            "@sortByAssociatedKeys",
            tuple(
                member(
                    f"list_{kind.name}_sortByAssociatedKeys",
                    _LIST,
                    types.list_of(kind),
                    to=_LIST,
                    do=_sort_by_keys,
                    cost=_compares_itself(1),
                )
                for kind in _COMPARABLE
            ),
        ),
        function(
            "lists.range",
            overload(
                "lists_range",
                INT,
                to=types.list_of(INT),
                do=_range,
                cost=_by_output(lambda operands: fixed(_literal(operands, 0, UNBOUNDED))),
            ),
        ),
        function(
            "reverse",
            member(
                "list_reverse",
                _LIST,
                to=_LIST,
                do=_reverse,
                cost=_by_output(lambda operands: operands.size(0)),
            ),
        ),
        function(
            "distinct",
            member(
                "list_distinct",
                _LIST,
                to=_LIST,
                do=_distinct,
                cost=Rule(_compares_itself(0).actual, _distinct_estimate),
            ),
        ),
    ),
    macros=(Macro(name="sortBy", arguments=2, expand=_sort_by),),
)
