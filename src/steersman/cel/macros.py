"""Macros: calls that the parser replaces by other expressions.

The expansions are those of cel-spec and cel-go, because costs are defined on them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from msgspec import Struct

from steersman.cel.ast import (
    ACCUMULATOR,
    Call,
    Comprehension,
    Expr,
    Ident,
    ListLiteral,
    Literal,
    MapLiteral,
    Select,
)
from steersman.cel.values import Value

UNUSED = "#unused"
MAP_INSERT = "cel.@mapInsert"
_RESERVED_NAMES = frozenset({ACCUMULATOR, "__result__"})


class MacroError(Exception):
    """A macro was used wrongly; ``where`` is the argument to blame."""

    def __init__(self, where: Expr, message: str) -> None:
        super().__init__(message)
        self.where = where


class Numbering(Protocol):
    """Where expansions get numbers for new nodes from."""

    def next_id(self) -> int: ...


class Builder(Struct, frozen=True):
    """Makes nodes at the place of the macro's call."""

    numbering: Numbering
    offset: int

    def literal(self, value: Value) -> Literal:
        return Literal(id=self.numbering.next_id(), offset=self.offset, value=value)

    def ident(self, name: str) -> Ident:
        return Ident(id=self.numbering.next_id(), offset=self.offset, name=name)

    def accumulator(self) -> Ident:
        return self.ident(ACCUMULATOR)

    def call(self, function: str, *arguments: Expr) -> Call:
        return Call(id=self.numbering.next_id(), offset=self.offset, function=function, arguments=arguments)

    def member(self, function: str, target: Expr) -> Call:
        return Call(id=self.numbering.next_id(), offset=self.offset, function=function, arguments=(), target=target)

    def list(self, *elements: Expr) -> ListLiteral:
        return ListLiteral(id=self.numbering.next_id(), offset=self.offset, elements=elements)

    def empty_map(self) -> MapLiteral:
        return MapLiteral(id=self.numbering.next_id(), offset=self.offset, entries=())

    def fold(
        self,
        macro: str,
        over: Expr,
        variables: tuple[str, str],
        *,
        initial: Expr,
        condition: Expr,
        step: Expr,
        result: Expr,
        accumulator: str = ACCUMULATOR,
    ) -> Comprehension:
        return Comprehension(
            id=self.numbering.next_id(),
            offset=self.offset,
            macro=macro,
            range=over,
            variable=variables[0],
            second_variable=variables[1],
            accumulator=accumulator,
            initial=initial,
            condition=condition,
            step=step,
            result=result,
        )


Expander: TypeAlias = Callable[[Builder, Expr | None, Sequence[Expr]], Expr | None]
"""(builder, target, arguments) -> what stands for the call; None: it is no macro after all."""


class Macro(Struct, frozen=True, kw_only=True):
    name: str
    arguments: int
    member: bool = True
    expand: Expander


def _variable(argument: Expr, complaint: str) -> str:
    if not isinstance(argument, Ident) or argument.name.startswith("."):
        raise MacroError(argument, complaint)
    if argument.name in _RESERVED_NAMES:
        raise MacroError(argument, "iteration variable overwrites accumulator variable")
    return argument.name


def _has(build: Builder, target: Expr | None, arguments: Sequence[Expr]) -> Expr:
    argument = arguments[0]
    if not isinstance(argument, Select) or argument.test_only:
        raise MacroError(argument, "invalid argument to has() macro")
    return Select(
        id=build.numbering.next_id(),
        offset=build.offset,
        operand=argument.operand,
        field=argument.field,
        test_only=True,
    )


def _quantifier(kind: str, variables: int) -> Expander:
    """``all``, ``exists`` and ``exists_one`` with one variable or two."""

    def expand(build: Builder, target: Expr | None, arguments: Sequence[Expr]) -> Expr:
        assert target is not None
        names = _variables(arguments, variables, "argument must be a simple name")
        predicate = arguments[variables]
        initial: Expr
        condition: Expr
        result: Expr = build.accumulator()
        if kind == "all":
            initial = build.literal(True)
            condition = build.call("@not_strictly_false", build.accumulator())
            step = build.call("_&&_", build.accumulator(), predicate)
        elif kind == "exists":
            initial = build.literal(False)
            condition = build.call("@not_strictly_false", build.call("!_", build.accumulator()))
            step = build.call("_||_", build.accumulator(), predicate)
        else:
            initial = build.literal(0)
            condition = build.literal(True)
            one_more = build.call("_+_", build.accumulator(), build.literal(1))
            step = build.call("_?_:_", predicate, one_more, build.accumulator())
            result = build.call("_==_", build.accumulator(), build.literal(1))
        return build.fold(kind, target, names, initial=initial, condition=condition, step=step, result=result)

    return expand


def _variables(arguments: Sequence[Expr], count: int, complaint: str) -> tuple[str, str]:
    first = _variable(arguments[0], complaint)
    if count == 1:
        return first, ""
    second = _variable(arguments[1], complaint)
    if first == second:
        raise MacroError(arguments[1], f"duplicate variable name: {first}")
    return first, second


