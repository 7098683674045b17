"""Gives every part of an expression its type and finds which overloads a call may mean.

Types are gradual: what is dyn is left to the evaluation. Follows cel-go's checker, whose messages these are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from steersman.cel import types
from steersman.cel.ast import (
    Call,
    Comprehension,
    Entry,
    Expr,
    Ident,
    ListLiteral,
    Literal,
    MapLiteral,
    ObjectLiteral,
    Select,
    qualified_name,
    walk,
)
from steersman.cel.declarations import Function, Overload
from steersman.cel.errors import CompileError, Issue
from steersman.cel.types import Substitution, Type
from steersman.cel.values import type_of


class Resolved(Struct, frozen=True):
    """What a call means."""

    function: str
    overloads: tuple[Overload, ...]
    target: Expr | None
    """None also for ``a.b.f()`` where ``a.b.f`` is the function's name."""


class Scope(Struct, frozen=True, kw_only=True):
    """What an expression may refer to."""

    variables: Mapping[str, Type]
    functions: Mapping[str, Function]
    type_names: Mapping[str, Type]
    field_type: Callable[[str, str], Type | None]
    """(object type's name, field) -> type of the field, or None if there is no such field."""
    object_type: Callable[[str], Type | None]
    """The type that ``Name{...}`` makes."""
    homogeneous: bool = False
    """Lists and maps that are written out must have elements of one type."""


class Checked(Struct, frozen=True):
    """A typed expression: tables by node id."""

    expr: Expr
    types: Mapping[int, Type]
    calls: Mapping[int, Resolved]
    names: Mapping[int, str]
    """Idents and selections that name a variable or a type."""
    constants: Mapping[int, Type]
    """Those of ``names`` that are types."""
    variables: tuple[str, ...]
    """The environment's variables that are referred to, in the order of their first mention."""


def check(expr: Expr, text: str, scope: Scope) -> Checked:
    """Raises ``CompileError`` with every complaint."""
    checker = _Checker(scope)
    try:
        checker.check(expr)
        if not checker.issues and scope.homogeneous:
            checker.require_homogeneous(expr)
    except RecursionError:
        checker.issues.append(Issue(message="max recursion depth exceeded", offset=-1))
    if checker.issues:
        raise CompileError(text, checker.issues)
    final = {node: checker.inferred.apply(found, unbound_to_dyn=True) for node, found in checker.types.items()}
    return Checked(expr, final, checker.calls, checker.names, checker.constants, tuple(checker.variables))


