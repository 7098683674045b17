"""Functions, macros and types that an environment offers, in libraries."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from steersman.cel.costs import Rule
from steersman.cel.macros import Macro
from steersman.cel.types import Type
from steersman.cel.values import Value


class Overload(Struct, frozen=True, kw_only=True):
    """One signature of a function. A member function's first parameter is its target."""

    id: str
    parameters: tuple[Type, ...]
    result: Type
    member: bool = False
    implement: Callable[..., Value] | None = None
    """None: the compiler knows it (operators, what does not evaluate all its operands)."""
    cost: Rule | None = None
    """None: 1."""
    element_guarded: bool = True
    """A list that was only known as dyn must have elements of the parameter's type, too."""


class Function(Struct, frozen=True):
    name: str
    overloads: tuple[Overload, ...]


class Library(Struct, frozen=True, kw_only=True):
    name: str
    functions: tuple[Function, ...] = ()
    macros: tuple[Macro, ...] = ()
    types: tuple[Type, ...] = ()
    """Whose names can be used as values: ``type(x) == net.IP``."""


def overload(
    id: str, *parameters: Type, to: Type, do: Callable[..., Value] | None = None, cost: Rule | None = None
) -> Overload:
    """``f(a, b)``."""
    return Overload(id=id, parameters=parameters, result=to, implement=do, cost=cost)


def member(
    id: str, *parameters: Type, to: Type, do: Callable[..., Value] | None = None, cost: Rule | None = None
) -> Overload:
    """``a.f(b)``."""
    return Overload(id=id, parameters=parameters, result=to, member=True, implement=do, cost=cost)


def function(name: str, *overloads: Overload) -> Function:
    return Function(name, overloads)
