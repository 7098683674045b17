"""Expressions as the parser leaves them: macros are expanded, nothing is typed yet.

Every node has a number of its own, under which the checker files types and references, and the offset in the text at
which messages point.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from msgspec import Struct

from steersman.cel.values import Value


class Literal(Struct, frozen=True, kw_only=True):
    id: int
    offset: int
    value: Value


class Ident(Struct, frozen=True, kw_only=True):
    id: int
    offset: int
    name: str


class Select(Struct, frozen=True, kw_only=True):
    """``operand.field``; with ``test_only``, ``has(operand.field)``."""

    id: int
    offset: int
    operand: Expr
    field: str
    test_only: bool = False


class Call(Struct, frozen=True, kw_only=True):
    """A function, an operator (``_+_``) or, with a target, a member function. ``_&&_`` and ``_||_`` take any number."""

    id: int
    offset: int
    function: str
    arguments: tuple[Expr, ...]
    target: Expr | None = None


class ListLiteral(Struct, frozen=True, kw_only=True):
    id: int
    offset: int
    elements: tuple[Expr, ...]
    optional: frozenset[int] = frozenset()
    """Indices of elements written ``?element``."""


class Entry(Struct, frozen=True, kw_only=True):
    """One ``key: value`` of a map; of an object, with the field's name as the key."""

    id: int
    offset: int
    key: Expr | str
    value: Expr
    optional: bool = False


class MapLiteral(Struct, frozen=True, kw_only=True):
    id: int
    offset: int
    entries: tuple[Entry, ...]


class ObjectLiteral(Struct, frozen=True, kw_only=True):
    id: int
    offset: int
    type_name: str
    fields: tuple[Entry, ...]


class Comprehension(Struct, frozen=True, kw_only=True):
    """A fold: what every looping macro and ``cel.bind`` expand to. ``macro`` names which, for the compiler."""

    id: int
    offset: int
    macro: str
    range: Expr
    variable: str
    second_variable: str
    """The value's variable in two-variable forms, else empty."""
    accumulator: str
    initial: Expr
    condition: Expr
    step: Expr
    result: Expr


Expr: TypeAlias = Literal | Ident | Select | Call | ListLiteral | MapLiteral | ObjectLiteral | Comprehension

ACCUMULATOR = "@result"
"""What folds accumulate into; no text can name it."""


def qualified_name(expr: Expr) -> str | None:
    """``a.b.c`` if the expression is nothing but names, which may then be one name with dots in it."""
    if isinstance(expr, Ident):
        return expr.name
    if isinstance(expr, Select) and not expr.test_only:
        prefix = qualified_name(expr.operand)
        return None if prefix is None else f"{prefix}.{expr.field}"
    return None


def children(expr: Expr) -> Iterator[Expr]:
    """The direct parts of an expression."""
    match expr:
        case Select():
            yield expr.operand
        case Call():
            if expr.target is not None:
                yield expr.target
            yield from expr.arguments
        case ListLiteral():
            yield from expr.elements
        case MapLiteral() | ObjectLiteral():
            for entry in expr.entries if isinstance(expr, MapLiteral) else expr.fields:
                if not isinstance(entry.key, str):
                    yield entry.key
                yield entry.value
        case Comprehension():
            yield from (expr.range, expr.initial, expr.condition, expr.step, expr.result)
        case _:
            return


def walk(expr: Expr) -> Iterator[Expr]:
    """Every node, parents first."""
    pending = [expr]
    while pending:
        node = pending.pop()
        yield node
        pending.extend(reversed(tuple(children(node))))
