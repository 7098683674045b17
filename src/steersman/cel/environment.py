"""Where expressions are compiled: which variables, functions and types they may use; and what compiling gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from msgspec import Struct

from steersman.cel import regexes
from steersman.cel.ast import Call, Expr, ListLiteral, Literal, walk
from steersman.cel.checker import Checked, Scope, check
from steersman.cel.code import COST
from steersman.cel.compiler import Compiled, compile_expression
from steersman.cel.conversions import int_to_duration, int_to_timestamp, string_to_duration, string_to_timestamp
from steersman.cel.costs import Range
from steersman.cel.declarations import Function, Library, Overload
from steersman.cel.effort import METER, LongRunning
from steersman.cel.errors import CELError, CompileError, CostLimitExceeded, EvaluationError, InstantiationError, Issue
from steersman.cel.estimates import estimate
from steersman.cel.libraries import standard
from steersman.cel.libraries.formatting import Misformatted, check_template
from steersman.cel.macros import Macro
from steersman.cel.parser import parse
from steersman.cel.schemas import Declared
from steersman.cel.types import Type
from steersman.cel.values import Value

PER_CALL_LIMIT = 1_000_000
"""What one evaluation may cost; kube-apiserver's limit."""


class Outcome(Struct, frozen=True, kw_only=True):
    """How an evaluation ended."""

    value: Value
    error: CELError | None
    cost: int


class Program:
    """A compiled expression. It has no state: any number of evaluations may share it."""

    __slots__ = (
        "_checked",
        "_declared",
        "_estimate",
        "_locals",
        "_run",
        "_start",
        "expression",
        "result_type",
        "variables",
    )

    def __init__(self, expression: str, checked: Checked, compiled: Compiled, declared: Mapping[str, Declared]) -> None:
        self.expression = expression
        self.result_type: Type = checked.types[checked.expr.id]
        """dyn where only the evaluation shows it."""
        self.variables: tuple[str, ...] = compiled.variables
        """The variables that the expression refers to; evaluations need bindings for these only."""
        self._checked = checked
        self._declared = declared
        self._estimate: Range | None = None
        self._run = compiled.code.run
        self._start = compiled.code.cost
        self._locals = [None] * compiled.locals

    @property
    def estimated_cost(self) -> Range:
        """The least and the most that an evaluation can cost, in cost units."""
        if self._estimate is None:
            self._estimate = estimate(self._checked, self._declared)
        return self._estimate

    def evaluate(self, bindings: Mapping[str, Value], *, cost_limit: int = PER_CALL_LIMIT) -> Value:
        """The expression's value: JSON or a value of ``cel.values``.

        Raises ``EvaluationError`` for an error value, and ``CostLimitExceeded`` (never an endless evaluation) when more than
        ``cost_limit`` has been spent. Objects in ``bindings`` are not changed; the result may share parts with them.
        """
        outcome = self.measure(bindings, cost_limit=cost_limit)
        if outcome.error is not None:
            raise outcome.error
        return outcome.value

    def measure(self, bindings: Mapping[str, Value], *, cost_limit: int = PER_CALL_LIMIT) -> Outcome:
        """The value or the error together with what it cost, for callers that have a budget for several expressions.

        Raises ``LongRunning`` where the turn that it is evaluated in ends before the limit is reached.
        """
        left = METER.left
        if left < cost_limit:
            outcome = self._measure(bindings, left)
            if isinstance(outcome.error, CostLimitExceeded):
                raise LongRunning
        else:
            outcome = self._measure(bindings, cost_limit)
        METER.left -= outcome.cost
        return outcome

    def _measure(self, bindings: Mapping[str, Value], cost_limit: int) -> Outcome:
        frame: list[Value] = [self._start, cost_limit]
        start = METER.open(cost_limit)
        value: Value = None
        failure: CELError | None = None
        try:
            frame += [bindings[name] for name in self.variables]
            frame += self._locals
            value = self._run(frame)
            if frame[COST] + METER.units_since(start) > cost_limit:
                failure = CostLimitExceeded()
        except KeyError as error:
            failure = EvaluationError(f"no such attribute(s): {error.args[0]}")
        except RecursionError:
            failure = EvaluationError("expression is nested too deeply")
        except CELError as error:
            failure = error
        cost = frame[COST] + METER.units_since(start)
        return Outcome(value=None if failure else value, error=failure, cost=cost)


def _no_object(name: str) -> Type | None:
    return None


