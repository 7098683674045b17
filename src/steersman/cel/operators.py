"""Arithmetic and ordering: 64-bit integers that overflow with an error, doubles as IEEE 754 has them, times in nanoseconds."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

from steersman.cel.effort import ELEMENTS_PER_STEP, METER
from steersman.cel.errors import EvaluationError, no_such_overload
from steersman.cel.values import (
    EARLIEST_NS,
    INT_MAX,
    INT_MIN,
    LATEST_NS,
    UINT_MAX,
    Duration,
    MapList,
    SetList,
    Timestamp,
    Uint,
    Value,
    compare,
    contains,
)

Binary: TypeAlias = Callable[[Value, Value], Value]


def integer(value: int) -> int:
    """``value`` if it fits an int."""
    if INT_MIN <= value <= INT_MAX:
        return value
    raise EvaluationError("integer overflow")


def unsigned(value: int) -> Uint:
    """``value`` if it fits an uint."""
    if 0 <= value <= UINT_MAX:
        return Uint(value)
    raise EvaluationError("unsigned integer overflow")


def duration(ns: int) -> Duration:
    if INT_MIN <= ns <= INT_MAX:
        return Duration(ns)
    raise EvaluationError("integer overflow")


def timestamp(ns: int, offset_s: int = 0) -> Timestamp:
    if EARLIEST_NS <= ns <= LATEST_NS:
        return Timestamp(ns, offset_s)
    raise EvaluationError("timestamp overflow")


def add_int(left: int, right: int) -> int:
    total = left + right
    if INT_MIN <= total <= INT_MAX:
        return total
    raise EvaluationError("integer overflow")


def subtract_int(left: int, right: int) -> int:
    return integer(left - right)


def multiply_int(left: int, right: int) -> int:
    return integer(left * right)


def divide_int(left: int, right: int) -> int:
    if right == 0:
        raise EvaluationError("division by zero")
    quotient = abs(left) // abs(right)
    return integer(quotient if (left < 0) == (right < 0) else -quotient)


def modulo_int(left: int, right: int) -> int:
    if right == 0:
        raise EvaluationError("modulus by zero")
    if left == INT_MIN and right == -1:
        raise EvaluationError("integer overflow")
    remainder = abs(left) % abs(right)
    return -remainder if left < 0 else remainder


def negate_int(value: int) -> int:
    return integer(-value)


def add_uint(left: int, right: int) -> Uint:
    return unsigned(int(left) + int(right))


def subtract_uint(left: int, right: int) -> Uint:
    return unsigned(int(left) - int(right))


def multiply_uint(left: int, right: int) -> Uint:
    return unsigned(int(left) * int(right))


def divide_uint(left: int, right: int) -> Uint:
    if right == 0:
        raise EvaluationError("division by zero")
    return Uint(int(left) // int(right))


def modulo_uint(left: int, right: int) -> Uint:
    if right == 0:
        raise EvaluationError("modulus by zero")
    return Uint(int(left) % int(right))


def divide_double(left: float, right: float) -> float:
    if right:
        return left / right
    if math.isnan(left) or left == 0:
        return math.nan
    return math.copysign(math.inf, math.copysign(1.0, left) * math.copysign(1.0, right))


def add_any(left: Value, right: Value) -> Value:
    """``+`` where an operand's type is known at evaluation only."""
    if isinstance(left, list) and isinstance(right, list):
        return add_lists(left, right)
    return _dispatch(_ADD, left, right)


def add_lists(left: list[Value], right: list[Value]) -> list[Value]:
    """Concatenation; for typed lists of Kubernetes the union or the merge that their list type says."""
    METER.spend((len(left) + len(right)) // ELEMENTS_PER_STEP)
    if isinstance(left, SetList):
        if all(type(item) is str for item in right):
            known = {item for item in left if type(item) is str}
            return SetList([*left, *(item for item in right if item not in known)])
        METER.spend(len(left) * len(right))
        return SetList([*left, *(item for item in right if not contains(left, item))])
    if isinstance(left, MapList):
        merged = {left.key_of(item): item for item in left}
        merged.update((left.key_of(item), item) for item in right)
        return MapList(list(merged.values()), left.keys)
    return [*left, *right]


def add_times(left: Value, right: Value) -> Value:
    if type(left) is Duration and type(right) is Duration:
        return duration(left.ns + right.ns)
    if {type(left), type(right)} == {Timestamp, Duration}:
        return timestamp(left.ns + right.ns, (left if type(left) is Timestamp else right).offset_s)
    raise no_such_overload()


def subtract_times(left: Value, right: Value) -> Value:
    if type(right) is type(left) and type(left) in (Duration, Timestamp):
        return duration(left.ns - right.ns)
    if type(left) is Timestamp and type(right) is Duration:
        return timestamp(left.ns - right.ns, left.offset_s)
    raise no_such_overload()


def _add_floats(left: float, right: float) -> float:
    return left + right


def _concatenate(left: Value, right: Value) -> Value:
    return left + right


_ADD: dict[tuple[type, type], Binary] = {
    (int, int): add_int,
    (Uint, Uint): add_uint,
    (float, float): _add_floats,
    (str, str): _concatenate,
    (bytes, bytes): _concatenate,
    (Duration, Duration): add_times,
    (Timestamp, Duration): add_times,
    (Duration, Timestamp): add_times,
}
_SUBTRACT: dict[tuple[type, type], Binary] = {
    (int, int): subtract_int,
    (Uint, Uint): subtract_uint,
    (float, float): lambda left, right: left - right,
    (Duration, Duration): subtract_times,
    (Timestamp, Duration): subtract_times,
    (Timestamp, Timestamp): subtract_times,
}
_MULTIPLY: dict[tuple[type, type], Binary] = {
    (int, int): multiply_int,
    (Uint, Uint): multiply_uint,
    (float, float): lambda left, right: left * right,
}
_DIVIDE: dict[tuple[type, type], Binary] = {
    (int, int): divide_int,
    (Uint, Uint): divide_uint,
    (float, float): divide_double,
}
_MODULO: dict[tuple[type, type], Binary] = {(int, int): modulo_int, (Uint, Uint): modulo_uint}


def _dispatch(table: dict[tuple[type, type], Binary], left: Value, right: Value) -> Value:
    operation = table.get((type(left), type(right)))
    if operation is None:
        raise no_such_overload()
    return operation(left, right)


def subtract_any(left: Value, right: Value) -> Value:
    return _dispatch(_SUBTRACT, left, right)


def multiply_any(left: Value, right: Value) -> Value:
    return _dispatch(_MULTIPLY, left, right)


def divide_any(left: Value, right: Value) -> Value:
    return _dispatch(_DIVIDE, left, right)


def modulo_any(left: Value, right: Value) -> Value:
    return _dispatch(_MODULO, left, right)


def negate_any(value: Value) -> Value:
    if type(value) is int:
        return negate_int(value)
    if type(value) is float:
        return -value
    raise no_such_overload()


def less(left: Value, right: Value) -> bool:
    return compare(left, right) < 0


def less_equal(left: Value, right: Value) -> bool:
    return compare(left, right) <= 0


def greater(left: Value, right: Value) -> bool:
    return compare(left, right) > 0


def greater_equal(left: Value, right: Value) -> bool:
    return compare(left, right) >= 0