class _Checker:
    def __init__(self, scope: Scope) -> None:
        self.issues: list[Issue] = []
        self.types: dict[int, Type] = {}
        self.calls: dict[int, Resolved] = {}
        self.names: dict[int, str] = {}
        self.constants: dict[int, Type] = {}
        self.variables: dict[str, None] = {}
        self.inferred = Substitution()
        self._scope = scope
        self._locals: list[dict[str, Type]] = []

    def check(self, expr: Expr) -> Type:
        found = self._type(expr)
        self.types[expr.id] = found
        return found

    def _complain(self, expr: Expr | Entry, message: str) -> Type:
        self.issues.append(Issue(message=message, offset=expr.offset))
        return types.ERROR

    def _type(self, expr: Expr) -> Type:
        match expr:
            case Literal():
                return type_of(expr.value)
            case Ident():
                return self._named(expr, expr.name) or self._undeclared(expr, expr.name)
            case Select():
                return self._selection(expr)
            case Call():
                return self._call(expr)
            case ListLiteral():
                return self._list(expr)
            case MapLiteral():
                return self._map(expr)
            case ObjectLiteral():
                return self._object(expr)
            case Comprehension():
                return self._comprehension(expr)

    def _undeclared(self, expr: Expr, name: str) -> Type:
        return self._complain(expr, f"undeclared reference to '{name}' (in container '')")

    def _named(self, expr: Expr, name: str) -> Type | None:
        """The type of a variable or of a type's name."""
        if name.startswith("."):
            name = name[1:]
        else:
            for local in reversed(self._locals):
                if name in local:
                    self.names[expr.id] = name
                    return local[name]
        found = self._scope.variables.get(name)
        if found is not None:
            self.names[expr.id] = name
            self.variables[name] = None
            return found
        constant = self._scope.type_names.get(name)
        if constant is None:
            return None
        self.names[expr.id] = name
        self.constants[expr.id] = constant
        return types.type_of(constant)

    def _selection(self, expr: Select) -> Type:
        name = qualified_name(expr)
        found = self._named(expr, name) if name is not None else None
        if found is not None:
            return found
        result = self._field(expr, expr.operand, expr.field, optional=False)
        return types.BOOL if expr.test_only else self.inferred.apply(result)

    def _field(self, expr: Expr, operand: Expr, field: str, *, optional: bool) -> Type:
        operand_type = self.inferred.apply(self.check(operand))
        target = types.unwrapped(operand_type)
        if target.kind == "map":
            result = target.parameters[1]
        elif target.kind == "object":
            result = self._field_type(expr, target, field)
        elif target.kind == "param":
            self.inferred.assignable(types.DYN, target)
            result = types.DYN
        else:
            if not target.is_dyn:
                self._complain(expr, f"type '{target}' does not support field selection")
            result = types.DYN
        return types.optional_of(result) if optional or types.is_optional(operand_type) else result

    def _field_type(self, expr: Expr | Entry, target: Type, field: str) -> Type:
        found = self._scope.field_type(target.name, field)
        return found if found is not None else self._complain(expr, f"undefined field '{field}'")

    def _call(self, expr: Call) -> Type:
        if expr.function == "_?._" and "_?._" in self._scope.functions:
            field = expr.arguments[1]
            assert isinstance(field, Literal)
            self.types[field.id] = types.STRING
            result = self._field(expr, expr.arguments[0], field.value, optional=True)
            self.calls[expr.id] = Resolved("_?._", self._scope.functions["_?._"].overloads, None)
            return self.inferred.apply(result)
        arguments = [self.check(argument) for argument in expr.arguments]
        functions = self._scope.functions
        if expr.target is None:
            found = functions.get(expr.function.removeprefix("."))
            if found is None:
                return self._undeclared(expr, expr.function)
            return self._resolve(expr, found, None, arguments)
        prefix = qualified_name(expr.target)
        if prefix is not None:
            namespaced = functions.get(f"{prefix.removeprefix('.')}.{expr.function}")
            if namespaced is not None:
                return self._resolve(expr, namespaced, None, arguments)
        target = self.check(expr.target)
        found = functions.get(expr.function)
        if found is None:
            return self._undeclared(expr, expr.function)
        return self._resolve(expr, found, expr.target, [target, *arguments])

    def _resolve(self, expr: Call, function: Function, target: Expr | None, arguments: Sequence[Type]) -> Type:
        if function.name in ("_&&_", "_||_"):
            return self._logic(expr, function, arguments)
        result: Type | None = None
        matching: list[Overload] = []
        for candidate in function.overloads:
            if candidate.member != (target is not None):
                continue
            parameters, returned = self._instantiated(candidate)
            if not self.inferred.unify(arguments, parameters):
                continue
            matching.append(candidate)
            returned = self.inferred.apply(returned)
            if result is None:
                result = returned
            elif not result.is_dyn and returned != result:
                result = types.DYN
        if result is None:
            shown = [str(self.inferred.apply(argument, unbound_to_dyn=True)) for argument in arguments]
            instance = f"{shown.pop(0)}." if target is not None else ""
            return self._complain(
                expr, f"found no matching overload for '{function.name}' applied to '{instance}({', '.join(shown)})'"
            )
        self.calls[expr.id] = Resolved(function.name, tuple(matching), target)
        return result

    def _logic(self, expr: Call, function: Function, arguments: Sequence[Type]) -> Type:
        for argument, found in zip(expr.arguments, arguments, strict=True):
            if not self.inferred.assignable(found, types.BOOL):
                self._complain(argument, f"expected type 'bool' but found '{found}'")
        self.calls[expr.id] = Resolved(function.name, function.overloads, None)
        return types.BOOL

    def _instantiated(self, overload: Overload) -> tuple[tuple[Type, ...], Type]:
        """Parameters and result with type parameters of their own for this call."""
        fresh: dict[str, Type] = {}

        def renamed(original: Type) -> Type:
            if original.kind == "param":
                if original.name not in fresh:
                    fresh[original.name] = self.inferred.fresh()
                return fresh[original.name]
            if not original.parameters:
                return original
            return Type(original.kind, original.name, tuple(map(renamed, original.parameters)))

        return tuple(map(renamed, overload.parameters)), renamed(overload.result)

    def _list(self, expr: ListLiteral) -> Type:
        joined: Type | None = None
        for index, element in enumerate(expr.elements):
            found = self.check(element)
            if index in expr.optional:
                found = self._inside_optional(element, found)
            joined = self._joined(joined, found)
        return types.list_of(joined if joined is not None else self.inferred.fresh())

    def _inside_optional(self, expr: Expr, found: Type) -> Type:
        if not types.is_optional(found) and not found.is_dyn:
            self._complain(expr, f"expected type '{types.optional_of(found)}' but found '{found}'")
        return types.unwrapped(found)

    def _joined(self, previous: Type | None, current: Type) -> Type:
        return self.inferred.join(previous, current) or types.DYN

    def _map(self, expr: MapLiteral) -> Type:
        key_type: Type | None = None
        value_type: Type | None = None
        for entry in expr.entries:
            assert not isinstance(entry.key, str)
            key_type = self._joined(key_type, self.check(entry.key))
            found = self.check(entry.value)
            if entry.optional:
                found = self._inside_optional(entry.value, found)
            value_type = self._joined(value_type, found)
        if key_type is None or value_type is None:
            return types.map_of(self.inferred.fresh(), self.inferred.fresh())
        return types.map_of(key_type, value_type)

    def _object(self, expr: ObjectLiteral) -> Type:
        made = self._scope.object_type(expr.type_name.removeprefix("."))
        if made is None:
            for entry in expr.fields:
                self.check(entry.value)
            if expr.type_name in self._scope.type_names:
                return self._complain(expr, f"'{expr.type_name}' is not a message type")
            return self._undeclared(expr, expr.type_name)
        for entry in expr.fields:
            assert isinstance(entry.key, str)
            found = self.check(entry.value)
            if entry.optional:
                found = self._inside_optional(entry.value, found)
            wanted = self._field_type(entry, made, entry.key)
            if not self.inferred.assignable(wanted, found):
                self._complain(
                    entry, f"expected type of field '{entry.key}' is '{wanted}' but provided type is '{found}'"
                )
        return made

    def _comprehension(self, expr: Comprehension) -> Type:
        range_type = self.inferred.apply(self.check(expr.range))
        accumulated = self.check(expr.initial)
        first, second = self._element_types(expr, range_type)
        self._locals.append({expr.accumulator: accumulated})
        variables = {expr.variable: first}
        if expr.second_variable:
            variables[expr.second_variable] = second
        self._locals.append(variables)
        self._require(expr.condition, types.BOOL)
        self._require(expr.step, accumulated)
        self._locals.pop()
        result = self.check(expr.result)
        self._locals.pop()
        return self.inferred.apply(result)

    def _element_types(self, expr: Comprehension, range_type: Type) -> tuple[Type, Type]:
        """The types of the iteration variables."""
        if range_type.kind == "list":
            element = range_type.parameters[0]
            return (types.INT, element) if expr.second_variable else (element, types.DYN)
        if range_type.kind == "map":
            key, value = range_type.parameters
            return key, value
        if not range_type.is_dyn and range_type.kind != "param":
            self._complain(
                expr.range,
                f"expression of type '{range_type}' cannot be range of a comprehension (must be list, map, or dynamic)",
            )
            return types.ERROR, types.ERROR
        self.inferred.assignable(types.DYN, range_type)
        return types.DYN, types.DYN

    def _require(self, expr: Expr, wanted: Type) -> None:
        found = self.check(expr)
        if not self.inferred.assignable(wanted, found):
            self._complain(expr, f"expected type '{wanted}' but found '{found}'")

    def require_homogeneous(self, root: Expr) -> None:
        """Elements of one literal are of exactly one type, except what ``format`` is given."""
        exempt: set[int] = set()
        for expr in walk(root):
            if isinstance(expr, Call) and expr.function == "format":
                exempt.update(node.id for node in walk(expr))
            if expr.id in exempt:
                continue
            if isinstance(expr, ListLiteral):
                self._require_same([(item, index in expr.optional) for index, item in enumerate(expr.elements)])
            elif isinstance(expr, MapLiteral):
                self._require_same([(entry.key, False) for entry in expr.entries if not isinstance(entry.key, str)])
                self._require_same([(entry.value, entry.optional) for entry in expr.entries])

    def _require_same(self, elements: Sequence[tuple[Expr, bool]]) -> None:
        expected: Type | None = None
        for element, optional in elements:
            found = self.inferred.apply(self.types[element.id], unbound_to_dyn=True)
            found = types.unwrapped(found) if optional else found
            if expected is None:
                expected = found
            elif not _equivalent(expected, found):
                self._complain(element, f"expected type '{expected}' but found '{found}'")
                return


def _equivalent(first: Type, second: Type) -> bool:
    return (
        first.kind == second.kind
        and first.name == second.name
        and all(map(_equivalent, first.parameters, second.parameters))
    )
