"""Values of expressions, mostly Python's own, so that JSON is evaluated as it stands.

bool, int (64 bits), float (double), str, bytes, None, list and dict are what they look like. The rest has classes here.
Objects and maps are dicts, never changed and never copied. A map with boolean keys holds ``BooleanKey`` instead of True and
False, which Python's dicts cannot tell from 1 and 0.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, ClassVar, Protocol, TypeAlias

from msgspec import Struct

from steersman.cel import types
from steersman.cel.effort import METER
from steersman.cel.errors import EvaluationError, no_such_overload
from steersman.cel.types import Type

Value: TypeAlias = Any
"""JSON, or one of the classes of this module, or a type (``types.Type``)."""

INT_MIN, INT_MAX, UINT_MAX = -(2**63), 2**63 - 1, 2**64 - 1
NANOS = 1_000_000_000
EARLIEST_NS = -62135596800 * NANOS
"""0001-01-01T00:00:00Z"""
LATEST_NS = 253402300799 * NANOS + NANOS - 1
"""9999-12-31T23:59:59.999999999Z"""


class Uint(int):
    """An unsigned integer of 64 bits."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, order=True)
class Timestamp:
    ns: int
    """Since the Unix epoch."""
    offset_s: int = field(default=0, compare=False)
    """Of the time zone it was written in, which ``string()`` keeps; calendar fields are in UTC nevertheless."""


class Duration(Struct, frozen=True, order=True):
    ns: int


class OptionalValue(Struct, frozen=True):
    """A value or its absence. ``NONE`` is the one without."""

    value: Value
    present: bool = True

    def get(self) -> Value:
        if not self.present:
            raise EvaluationError("optional.none() dereference")
        return self.value


NONE = OptionalValue(None, False)


class BooleanKey(enum.Enum):
    """True and False as keys of maps."""

    TRUE = "true"
    FALSE = "false"


class SetList(list[Value]):
    """A list of ``x-kubernetes-list-type: set``: equality ignores order, ``+`` is a union."""

    __slots__ = ()


class MapList(list[Value]):
    """A list of ``x-kubernetes-list-type: map``: equality ignores order, ``+`` replaces elements of equal keys."""

    __slots__ = ("keys",)

    def __init__(self, elements: list[Value], keys: tuple[str, ...]) -> None:
        super().__init__(elements)
        self.keys = keys

    def key_of(self, element: dict[str, Value]) -> tuple[Value, ...]:
        return tuple(element.get(key) for key in self.keys)


class ObjectValue(Struct, frozen=True, eq=False):
    """``Object.spec{...}``: an object that an expression has made. Fields may hold anything, ``ObjectValue`` included."""

    type_name: str
    fields: dict[str, Value]


class Opaque(Protocol):
    """A value of a library: an IP address, a quantity, an authorizer."""

    cel_type: ClassVar[Type]


class Lazy(dict[str, Value]):
    """A map whose values are computed when they are first asked for, as ``variables`` of admission policies are.

    Subclasses define ``compute``; a value of a name that is not known is a KeyError.
    """

    def compute(self, name: str) -> Value:
        raise KeyError(name)

    def __missing__(self, name: str) -> Value:
        value = self[name] = self.compute(name)
        return value


_TYPE_OF: dict[type, Type] = {
    bool: types.BOOL,
    int: types.INT,
    Uint: types.UINT,
    float: types.DOUBLE,
    str: types.STRING,
    bytes: types.BYTES,
    type(None): types.NULL,
    Timestamp: types.TIMESTAMP,
    Duration: types.DURATION,
    Type: types.TYPE,
    list: types.LIST,
    tuple: types.LIST,
    SetList: types.LIST,
    MapList: types.LIST,
    dict: types.MAP,
    Lazy: types.MAP,
    OptionalValue: types.optional_of(types.DYN),
    BooleanKey: types.BOOL,
}


def type_of(value: Value) -> Type:
    """The type of a value, as far as the value itself shows it: elements of lists and maps are dyn."""
    found = _TYPE_OF.get(type(value))
    if found is not None:
        return found
    if isinstance(value, ObjectValue):
        return types.object_of(value.type_name)
    if isinstance(value, dict):
        return types.MAP
    declared: Type | None = getattr(value, "cel_type", None)
    if declared is None:
        raise TypeError(f"{type(value).__name__} is not a CEL value")
    return declared


_PLAIN = frozenset({str, int, bool, bytes, type(None), Timestamp, Duration})
_NUMERIC = frozenset({int, Uint, float})
_LISTS = frozenset({list, SetList, MapList, tuple})


def equal(left: Value, right: Value) -> bool:
    """``==``: numbers compare by value across types; values of different types are unequal."""
    left_type, right_type = type(left), type(right)
    if left_type is right_type and left_type in _PLAIN:
        return bool(left == right)
    if left_type in _NUMERIC and right_type in _NUMERIC:
        return bool(left == right)
    if left_type in _LISTS and right_type in _LISTS:
        return _lists_equal(left, right)
    if isinstance(left, dict) and isinstance(right, dict):
        return _maps_equal(left, right)
    if left_type is OptionalValue and right_type is OptionalValue:
        return left.present is right.present and (not left.present or equal(left.value, right.value))
    if left_type is Type and right_type is Type:
        return bool(left.name == right.name)
    if left_type is ObjectValue and right_type is ObjectValue:
        return left.type_name == right.type_name and _maps_equal(left.fields, right.fields)
    if left_type in _PLAIN or right_type in _PLAIN or left_type is not right_type:
        return False
    return bool(left == right)


