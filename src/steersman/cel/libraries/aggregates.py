"""Kubernetes' functions on lists: ``isSorted``, ``sum``, ``min``, ``max``, ``indexOf``, ``lastIndexOf``."""

from __future__ import annotations

from collections.abc import Callable

from steersman.cel import types
from steersman.cel.costs import AGGREGATE
from steersman.cel.declarations import Function, Library, function, member
from steersman.cel.errors import EvaluationError
from steersman.cel.operators import add_any
from steersman.cel.types import BOOL, BYTES, DOUBLE, DURATION, INT, STRING, TIMESTAMP, UINT
from steersman.cel.values import Duration, Uint, Value, compare, equal

_A = types.parameter("A")
_SUMMABLE = {INT: 0, UINT: Uint(0), DOUBLE: 0.0, DURATION: Duration(0)}
_COMPARABLE = (INT, UINT, DOUBLE, BOOL, DURATION, TIMESTAMP, STRING, BYTES)


def _is_sorted(elements: list[Value]) -> bool:
    return all(compare(elements[at], elements[at + 1]) <= 0 for at in range(len(elements) - 1))


def _sum_from(zero: Value) -> Callable[[list[Value]], Value]:
    def total(elements: list[Value]) -> Value:
        result = zero
        for item in elements:
            result = add_any(result, item)
        return result

    return total


def _extreme(name: str, sign: int) -> Callable[[list[Value]], Value]:
    def extreme(elements: list[Value]) -> Value:
        if not elements:
            raise EvaluationError(f"{name} called on empty list")
        result = elements[0]
        for item in elements[1:]:
            if compare(result, item) == sign:
                result = item
        return result

    return extreme


def _index_of(elements: list[Value], wanted: Value) -> int:
    return next((at for at, item in enumerate(elements) if equal(item, wanted)), -1)


def _last_index_of(elements: list[Value], wanted: Value) -> int:
    return next((at for at in range(len(elements) - 1, -1, -1) if equal(elements[at], wanted)), -1)


def _of_each(name: str, id: str, implement: Callable[[list[Value]], Value]) -> Function:
    return Function(
        name,
        tuple(
            member(
                f"list_{kind.name}_{id}",
                types.list_of(kind),
                to=BOOL if name == "isSorted" else kind,
                do=implement,
                cost=AGGREGATE,
            )
            for kind in _COMPARABLE
        ),
    )


LIBRARY = Library(
    name="kubernetes.lists",
    functions=(
        _of_each("isSorted", "is_sorted_bool", _is_sorted),
        _of_each("max", "max", _extreme("max", -1)),
        _of_each("min", "min", _extreme("min", 1)),
        Function(
            "sum",
            tuple(
                member(f"list_{kind.name}_sum", types.list_of(kind), to=kind, do=_sum_from(zero), cost=AGGREGATE)
                for kind, zero in _SUMMABLE.items()
            ),
        ),
        function("indexOf", member("list_a_index_of_int", types.list_of(_A), _A, to=INT, do=_index_of, cost=AGGREGATE)),
        function(
            "lastIndexOf",
            member("list_a_last_index_of_int", types.list_of(_A), _A, to=INT, do=_last_index_of, cost=AGGREGATE),
        ),
    ),
)
