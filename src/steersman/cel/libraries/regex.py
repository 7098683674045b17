"""Kubernetes' ``find`` and ``findAll``."""

from __future__ import annotations

from steersman.cel import regexes, types
from steersman.cel.costs import FIND
from steersman.cel.declarations import Library, function, member
from steersman.cel.types import INT, STRING

_STRINGS = types.list_of(STRING)

LIBRARY = Library(
    name="kubernetes.regex",
    functions=(
        function("find", member("string_find_string", STRING, STRING, to=STRING, do=regexes.find, cost=FIND)),
        function(
            "findAll",
            member("string_find_all_string", STRING, STRING, to=_STRINGS, do=regexes.find_all, cost=FIND),
            member("string_find_all_string_int", STRING, STRING, INT, to=_STRINGS, do=regexes.find_all, cost=FIND),
        ),
    ),
)
