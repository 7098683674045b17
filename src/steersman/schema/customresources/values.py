"""JSON values as upstream's Go code sees and prints them."""

from __future__ import annotations

import math
from typing import Any

import msgspec

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
_EXACT = float(2**53 - 1)
_EPSILON = 1e-9


def go_number(value: float) -> str:
    """A number as Go's ``%v`` prints it."""
    if isinstance(value, int):
        return str(value)
    if math.isfinite(value) and (value == 0 or 1e-4 <= abs(value) < 1e21):
        if value.is_integer():
            return str(int(value))
        return repr(value)
    return repr(value).removesuffix(".0")


def quoted(text: str) -> str:
    """A string as Go's ``%q`` prints it, but for rarely seen escapes."""
    return msgspec.json.encode(text).decode()


def is_integral(value: float) -> bool:
    """A float that go-openapi takes for an integer: exactly representable, and whole but for rounding errors."""
    if not math.isfinite(value) or abs(value) > _EXACT:
        return False
    whole = float(int(value))
    if value == whole:
        return True
    return whole != 0 and abs(value - whole) / (abs(value) + abs(whole)) < _EPSILON


def same(left: Any, right: Any) -> bool:
    """Equal JSON values; true is not 1, while 1 is 1.0."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        if len(left) != len(right):
            return False
        return all(key in right and same(value, right[key]) for key, value in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(same(one, other) for one, other in zip(left, right, strict=True))
    return bool(left == right)
