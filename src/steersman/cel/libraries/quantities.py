"""Kubernetes' resource quantities: ``quantity("1.5Gi").isGreaterThan(quantity("1G"))``."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import ClassVar

from msgspec import Struct

from steersman.cel import types
from steersman.cel.costs import traversal
from steersman.cel.declarations import Function, Library, function, member, overload
from steersman.cel.errors import EvaluationError
from steersman.cel.types import BOOL, DOUBLE, INT, STRING, Type
from steersman.cel.values import INT_MAX, INT_MIN
from steersman.meta.quantities import parse_quantity

QUANTITY_TYPE = types.object_of("kubernetes.Quantity")


class Quantity(Struct, frozen=True):
    cel_type: ClassVar[Type] = QUANTITY_TYPE

    value: Fraction


def _quantity(text: str) -> Quantity:
    try:
        return Quantity(parse_quantity(text))
    except ValueError as error:
        raise EvaluationError(str(error)) from error


def _is_quantity(text: str) -> bool:
    try:
        parse_quantity(text)
    except ValueError:
        return False
    return True


def _is_integer(quantity: Quantity) -> bool:
    return quantity.value.denominator == 1 and INT_MIN <= quantity.value <= INT_MAX


def _as_integer(quantity: Quantity) -> int:
    if not _is_integer(quantity):
        raise EvaluationError("cannot convert value to integer")
    return int(quantity.value)


def _compare(left: Quantity, right: Quantity) -> int:
    return (left.value > right.value) - (left.value < right.value)


def _arithmetic(name: str, id: str, operation: Callable[[Fraction, Fraction], Fraction]) -> Function:
    return function(
        name,
        member(
            f"quantity_{id}",
            QUANTITY_TYPE,
            QUANTITY_TYPE,
            to=QUANTITY_TYPE,
            do=lambda left, right: Quantity(operation(left.value, right.value)),
        ),
        member(
            f"quantity_{id}_int",
            QUANTITY_TYPE,
            INT,
            to=QUANTITY_TYPE,
            do=lambda left, right: Quantity(operation(left.value, Fraction(right))),
        ),
    )


LIBRARY = Library(
    name="kubernetes.quantity",
    functions=(
        function("quantity", overload("string_to_quantity", STRING, to=QUANTITY_TYPE, do=_quantity, cost=traversal())),
        function("isQuantity", overload("is_quantity_string", STRING, to=BOOL, do=_is_quantity, cost=traversal())),
        function(
            "sign",  # sign(q), although upstream's documentation shows it as a member
            overload("quantity_sign", QUANTITY_TYPE, to=INT, do=lambda one: (one.value > 0) - (one.value < 0)),
        ),
        function(
            "isGreaterThan",
            member(
                "quantity_is_greater_than",
                QUANTITY_TYPE,
                QUANTITY_TYPE,
                to=BOOL,
                do=lambda left, right: left.value > right.value,
            ),
        ),
        function(
            "isLessThan",
            member(
                "quantity_is_less_than",
                QUANTITY_TYPE,
                QUANTITY_TYPE,
                to=BOOL,
                do=lambda left, right: left.value < right.value,
            ),
        ),
        function("compareTo", member("quantity_compare_to", QUANTITY_TYPE, QUANTITY_TYPE, to=INT, do=_compare)),
        function(
            "asApproximateFloat",
            member("quantity_get_float", QUANTITY_TYPE, to=DOUBLE, do=lambda one: float(one.value)),
        ),
        function("asInteger", member("quantity_get_int", QUANTITY_TYPE, to=INT, do=_as_integer)),
        function("isInteger", member("quantity_is_integer", QUANTITY_TYPE, to=BOOL, do=_is_integer)),
        _arithmetic("add", "add", lambda left, right: left + right),
        _arithmetic("sub", "sub", lambda left, right: left - right),
    ),
    types=(QUANTITY_TYPE,),
)
