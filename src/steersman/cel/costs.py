"""What functions cost, estimated before and counted during an evaluation.

One unit is about one simple operation. The rules are those of cel-go and of kube-apiserver's CEL library (limits in a cluster
are written in these units, so they are part of the API): https://kubernetes.io/docs/reference/using-api/cel/#resource-constraints
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from msgspec import Struct

from steersman.cel.effort import METER
from steersman.cel.types import Type
from steersman.cel.values import Value, size_of

UNBOUNDED = 2**64 - 1
IDENT = SELECT = 1
NEW_LIST, NEW_MAP, NEW_OBJECT = 10, 30, 40
TRAVERSAL = 0.1
REGEX = 0.25
"""Per character of a pattern: four characters are guessed to make one expression."""


class Range(Struct, frozen=True):
    """The least and the most that a size or a cost can be."""

    min: int
    max: int

    def __add__(self, other: Range) -> Range:
        return Range(_bounded(self.min + other.min), _bounded(self.max + other.max))

    def __mul__(self, other: Range) -> Range:
        return Range(_bounded(self.min * other.min), _bounded(self.max * other.max))

    def scaled(self, factor: float) -> Range:
        return Range(scale(self.min, factor), scale(self.max, factor))

    def union(self, other: Range) -> Range:
        return Range(min(self.min, other.min), max(self.max, other.max))


def _bounded(value: int) -> int:
    return value if value < UNBOUNDED else UNBOUNDED


def scale(size: int, factor: float) -> int:
    """Rounded up in double precision, as upstream's counters do."""
    return _bounded(math.ceil(size * factor))


def fixed(cost: int) -> Range:
    return Range(cost, cost)


UNKNOWN = Range(0, UNBOUNDED)
ONE = Range(1, 1)


class Operands(Protocol):
    """What is known of a call's operands before evaluation. Operand 0 of a member function is its target."""

    count: int

    def size(self, index: int) -> Range: ...

    def element_size(self, index: int) -> Range | None:
        """Of the elements of an operand that is a list; None if it is none."""

    def type(self, index: int) -> Type: ...

    def element_type(self, index: int) -> Type | None: ...

    def literal(self, index: int) -> Value:
        """The operand, if it is written out, else None."""


class Estimate(Struct, frozen=True):
    cost: Range
    result: Range | None = None
    """The size of the result, if it has one that is known."""


Actual: TypeAlias = Callable[[Sequence[Value], Value], int]
"""(operands, result) -> cost"""


class Rule(Struct, frozen=True):
    """How a function is charged, beside its operands. A function without a rule costs 1."""

    actual: Actual
    estimate: Callable[[Operands], Estimate]


def traversal(index: int = 0, factor: float = TRAVERSAL, *, keeps_size: bool = False) -> Rule:
    """An operand is read through once."""

    def estimate(operands: Operands) -> Estimate:
        size = operands.size(index)
        return Estimate(size.scaled(factor), size if keeps_size else None)

    return Rule(lambda operands, _: scale(size_of(operands[index]), factor), estimate)


def _pattern_cost(text: int, pattern: int) -> int:
    return scale(1 + text, TRAVERSAL) * scale(pattern, REGEX)


def _estimate_match(operands: Operands, result: Range | None = None) -> Estimate:
    cost = (operands.size(0) + ONE).scaled(TRAVERSAL) * operands.size(1).scaled(REGEX)
    return Estimate(cost, result)


