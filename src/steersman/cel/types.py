"""Types of expressions, and the rules by which one type is assignable to another.

A type parameter stands for any type; ``Substitution`` remembers what each has been found to stand for, as CEL's type
inference (langdef, "Gradual Type Checking") does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

Kind = Literal[
    "dyn", "error", "null", "bool", "int", "uint", "double", "string", "bytes", "timestamp", "duration",
    "list", "map", "type", "object", "opaque", "param",
]  # fmt: skip


class Type(Struct, frozen=True):
    """``name`` is the type's name as an identifier and as ``type()`` gives it."""

    kind: Kind
    name: str
    parameters: tuple[Type, ...] = ()

    def __str__(self) -> str:
        """As messages of the checker show it."""
        if self.kind in _SHOWN_NAMES:
            return _SHOWN_NAMES[self.kind]
        if not self.parameters:
            return self.name
        return f"{self.name}({', '.join(map(str, self.parameters))})"

    @property
    def is_dyn(self) -> bool:
        return self.kind == "dyn" or self.kind == "error"


_SHOWN_NAMES: dict[Kind, str] = {"timestamp": "timestamp", "duration": "duration", "null": "null", "error": "!error!"}

DYN = Type("dyn", "dyn")
ERROR = Type("error", "!error!")
NULL = Type("null", "null_type")
BOOL = Type("bool", "bool")
INT = Type("int", "int")
UINT = Type("uint", "uint")
DOUBLE = Type("double", "double")
STRING = Type("string", "string")
BYTES = Type("bytes", "bytes")
TIMESTAMP = Type("timestamp", "google.protobuf.Timestamp")
DURATION = Type("duration", "google.protobuf.Duration")
TYPE = Type("type", "type")

SCALARS = frozenset({"bool", "int", "uint", "double", "string", "bytes", "timestamp", "duration"})
_NULLABLE = frozenset({"opaque", "object", "timestamp", "duration", "dyn"})
_PARAMETERIZED = frozenset({"opaque", "list", "map"})


def list_of(element: Type) -> Type:
    return Type("list", "list", (element,))


def map_of(key: Type, value: Type) -> Type:
    return Type("map", "map", (key, value))


def optional_of(value: Type) -> Type:
    return Type("opaque", "optional_type", (value,))


def type_of(value: Type) -> Type:
    return Type("type", "type", (value,))


def object_of(name: str) -> Type:
    return Type("object", name)


def opaque(name: str, *parameters: Type) -> Type:
    return Type("opaque", name, parameters)


def parameter(name: str) -> Type:
    return Type("param", name)


LIST = list_of(DYN)
MAP = map_of(DYN, DYN)


def is_optional(candidate: Type) -> bool:
    return candidate.kind == "opaque" and candidate.name == "optional_type"


def unwrapped(candidate: Type) -> Type:
    """The type inside an optional; any other type as it is."""
    return candidate.parameters[0] if is_optional(candidate) else candidate


class Substitution:
    """What type parameters stand for so far."""

    __slots__ = ("_bound", "_fresh")

    def __init__(self) -> None:
        self._bound: dict[Type, Type] = {}
        self._fresh = 0

    def fresh(self) -> Type:
        """A type parameter that nothing else uses."""
        self._fresh += 1
        return parameter(f"_var{self._fresh - 1}")

    def unify(self, first: Sequence[Type], second: Sequence[Type]) -> bool:
        """Whether each type of ``first`` is assignable with its counterpart. Bindings are kept only if all are."""
        before = dict(self._bound)
        if self._all_assignable(first, second):
            return True
        self._bound = before
        return False

    def assignable(self, first: Type, second: Type) -> bool:
        return self.unify((first,), (second,))

    def apply(self, to: Type, *, unbound_to_dyn: bool = False) -> Type:
        """``to`` with every bound parameter replaced."""
        found = self._bound.get(to)
        if found is not None:
            return self.apply(found, unbound_to_dyn=unbound_to_dyn)
        if to.kind == "param":
            return DYN if unbound_to_dyn else to
        if not to.parameters:
            return to
        inner = tuple(self.apply(item, unbound_to_dyn=unbound_to_dyn) for item in to.parameters)
        return to if inner == to.parameters else Type(to.kind, to.name, inner)

    def join(self, previous: Type | None, current: Type) -> Type | None:
        """The more general of two element types of one literal; None if they do not go together."""
        if previous is None:
            return current
        if self.assignable(previous, current):
            return previous if _less_specific(previous, current) else current
        return None

    def _all_assignable(self, first: Sequence[Type], second: Sequence[Type]) -> bool:
        return len(first) == len(second) and all(map(self._assignable, first, second))

    def _assignable(self, first: Type, second: Type) -> bool:
        if second.kind == "param":
            valid, bound = self._substitutes(first, second)
            if valid or bound:
                return valid
        if first.kind == "param":
            return self._substitutes(second, first)[0]
        if first.is_dyn or second.is_dyn:
            return True
        if first.kind == "null" or second.kind == "null":
            other = second if first.kind == "null" else first
            return other.kind == "null" or other.kind in _NULLABLE
        if first.kind in _PARAMETERIZED:
            return (
                first.kind == second.kind
                and first.name == second.name
                and self._all_assignable(first.parameters, second.parameters)
            )
        if first.kind == "type":
            return second.kind == "type"
        return first.kind == second.kind and first.name == second.name

    def _substitutes(self, candidate: Type, param: Type) -> tuple[bool, bool]:
        """(whether ``candidate`` may stand for ``param``, whether ``param`` was bound already)."""
        if candidate == param:
            return True, True
        bound = self._bound.get(param)
        if bound is not None:
            if candidate == bound:
                return True, True
            if not self._assignable(candidate, bound):
                return False, True
            general = candidate if _less_specific(candidate, bound) else bound
            if not self._occurs(param, general):
                self._bound[param] = general
            return True, True
        if self._occurs(param, candidate):
            return False, False
        self._bound[param] = candidate
        return True, False

    def _occurs(self, param: Type, within: Type) -> bool:
        if param == within:
            return True
        if within.kind == "param":
            bound = self._bound.get(within)
            return bound is not None and self._occurs(param, bound)
        return any(self._occurs(param, item) for item in within.parameters)


def _less_specific(first: Type, second: Type) -> bool:
    """Whether ``first`` equals ``second`` or is more general by saying dyn where ``second`` says more."""
    if first.is_dyn or first.kind == "param":
        return True
    if second.is_dyn or second.kind == "param" or first.kind != second.kind:
        return False
    if first.kind == "type":
        return True
    return (
        first.name == second.name
        and len(first.parameters) == len(second.parameters)
        and all(map(_less_specific, first.parameters, second.parameters))
    )
