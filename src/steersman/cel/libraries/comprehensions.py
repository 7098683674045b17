"""Macros over lists and maps with two variables: ``all(i, v, …)``, ``transformList``, ``transformMap``, …"""

from __future__ import annotations

from steersman.cel import types
from steersman.cel.declarations import Library, function, overload
from steersman.cel.macros import MAP_INSERT, TWO_VARIABLES

_MAP = types.map_of(types.parameter("K"), types.parameter("V"))

LIBRARY = Library(
    name="comprehensions",
    functions=(
        function(
            MAP_INSERT,
            overload("@mapInsert_map_map", _MAP, _MAP, to=_MAP),
            overload("@mapInsert_map_key_value", _MAP, types.parameter("K"), types.parameter("V"), to=_MAP),
        ),
    ),
    macros=TWO_VARIABLES,
)