MATCH = Rule(lambda operands, _: _pattern_cost(size_of(operands[0]), size_of(operands[1])), _estimate_match)
FIND = Rule(
    lambda operands, _: _pattern_cost(size_of(operands[0]), size_of(operands[1])),
    lambda operands: _estimate_match(operands, Range(0, operands.size(0).max)),
)
PREFIX = Rule(
    lambda operands, _: scale(size_of(operands[0]), TRAVERSAL),
    lambda operands: Estimate(operands.size(1).scaled(TRAVERSAL)),
)
"""startsWith and endsWith: estimated by the affix, counted by the text, as upstream does."""
CONTAINS = Rule(
    lambda operands, _: scale(size_of(operands[0]), TRAVERSAL) * scale(size_of(operands[1]), TRAVERSAL),
    lambda operands: Estimate(operands.size(0).scaled(TRAVERSAL) * operands.size(1).scaled(TRAVERSAL)),
)
STRING_TO_BYTES = Rule(
    lambda operands, _: scale(size_of(operands[0]), TRAVERSAL),
    lambda operands: Estimate(
        operands.size(0).scaled(TRAVERSAL), Range(operands.size(0).min, _bounded(operands.size(0).max * 4))
    ),
)
BYTES_TO_STRING = Rule(
    lambda operands, _: scale(size_of(operands[0]), TRAVERSAL),
    lambda operands: Estimate(
        operands.size(0).scaled(TRAVERSAL), Range(operands.size(0).min // 4, operands.size(0).max)
    ),
)
QUOTE = Rule(
    lambda operands, _: scale(size_of(operands[0]), TRAVERSAL),
    lambda operands: Estimate(
        operands.size(0).scaled(TRAVERSAL),
        Range(_bounded(operands.size(0).min + 2), _bounded(operands.size(0).max * 2 + 2)),
    ),
)
IN_LIST = Rule(lambda operands, _: size_of(operands[1]), lambda operands: Estimate(operands.size(1).scaled(1)))


def _estimate_concatenation(operands: Operands) -> Estimate:
    size = operands.size(0) + operands.size(1)
    return Estimate(size.scaled(TRAVERSAL), size)


CONCATENATE = Rule(
    lambda operands, _: scale(size_of(operands[0]) + size_of(operands[1]), TRAVERSAL), _estimate_concatenation
)
ADD_LISTS = Rule(lambda operands, _: 1, lambda operands: Estimate(ONE, operands.size(0) + operands.size(1)))


def compared(left: Value, right: Value) -> int:
    """What ``==`` costs."""
    return scale(min(size_of(left), size_of(right)), TRAVERSAL)


def _estimate_comparison(operands: Operands) -> Estimate:
    smallest = min(operands.size(0).max, operands.size(1).max)
    return Estimate(Range(1 if smallest else 0, smallest).scaled(TRAVERSAL))


COMPARE = Rule(lambda operands, _: compared(operands[0], operands[1]), _estimate_comparison)


def _traversed(value: Value) -> int:
    """A value with everything in it."""
    if isinstance(value, str | bytes):
        return int(len(value.encode() if isinstance(value, str) else value) * TRAVERSAL)
    if isinstance(value, list):
        return sum(map(_traversed_part, value))
    if isinstance(value, dict):
        return sum(_traversed(key) + _traversed_part(item) for key, item in value.items())
    return 1


def _traversed_part(value: Value) -> int:
    if isinstance(value, list | dict):
        METER.spend(1 + len(value))
    return _traversed(value)


def _estimate_aggregate(operands: Operands) -> Estimate:
    elements = operands.element_type(0)
    if elements is None:
        return Estimate(operands.size(0).scaled(TRAVERSAL))
    each = ONE
    if elements.kind in ("string", "bytes"):
        each = ONE + (operands.element_size(0) or UNKNOWN).scaled(TRAVERSAL)
    return Estimate(operands.size(0) * each)


AGGREGATE = Rule(lambda operands, _: _traversed(operands[0]), _estimate_aggregate)
"""sum, min, max, isSorted, indexOf and lastIndexOf."""


def _estimate_replacement(operands: Operands) -> Estimate:
    text, old, new = operands.size(0), operands.size(1), operands.size(2)
    if old.min == 0:
        most = _bounded(_bounded(text.max + 1) * new.max + text.max)
    elif new.max <= old.min:
        most = text.max
    else:
        most = _bounded(math.ceil(text.max / old.min) * new.max)
    if old.max == 0:
        least = _bounded(_bounded(text.min + 1) * new.min + text.min)
    elif old.max <= new.min:
        least = text.min
    else:
        least = _bounded(math.ceil(text.min / old.max) * new.min)
    return Estimate(text.scaled(2 * TRAVERSAL), Range(least, most))


REPLACE = Rule(lambda operands, _: scale(size_of(operands[0]), 2 * TRAVERSAL), _estimate_replacement)


def _estimate_split(operands: Operands) -> Estimate:
    most = operands.size(0).max
    if operands.count > 2 and type(operands.literal(2)) is int:
        most = operands.literal(2) % 2**64
    return Estimate(operands.size(0).scaled(2 * TRAVERSAL), Range(0, most))


SPLIT = Rule(lambda operands, _: scale(size_of(operands[0]), 2 * TRAVERSAL), _estimate_split)


def _estimate_join(operands: Operands) -> Estimate:
    count = operands.size(0)
    size = count * (operands.element_size(0) or UNKNOWN)
    if operands.count > 1:
        size = size + operands.size(1) * Range(max(count.min - 1, 0), max(count.max - 1, 0))
    return Estimate(size.scaled(TRAVERSAL), size)


JOIN = Rule(lambda _, result: scale(size_of(result), 2 * TRAVERSAL), _estimate_join)