class Environment:
    """Variables by name, each with a type or with the type that its schema declares, and libraries of functions.

    ``homogeneous``: lists and maps that are written out must have elements of one type, as Kubernetes demands.
    ``object_type`` and ``field_type`` add object types that expressions may construct (``libraries.patches``).
    """

    def __init__(
        self,
        *,
        variables: Mapping[str, Type | Declared],
        libraries: Iterable[Library] = (),
        homogeneous: bool = False,
        object_type: Callable[[str], Type | None] = _no_object,
        field_type: Callable[[str, str], Type | None] | None = None,
    ) -> None:
        self._libraries = (standard.LIBRARY, *libraries)
        self._homogeneous = homogeneous
        self._object_type = object_type
        self._field_type = field_type
        self._functions = _merged(self._libraries)
        self._macros: tuple[Macro, ...] = tuple(macro for library in self._libraries for macro in library.macros)
        self._type_names = {named.name: named for library in self._libraries for named in library.types}
        self._declare(variables)

    def _declare(self, variables: Mapping[str, Type | Declared]) -> None:
        self._declared = {name: found for name, found in variables.items() if isinstance(found, Declared)}
        objects = {item.type.name: item for found in self._declared.values() for item in found.objects()}
        extra = self._field_type

        def field_type(type_name: str, field: str) -> Type | None:
            declared = objects.get(type_name)
            if declared is not None:
                found = declared.field(field)
                return None if found is None else found.type
            return extra(type_name, field) if extra is not None else None

        self._scope = Scope(
            variables={name: found if isinstance(found, Type) else found.type for name, found in variables.items()},
            functions=self._functions,
            type_names=self._type_names,
            field_type=field_type,
            object_type=self._object_type,
            homogeneous=self._homogeneous,
        )

    def with_variables(self, variables: Mapping[str, Type | Declared]) -> Environment:
        """The same libraries for other variables, at no cost."""
        other = object.__new__(Environment)
        other.__dict__.update(self.__dict__)
        other._declare(variables)
        return other

    def compile(self, text: str) -> Program:
        """Raises ``CompileError`` with every complaint and its position, or ``InstantiationError``."""
        expr = parse(text, self._macros)
        checked = check(expr, text, self._scope)
        issues = [*_literal_issues(expr), *_format_issues(expr, checked)]
        if issues:
            raise CompileError(text, issues)
        _prepare_patterns(expr)
        try:
            compiled = compile_expression(checked, self._declared)
        except RecursionError:
            raise CompileError(text, [Issue(message="max recursion depth exceeded", offset=-1)]) from None
        return Program(text, checked, compiled, self._declared)


def _merged(libraries: Iterable[Library]) -> dict[str, Function]:
    overloads: dict[str, list[Overload]] = {}
    for library in libraries:
        for function in library.functions:
            overloads.setdefault(function.name, []).extend(function.overloads)
    return {name: Function(name, tuple(found)) for name, found in overloads.items()}


_LITERAL_CHECKS: dict[tuple[str, type], Callable[[Any], object]] = {
    ("duration", str): string_to_duration,
    ("duration", int): int_to_duration,
    ("timestamp", str): string_to_timestamp,
    ("timestamp", int): int_to_timestamp,
    ("matches", str): regexes.compiled,
}


def _literal_issues(expr: Expr) -> Iterable[Issue]:
    """Durations, times and patterns that are written out and wrong."""
    for node in walk(expr):
        if not isinstance(node, Call) or not node.arguments:
            continue
        argument = node.arguments[0]
        if not isinstance(argument, Literal):
            continue
        literal_check = _LITERAL_CHECKS.get((node.function, type(argument.value)))
        try:
            if literal_check is not None:
                literal_check(argument.value)
        except (ValueError, EvaluationError):
            yield Issue(message=f"invalid {node.function} argument", offset=argument.offset)


def _format_issues(expr: Expr, checked: Checked) -> Iterable[Issue]:
    """Calls of ``format`` that are written out, template and arguments, and will fail."""
    for node in walk(expr):
        if not isinstance(node, Call) or node.function != "format" or not isinstance(node.target, Literal):
            continue
        given = node.arguments[0] if len(node.arguments) == 1 else None
        if isinstance(given, ListLiteral) and isinstance(node.target.value, str):
            try:
                check_template(node.target.value, [checked.types[item.id] for item in given.elements])
            except Misformatted as error:
                culprit = node if error.at is None else given.elements[error.at]
                yield Issue(message=str(error), offset=culprit.offset)


def _prepare_patterns(expr: Expr) -> None:
    """Patterns of ``find`` and ``findAll`` that are written out and wrong. Raises ``InstantiationError``."""
    for node in walk(expr):
        if isinstance(node, Call) and node.function in ("find", "findAll") and node.arguments:
            pattern = node.arguments[0]
            if isinstance(pattern, Literal) and isinstance(pattern.value, str):
                try:
                    regexes.compiled(pattern.value)
                except ValueError as error:
                    raise InstantiationError(str(error)) from error
