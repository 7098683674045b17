"""The functions and operators of the language definition."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from steersman.cel import conversions, costs, operators, regexes, times, types
from steersman.cel.declarations import Function, Library, Overload, function, member, overload
from steersman.cel.macros import STANDARD
from steersman.cel.types import BOOL, BYTES, DOUBLE, DURATION, DYN, INT, STRING, TIMESTAMP, UINT, Type
from steersman.cel.values import Value, contains, map_key, type_of

_A, _B = types.parameter("A"), types.parameter("B")
_LIST, _MAP = types.list_of(_A), types.map_of(_A, _B)
_NAMES: dict[Type, str] = {
    BOOL: "bool", INT: "int64", UINT: "uint64", DOUBLE: "double", STRING: "string", BYTES: "bytes",
    TIMESTAMP: "timestamp", DURATION: "duration",
}  # fmt: skip
_ORDERED = (BOOL, INT, UINT, DOUBLE, STRING, BYTES, TIMESTAMP, DURATION)
_NUMBERS = (INT, UINT, DOUBLE)


def _ordering(name: str, id: str, compare: Callable[[Value, Value], bool]) -> Function:
    def overloads() -> Iterator[Overload]:
        for kind in _ORDERED:
            rule = costs.COMPARE if kind in (STRING, BYTES) else None
            yield overload(f"{id}_{_NAMES[kind]}", kind, kind, to=BOOL, do=compare, cost=rule)
            for other in _NUMBERS if kind in _NUMBERS else ():
                if other != kind:
                    yield overload(f"{id}_{_NAMES[kind]}_{_NAMES[other]}", kind, other, to=BOOL, do=compare)

    return Function(name, tuple(overloads()))


def _arithmetic(name: str, id: str, **by_type: Callable[[Value, Value], Value]) -> Function:
    kinds = {"int": INT, "uint": UINT, "double": DOUBLE}
    return Function(
        name,
        tuple(
            overload(f"{id}_{_NAMES[kinds[kind]]}", kinds[kind], kinds[kind], to=kinds[kind], do=operation)
            for kind, operation in by_type.items()
        ),
    )


def _add_doubles(left: float, right: float) -> float:
    return left + right


def _concatenate(left: Value, right: Value) -> Value:
    return left + right


def _in_map(key: Value, entries: dict[Value, Value]) -> bool:
    return map_key(key) in entries


def _identity(value: Value) -> Value:
    return value


_LOGIC = (
    function("_&&_", overload("logical_and", BOOL, BOOL, to=BOOL)),
    function("_||_", overload("logical_or", BOOL, BOOL, to=BOOL)),
    function("_?_:_", overload("conditional", BOOL, _A, _A, to=_A)),
    function("!_", overload("logical_not", BOOL, to=BOOL)),
    function("@not_strictly_false", overload("not_strictly_false", BOOL, to=BOOL)),
    function("_==_", overload("equals", _A, _A, to=BOOL, cost=costs.COMPARE)),
    function("_!=_", overload("not_equals", _A, _A, to=BOOL, cost=costs.COMPARE)),
)
_OPERATORS = (
    function(
        "_+_",
        overload("add_bytes", BYTES, BYTES, to=BYTES, do=_concatenate, cost=costs.CONCATENATE),
        overload("add_double", DOUBLE, DOUBLE, to=DOUBLE, do=_add_doubles),
        overload("add_duration_duration", DURATION, DURATION, to=DURATION, do=operators.add_times),
        overload("add_duration_timestamp", DURATION, TIMESTAMP, to=TIMESTAMP, do=operators.add_times),
        overload("add_timestamp_duration", TIMESTAMP, DURATION, to=TIMESTAMP, do=operators.add_times),
        overload("add_int64", INT, INT, to=INT, do=operators.add_int),
        overload("add_list", _LIST, _LIST, to=_LIST, do=operators.add_lists, cost=costs.ADD_LISTS),
        overload("add_string", STRING, STRING, to=STRING, do=_concatenate, cost=costs.CONCATENATE),
        overload("add_uint64", UINT, UINT, to=UINT, do=operators.add_uint),
    ),
    function(
        "_-_",
        overload("subtract_double", DOUBLE, DOUBLE, to=DOUBLE, do=operators.subtract_any),
        overload("subtract_duration_duration", DURATION, DURATION, to=DURATION, do=operators.subtract_times),
        overload("subtract_int64", INT, INT, to=INT, do=operators.subtract_int),
        overload("subtract_timestamp_duration", TIMESTAMP, DURATION, to=TIMESTAMP, do=operators.subtract_times),
        overload("subtract_timestamp_timestamp", TIMESTAMP, TIMESTAMP, to=DURATION, do=operators.subtract_times),
        overload("subtract_uint64", UINT, UINT, to=UINT, do=operators.subtract_uint),
    ),
    _arithmetic(
        "_*_", "multiply", int=operators.multiply_int, uint=operators.multiply_uint, double=operators.multiply_any
    ),
    _arithmetic("_/_", "divide", int=operators.divide_int, uint=operators.divide_uint, double=operators.divide_double),
    _arithmetic("_%_", "modulo", int=operators.modulo_int, uint=operators.modulo_uint),
    function(
        "-_",
        overload("negate_double", DOUBLE, to=DOUBLE, do=operators.negate_any),
        overload("negate_int64", INT, to=INT, do=operators.negate_int),
    ),
    _ordering("_<_", "less", operators.less),
    _ordering("_<=_", "less_equals", operators.less_equal),
    _ordering("_>_", "greater", operators.greater),
    _ordering("_>=_", "greater_equals", operators.greater_equal),
    function("_[_]", overload("index_list", _LIST, INT, to=_A), overload("index_map", _MAP, _A, to=_B)),
    function(
        "@in",
        overload("in_list", _A, _LIST, to=BOOL, do=lambda item, items: contains(items, item), cost=costs.IN_LIST),
        overload("in_map", _A, _MAP, to=BOOL, do=_in_map),
    ),
)


def _size(id: str, kind: Type) -> tuple[Overload, Overload]:
    return overload(f"size_{id}", kind, to=INT, do=len), member(f"{id}_size", kind, to=INT, do=len)


_CONVERSIONS = (
    function("type", overload("type", _A, to=types.type_of(_A), do=type_of)),
    function("dyn", overload("to_dyn", _A, to=DYN, do=_identity)),
    function(
        "bool",
        overload("bool_to_bool", BOOL, to=BOOL, do=_identity),
        overload("string_to_bool", STRING, to=BOOL, do=conversions.string_to_bool),
    ),
    function(
        "bytes",
        overload("bytes_to_bytes", BYTES, to=BYTES, do=_identity),
        overload("string_to_bytes", STRING, to=BYTES, do=str.encode, cost=costs.STRING_TO_BYTES),
    ),
    function(
        "double",
        overload("double_to_double", DOUBLE, to=DOUBLE, do=_identity),
        overload("int64_to_double", INT, to=DOUBLE, do=float),
        overload("string_to_double", STRING, to=DOUBLE, do=conversions.string_to_double),
        overload("uint64_to_double", UINT, to=DOUBLE, do=float),
    ),
    function(
        "duration",
        overload("duration_to_duration", DURATION, to=DURATION, do=_identity),
        overload("int64_to_duration", INT, to=DURATION, do=conversions.int_to_duration),
        overload("string_to_duration", STRING, to=DURATION, do=conversions.string_to_duration),
    ),
    function(
        "int",
        overload("int64_to_int64", INT, to=INT, do=_identity),
        overload("double_to_int64", DOUBLE, to=INT, do=conversions.double_to_int),
        overload("duration_to_int64", DURATION, to=INT, do=lambda value: value.ns),
        overload("string_to_int64", STRING, to=INT, do=conversions.string_to_int),
        overload("timestamp_to_int64", TIMESTAMP, to=INT, do=lambda value: value.ns // 10**9),
        overload("uint64_to_int64", UINT, to=INT, do=conversions.uint_to_int),
    ),
    function(
        "string",
        overload("string_to_string", STRING, to=STRING, do=_identity),
        overload("bool_to_string", BOOL, to=STRING, do=conversions.bool_to_string),
        overload("bytes_to_string", BYTES, to=STRING, do=conversions.bytes_to_string, cost=costs.BYTES_TO_STRING),
        overload("double_to_string", DOUBLE, to=STRING, do=conversions.double_to_string),
        overload("duration_to_string", DURATION, to=STRING, do=conversions.duration_to_string),
        overload("int64_to_string", INT, to=STRING, do=int.__repr__),
        overload("timestamp_to_string", TIMESTAMP, to=STRING, do=conversions.timestamp_to_string),
        overload("uint64_to_string", UINT, to=STRING, do=int.__repr__),
    ),
    function(
        "timestamp",
        overload("timestamp_to_timestamp", TIMESTAMP, to=TIMESTAMP, do=_identity),
        overload("int64_to_timestamp", INT, to=TIMESTAMP, do=conversions.int_to_timestamp),
        overload("string_to_timestamp", STRING, to=TIMESTAMP, do=conversions.string_to_timestamp),
    ),
    function(
        "uint",
        overload("uint64_to_uint64", UINT, to=UINT, do=_identity),
        overload("double_to_uint64", DOUBLE, to=UINT, do=conversions.double_to_uint),
        overload("int64_to_uint64", INT, to=UINT, do=conversions.int_to_uint),
        overload("string_to_uint64", STRING, to=UINT, do=conversions.string_to_uint),
    ),
)
_STRINGS = (
    function("size", *_size("bytes", BYTES), *_size("list", _LIST), *_size("map", _MAP), *_size("string", STRING)),
    function(
        "contains",
        member("contains_string", STRING, STRING, to=BOOL, do=lambda text, part: part in text, cost=costs.CONTAINS),
    ),
    function("endsWith", member("ends_with_string", STRING, STRING, to=BOOL, do=str.endswith, cost=costs.PREFIX)),
    function("startsWith", member("starts_with_string", STRING, STRING, to=BOOL, do=str.startswith, cost=costs.PREFIX)),
    function(
        "matches",
        overload("matches", STRING, STRING, to=BOOL, do=regexes.matches),
        member("matches_string", STRING, STRING, to=BOOL, do=regexes.matches, cost=costs.MATCH),
    ),
)


def _time_field(name: str) -> Function:
    read = times.timestamp_field(name)
    overloads = [
        member(f"timestamp_{name}", TIMESTAMP, to=INT, do=read),
        member(f"timestamp_{name}_with_tz", TIMESTAMP, STRING, to=INT, do=read),
    ]
    if name in times.DURATION_FIELDS:
        overloads.append(member(f"duration_{name}", DURATION, to=INT, do=times.DURATION_FIELDS[name]))
    return Function(name, tuple(overloads))


LIBRARY = Library(
    name="standard",
    functions=(
        *_LOGIC,
        *_OPERATORS,
        *_CONVERSIONS,
        *_STRINGS,
        *(_time_field(name) for name in (*times.FIELDS, "getMilliseconds")),
    ),
    macros=STANDARD,
    types=(
        BOOL, INT, UINT, DOUBLE, STRING, BYTES, TIMESTAMP, DURATION, types.NULL, types.TYPE, types.LIST, types.MAP,
    ),
)  # fmt: skip
