"""Comprehensions, compiled macro by macro into loops.

Costs are those of the macro's expansion: a step is charged as the accumulator's read, the operation and its operands, and the
loop's condition once for each element that is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from steersman.cel.code import COST, LIMIT, Code, Frame, Run
from steersman.cel.costs import IDENT, NEW_LIST
from steersman.cel.errors import CostLimitExceeded, EvaluationError
from steersman.cel.places import PENDING
from steersman.cel.types import Type
from steersman.cel.values import Value, from_map_key, map_key, shown, type_of

_GO_TYPES = {
    "int": "types.Int",
    "uint": "types.Uint",
    "double": "types.Double",
    "bool": "types.Bool",
    "string": "types.String",
    "bytes": "types.Bytes",
    "null_type": "types.Null",
}


class Elements:
    """How a fold goes through its range: puts each element into the fold's slots."""

    __slots__ = ("items", "slot", "slots")

    def __init__(self, over: Code, range_type: Type, slot: int, second_slot: int) -> None:
        self.slot = slot
        get = over.run
        if second_slot:

            def pairs(frame: Frame) -> Iterable[Value]:
                return _pairs(get(frame))

            self.items: Callable[[Frame], Iterable[Value]] = pairs
            self.slots: tuple[int, int] | None = (slot, second_slot)
            return
        self.slots = None

        def singles(frame: Frame) -> Iterable[Value]:
            value = get(frame)
            if type(value) is list:
                return value
            return _singles(value)

        self.items = singles


class _Keys:
    """The keys of a map, without a copy: loops may end with the first."""

    __slots__ = ("_of",)

    def __init__(self, of: dict[Value, Value]) -> None:
        self._of = of

    def __len__(self) -> int:
        return len(self._of)

    def __iter__(self) -> Iterator[Value]:
        return map(from_map_key, self._of)


class _Pairs:
    """Indices or keys with their values, without a copy."""

    __slots__ = ("_of",)

    def __init__(self, of: list[Value] | dict[Value, Value]) -> None:
        self._of = of

    def __len__(self) -> int:
        return len(self._of)

    def __iter__(self) -> Iterator[tuple[Value, Value]]:
        if isinstance(self._of, list):
            return enumerate(self._of)
        return ((from_map_key(key), item) for key, item in self._of.items())


def _singles(value: Value) -> Iterable[Value]:
    if isinstance(value, list):
        return value
    if isinstance(value, dict):
        return _Keys(value)
    raise _not_iterable(value)


def _pairs(value: Value) -> Iterable[Value]:
    if isinstance(value, list | dict):
        return _Pairs(value)
    raise _not_iterable(value)


def _not_iterable(value: Value) -> EvaluationError:
    name = type_of(value).name
    return EvaluationError(f"got '{_GO_TYPES.get(name, name)}', expected iterable type")


def _bind(elements: Elements) -> Callable[[Frame, Value], None]:
    if elements.slots is None:
        slot = elements.slot

        def one(frame: Frame, item: Value) -> None:
            frame[slot] = item

        return one
    first, second = elements.slots

    def two(frame: Frame, item: Value) -> None:
        frame[first], frame[second] = item

    return two


def quantifier(elements: Elements, over: Code, predicate: Code, test: Run, *, decisive: bool) -> Code:
    """``all`` (decided by a False) and ``exists`` (by a True)."""
    items, bind = elements.items, _bind(elements)
    condition_cost = 3 if decisive else 2
    step_cost = condition_cost + IDENT + predicate.cost

    def run(frame: Frame) -> Value:
        failure: EvaluationError | None = None
        remaining = items(frame)
        left = len(remaining)  # type: ignore[arg-type]
        for item in remaining:
            left -= 1
            frame[COST] += step_cost
            if frame[COST] > frame[LIMIT]:
                raise CostLimitExceeded
            bind(frame, item)
            try:
                if test(frame) is decisive:
                    if left:
                        frame[COST] += condition_cost
                    return decisive
            except EvaluationError as error:
                failure = failure or error
        if failure is not None:
            raise failure
        return not decisive

    return Code(run, over.cost + IDENT)


def exactly_one(elements: Elements, over: Code, predicate: Code, test: Run) -> Code:
    items, bind = elements.items, _bind(elements)
    cost = predicate.cost

    def run(frame: Frame) -> Value:
        count = 0
        for item in items(frame):
            frame[COST] += cost
            if frame[COST] > frame[LIMIT]:
                raise CostLimitExceeded
            bind(frame, item)
            if test(frame):
                frame[COST] += IDENT + 1
                count += 1
        return count == 1

    return Code(run, over.cost + IDENT + 1)


def collection(elements: Elements, over: Code, wanted: tuple[Code, Run] | None, item_code: Code) -> Code:
    """``map``, ``filter`` and ``transformList``: the items for which ``wanted`` holds."""
    items, bind = elements.items, _bind(elements)
    made = item_code.run
    item_cost = IDENT + 1 + item_code.cost + (0 if item_code.constant else NEW_LIST)
    test, test_cost = (None, 0) if wanted is None else (wanted[1], wanted[0].cost)

    def run(frame: Frame) -> Value:
        result = []
        for item in items(frame):
            frame[COST] += test_cost
            bind(frame, item)
            if test is not None and not test(frame):
                continue
            frame[COST] += item_cost
            if frame[COST] > frame[LIMIT]:
                raise CostLimitExceeded
            result.append(made(frame))
        if frame[COST] > frame[LIMIT]:
            raise CostLimitExceeded
        return result

    return Code(run, over.cost + IDENT)


def mapping(
    elements: Elements, over: Code, wanted: tuple[Code, Run] | None, key_code: Code | None, value_code: Code
) -> Code:
    """``transformMap``; without a key's code ``transformMapEntry``, whose items are maps themselves."""
    items, bind = elements.items, _bind(elements)
    made, key_of = value_code.run, None if key_code is None else key_code.run
    item_cost = IDENT + 1 + value_code.cost + (0 if key_code is None else key_code.cost)
    test, test_cost = (None, 0) if wanted is None else (wanted[1], wanted[0].cost)

    def run(frame: Frame) -> Value:
        result: dict[Value, Value] = {}
        for item in items(frame):
            frame[COST] += test_cost
            bind(frame, item)
            if test is not None and not test(frame):
                continue
            frame[COST] += item_cost
            if frame[COST] > frame[LIMIT]:
                raise CostLimitExceeded
            more = made(frame) if key_of is None else {map_key(key_of(frame)): made(frame)}
            if not isinstance(more, dict):
                raise EvaluationError("no such overload")
            for key, value in more.items():
                if key in result:
                    raise EvaluationError(f"insert failed: key {shown(key)} already exists")
                result[key] = value
        return result

    return Code(run, over.cost + IDENT)


def binding(slot: int, body: Code) -> Code:
    """``cel.bind``: the variable's slot is marked, and filled when it is first read."""
    evaluate = body.run

    def run(frame: Frame) -> Value:
        frame[slot] = PENDING
        return evaluate(frame)

    return Code(run, body.cost)
