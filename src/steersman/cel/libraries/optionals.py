"""Optional values: ``optional.of``, ``a.?b``, ``a[?0]``, ``orValue`` and the macros ``optMap`` and ``optFlatMap``."""

from __future__ import annotations

from steersman.cel import types
from steersman.cel.declarations import Library, function, member, overload
from steersman.cel.errors import EvaluationError
from steersman.cel.macros import OPTIONALS
from steersman.cel.types import BOOL, DYN, INT, STRING
from steersman.cel.values import NONE, OptionalValue, Value, is_zero, shown

_V, _K = types.parameter("V"), types.parameter("K")
_OPTIONAL = types.optional_of(_V)
_LIST, _MAP = types.list_of(_V), types.map_of(_K, _V)
_LIST_OF_OPTIONALS = types.list_of(_OPTIONAL)


def _of_non_zero(value: Value) -> OptionalValue:
    return NONE if is_zero(value) else OptionalValue(value)


def _none() -> OptionalValue:
    return NONE


def _first(elements: list[Value]) -> OptionalValue:
    return OptionalValue(elements[0]) if elements else NONE


def _last(elements: list[Value]) -> OptionalValue:
    return OptionalValue(elements[-1]) if elements else NONE


def _unwrap(elements: list[Value]) -> list[Value]:
    for item in elements:
        if not isinstance(item, OptionalValue):
            raise EvaluationError(f"value {shown(item)} is not optional")
    return [item.value for item in elements if item.present]


LIBRARY = Library(
    name="optional",
    functions=(
        function("optional.of", overload("optional_of", _V, to=_OPTIONAL, do=OptionalValue)),
        function("optional.ofNonZeroValue", overload("optional_ofNonZeroValue", _V, to=_OPTIONAL, do=_of_non_zero)),
        function("optional.none", overload("optional_none", to=_OPTIONAL, do=_none)),
        function("value", member("optional_value", _OPTIONAL, to=_V, do=OptionalValue.get)),
        function("hasValue", member("optional_hasValue", _OPTIONAL, to=BOOL, do=lambda value: value.present)),
        function("or", member("optional_or_optional", _OPTIONAL, _OPTIONAL, to=_OPTIONAL)),
        function("orValue", member("optional_orValue_value", _OPTIONAL, _V, to=_V)),
        function("_?._", overload("select_optional_field", DYN, STRING, to=_OPTIONAL)),
        function(
            "_[?_]",
            overload("list_optindex_optional_int", _LIST, INT, to=_OPTIONAL),
            overload("optional_list_optindex_optional_int", types.optional_of(_LIST), INT, to=_OPTIONAL),
            overload("map_optindex_optional_value", _MAP, _K, to=_OPTIONAL),
            overload("optional_map_optindex_optional_value", types.optional_of(_MAP), _K, to=_OPTIONAL),
        ),
        function(
            "_[_]",
            overload("optional_list_index_int", types.optional_of(_LIST), INT, to=_OPTIONAL),
            overload("optional_map_index_value", types.optional_of(_MAP), _K, to=_OPTIONAL),
        ),
        function("first", member("list_first", _LIST, to=_OPTIONAL, do=_first)),
        function("last", member("list_last", _LIST, to=_OPTIONAL, do=_last)),
        function("optional.unwrap", overload("optional_unwrap", _LIST_OF_OPTIONALS, to=_LIST, do=_unwrap)),
        function("unwrapOpt", member("optional_unwrapOpt", _LIST_OF_OPTIONALS, to=_LIST, do=_unwrap)),
    ),
    macros=OPTIONALS,
    types=(types.optional_of(DYN),),
)