def _lists_equal(left: list[Value], right: list[Value]) -> bool:
    if len(left) != len(right):
        return False
    for first, second in ((left, right), (right, left)):
        if isinstance(first, SetList):
            return contains_all(first, second)
        if isinstance(first, MapList):
            by_key = {first.key_of(item): item for item in first}
            return all((key := first.key_of(item)) in by_key and equal(by_key[key], item) for item in second)
    return all(map(_nested_equal, left, right))


def _maps_equal(left: dict[Value, Value], right: dict[Value, Value]) -> bool:
    if len(left) != len(right):
        return False
    return all(key in right and _nested_equal(value, right[key]) for key, value in left.items())


def _nested_equal(left: Value, right: Value) -> bool:
    if isinstance(left, list | dict):
        METER.spend(5 + 2 * len(left))
    return equal(left, right)


def contains(elements: list[Value], wanted: Value) -> bool:
    """``in`` for lists."""
    if type(wanted) is str:
        return wanted in elements
    return any(_nested_equal(item, wanted) for item in elements)


def contains_all(elements: list[Value], wanted: list[Value]) -> bool:
    """Whether all of ``wanted`` are in ``elements``."""
    if all(type(item) is str for item in wanted):
        return {item for item in elements if type(item) is str}.issuperset(wanted)
    METER.spend(len(elements) * len(wanted))
    return all(contains(elements, item) for item in wanted)


def compare(left: Value, right: Value) -> int:
    """-1, 0 or 1. Raises what ``<`` does for values that have no order."""
    left_type, right_type = type(left), type(right)
    if left_type is not right_type and not (left_type in _NUMERIC and right_type in _NUMERIC):
        raise no_such_overload()
    if left_type not in _ORDERED:
        raise no_such_overload()
    if left != left or right != right:
        raise EvaluationError("NaN values cannot be ordered")
    return bool(left > right) - bool(left < right)


_ORDERED = frozenset({bool, int, Uint, float, str, bytes, Timestamp, Duration})


def map_key(key: Value) -> Value:
    """A key as dicts hold it. Raises for what cannot be a key."""
    kind = type(key)
    if kind is str or kind is int or kind is Uint:
        return key
    if kind is bool:
        return BooleanKey.TRUE if key else BooleanKey.FALSE
    if kind is float:
        return key
    raise EvaluationError(f"unsupported key type: {type_of(key).name}")


def from_map_key(key: Value) -> Value:
    """A key as expressions see it."""
    return key is BooleanKey.TRUE if type(key) is BooleanKey else key


def size_of(value: Value) -> int:
    """What a value counts for in costs: the length of what has one, else 1."""
    kind = type(value)
    if kind is str or kind is bytes or kind is dict or kind is list:
        return len(value)
    if kind is OptionalValue:
        return size_of(value.value) if value.present else 1
    if isinstance(value, dict | list | tuple):
        return len(value)
    return 1


def is_zero(value: Value) -> bool:
    """Whether ``optional.ofNonZeroValue`` drops it."""
    kind = type(value)
    if value is None or kind is bool or kind in _NUMERIC:
        return not value
    if kind is Duration:
        return bool(value.ns == 0)
    if kind is Timestamp:
        return bool(value.ns == EARLIEST_NS)
    if kind is ObjectValue:
        return not value.fields
    if kind is OptionalValue:
        return not value.present or is_zero(value.value)
    return not value if isinstance(value, str | bytes | list | dict) else False


def shown(value: Value) -> str:
    """A value inside a message, as Go's ``%v`` prints it."""
    kind = type(value)
    if kind is bool:
        return "true" if value else "false"
    if kind is BooleanKey:
        return str(value.value)
    if kind is float:
        return go_float(value)
    if value is None:
        return "null"
    if kind in _LISTS or isinstance(value, dict):
        METER.spend(len(value))
    if kind in _LISTS:
        return f"[{', '.join(map(shown, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{shown(key)}: {shown(item)}' for key, item in value.items())}}}"
    if kind is Type:
        return str(value.name)
    if kind is bytes:
        return str(value.decode("utf-8", "replace"))
    return str(value)


def go_float(value: float) -> str:
    """A double as Go's ``%g`` prints it: the shortest digits, with an exponent below 1e-4 and from 1e6."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    number = Decimal(repr(value))
    exponent = number.adjusted()
    if value == 0 or -5 < exponent < 6:
        return plain_float(value)
    sign, digits, _ = number.as_tuple()
    text = "".join(map(str, digits)).rstrip("0")
    mantissa = f"{text[0]}.{text[1:]}" if len(text) > 1 else text
    return f"{'-' if sign else ''}{mantissa}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"


def plain_float(value: float) -> str:
    """The shortest digits that give the double back, never with an exponent."""
    text = format(Decimal(repr(value)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