def _map(build: Builder, target: Expr | None, arguments: Sequence[Expr]) -> Expr:
    names = _variables(arguments, 1, "argument is not an identifier")
    return _collect(build, "map", target, names, arguments[1] if len(arguments) == 3 else None, arguments[-1])


def _filter(build: Builder, target: Expr | None, arguments: Sequence[Expr]) -> Expr:
    names = _variables(arguments, 1, "argument is not an identifier")
    return _collect(build, "filter", target, names, arguments[1], arguments[0])


def _transform_list(build: Builder, target: Expr | None, arguments: Sequence[Expr]) -> Expr:
    names = _variables(arguments, 2, "argument must be a simple name")
    return _collect(build, "transformList", target, names, arguments[2] if len(arguments) == 4 else None, arguments[-1])


def _collect(
    build: Builder, macro: str, target: Expr | None, names: tuple[str, str], wanted: Expr | None, item: Expr
) -> Expr:
    """A list of ``item`` for each element for which ``wanted`` holds."""
    assert target is not None
    step = build.call("_+_", build.accumulator(), build.list(item))
    if wanted is not None:
        step = build.call("_?_:_", wanted, step, build.accumulator())
    return build.fold(
        macro, target, names, initial=build.list(), condition=build.literal(True), step=step, result=build.accumulator()
    )


def _transform_map(entries: bool) -> Expander:
    def expand(build: Builder, target: Expr | None, arguments: Sequence[Expr]) -> Expr:
        assert target is not None
        names = _variables(arguments, 2, "argument must be a simple name")
        inserted = (arguments[-1],) if entries else (build.ident(names[0]), arguments[-1])
        step = build.call(MAP_INSERT, build.accumulator(), *inserted)
        if len(arguments) == 4:
            step = build.call("_?_:_", arguments[2], step, build.accumulator())
        return build.fold(
            "transformMapEntry" if entries else "transformMap",
            target,
            names,
            initial=build.empty_map(),
            condition=build.literal(True),
            step=step,
            result=build.accumulator(),
        )

    return expand


def bound(build: Builder, name: str, value: Expr, body: Expr) -> Comprehension:
    """``body`` with ``name`` standing for ``value``, which is evaluated when first needed and once."""
    return build.fold(
        "bind",
        build.list(),
        (UNUSED, ""),
        accumulator=name,
        initial=value,
        condition=build.literal(False),
        step=build.ident(name),
        result=body,
    )


def _bind(build: Builder, target: Expr | None, arguments: Sequence[Expr]) -> Expr | None:
    if not isinstance(target, Ident) or target.name != "cel":
        return None
    if not isinstance(arguments[0], Ident):
        raise MacroError(arguments[0], "cel.bind() variable names must be simple identifiers")
    return bound(build, arguments[0].name, arguments[1], arguments[2])


def _optional_map(flat: bool) -> Expander:
    name = "optFlatMap" if flat else "optMap"

    def expand(build: Builder, target: Expr | None, arguments: Sequence[Expr]) -> Expr:
        assert target is not None
        if not isinstance(arguments[0], Ident):
            raise MacroError(arguments[0], f"{name}() variable name must be a simple identifier")
        body: Expr = bound(build, arguments[0].name, build.member("value", target), arguments[1])
        if not flat:
            body = build.call("optional.of", body)
        return build.call("_?_:_", build.member("hasValue", target), body, build.call("optional.none"))

    return expand


STANDARD = (
    Macro(name="has", arguments=1, member=False, expand=_has),
    Macro(name="all", arguments=2, expand=_quantifier("all", 1)),
    Macro(name="exists", arguments=2, expand=_quantifier("exists", 1)),
    Macro(name="exists_one", arguments=2, expand=_quantifier("exists_one", 1)),
    Macro(name="existsOne", arguments=2, expand=_quantifier("exists_one", 1)),
    Macro(name="map", arguments=2, expand=_map),
    Macro(name="map", arguments=3, expand=_map),
    Macro(name="filter", arguments=2, expand=_filter),
)
TWO_VARIABLES = (
    Macro(name="all", arguments=3, expand=_quantifier("all", 2)),
    Macro(name="exists", arguments=3, expand=_quantifier("exists", 2)),
    Macro(name="exists_one", arguments=3, expand=_quantifier("exists_one", 2)),
    Macro(name="existsOne", arguments=3, expand=_quantifier("exists_one", 2)),
    Macro(name="transformList", arguments=3, expand=_transform_list),
    Macro(name="transformList", arguments=4, expand=_transform_list),
    Macro(name="transformMap", arguments=3, expand=_transform_map(entries=False)),
    Macro(name="transformMap", arguments=4, expand=_transform_map(entries=False)),
    Macro(name="transformMapEntry", arguments=3, expand=_transform_map(entries=True)),
    Macro(name="transformMapEntry", arguments=4, expand=_transform_map(entries=True)),
)
OPTIONALS = (
    Macro(name="optMap", arguments=2, expand=_optional_map(flat=False)),
    Macro(name="optFlatMap", arguments=2, expand=_optional_map(flat=True)),
)
BINDINGS = (Macro(name="bind", arguments=3, expand=_bind),)
