"""Calls of functions and operators, compiled: straight to the implementation where types are known, else by dispatch."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence

from steersman.cel.code import COST, LIMIT, Code, Frame, Run, constant
from steersman.cel.costs import Rule, compared
from steersman.cel.declarations import Overload
from steersman.cel.errors import CostLimitExceeded, EvaluationError, no_such_overload
from steersman.cel.types import Type
from steersman.cel.values import Value, equal, type_of

_EXACTLY_ORDERED = frozenset({"int", "uint", "string", "bytes", "bool", "timestamp", "duration"})
_FIXED_SIZE = frozenset({"int", "uint", "bool", "timestamp", "duration"})
_COMPARISONS: dict[str, Callable[[Value, Value], bool]] = {
    "_<_": operator.lt,
    "_<=_": operator.le,
    "_>_": operator.gt,
    "_>=_": operator.ge,
}


def accepts(parameter: Type, value: Value, *, elements: bool = True) -> bool:
    """Whether a value that was only known as dyn suits a parameter; of a list, its first element stands for all."""
    if parameter.kind == "dyn" or parameter.kind == "param":
        return True
    found = type_of(value)
    if found.kind != parameter.kind or found.name != parameter.name:
        return False
    if elements and found.kind == "list" and value:
        return accepts(parameter.parameters[0], value[0])
    return True


def call(name: str, overloads: Sequence[Overload], arguments: Sequence[Code], argument_types: Sequence[Type]) -> Code:
    """A call whose operands are all evaluated."""
    only = overloads[0]
    known = not any(found.is_dyn for found in argument_types)
    if len(overloads) == 1 and known and only.implement is not None:
        if only.cost is None and len(arguments) == 2 and name in _COMPARISONS:
            compared_directly = _comparison(name, arguments, argument_types)
            if compared_directly is not None:
                return compared_directly
        return _direct(only.implement, only.cost, arguments)
    return _dispatched(name, overloads, arguments, charged=len(overloads) == 1 or not _is_operator(name))


def _suits(candidate: Overload, values: Sequence[Value]) -> bool:
    elements = candidate.element_guarded
    return all(
        accepts(parameter, value, elements=elements)
        for parameter, value in zip(candidate.parameters, values, strict=True)
    )


def _is_operator(name: str) -> bool:
    return name.startswith(("_", "@", "-", "!"))


def _comparison(name: str, arguments: Sequence[Code], argument_types: Sequence[Type]) -> Code | None:
    """Of two values of one type in which nothing is without order."""
    kind = argument_types[0].kind
    if kind not in _EXACTLY_ORDERED or argument_types[1].kind != kind:
        return None
    compare = _COMPARISONS[name]
    left, right = arguments[0].run, arguments[1].run

    def run(frame: Frame) -> Value:
        try:
            return compare(left(frame), right(frame))
        except TypeError:
            raise no_such_overload() from None

    return Code(run, arguments[0].cost + arguments[1].cost + 1)


def _direct(implement: Callable[..., Value], rule: Rule | None, arguments: Sequence[Code]) -> Code:
    cost = sum(argument.cost for argument in arguments)
    if rule is not None:
        return Code(_counted(implement, rule, arguments), cost)
    runs = [argument.run for argument in arguments]
    run: Run
    if len(runs) == 1:
        first = runs[0]

        def run_one(frame: Frame) -> Value:
            try:
                return implement(first(frame))
            except (TypeError, AttributeError):
                raise no_such_overload() from None

        run = run_one
    elif len(runs) == 2:
        left, right = runs

        def run_two(frame: Frame) -> Value:
            try:
                return implement(left(frame), right(frame))
            except (TypeError, AttributeError):
                raise no_such_overload() from None

        run = run_two
    else:

        def run_all(frame: Frame) -> Value:
            try:
                return implement(*[one(frame) for one in runs])
            except (TypeError, AttributeError):
                raise no_such_overload() from None

        run = run_all
    return Code(run, cost + 1)


def _counted(implement: Callable[..., Value], rule: Rule, arguments: Sequence[Code]) -> Run:
    runs = [argument.run for argument in arguments]
    actual = rule.actual

    def run(frame: Frame) -> Value:
        try:
            values = [one(frame) for one in runs]
            result = implement(*values)
        except EvaluationError:
            frame[COST] += 1
            raise
        except (TypeError, AttributeError):
            raise no_such_overload() from None
        charge(frame, actual(values, result))
        return result

    return run


def charge(frame: Frame, cost: int) -> None:
    frame[COST] += cost
    if frame[COST] > frame[LIMIT]:
        raise CostLimitExceeded


def _dispatched(name: str, overloads: Sequence[Overload], arguments: Sequence[Code], *, charged: bool) -> Code:
    """The first overload that suits the values. ``charged``: by its own rule, else 1."""
    runs = [argument.run for argument in arguments]

    def run(frame: Frame) -> Value:
        values = [one(frame) for one in runs]
        for candidate in overloads:
            if candidate.implement is not None and _suits(candidate, values):
                break
        else:
            if _is_operator(name):
                raise no_such_overload()
            raise EvaluationError(f"no such overload: {name}({', '.join(type_of(value).name for value in values)})")
        result = candidate.implement(*values)
        charge(frame, candidate.cost.actual(values, result) if charged and candidate.cost is not None else 1)
        return result

    return Code(run, sum(argument.cost for argument in arguments))


def equality(arguments: Sequence[Code], argument_types: Sequence[Type], *, negated: bool) -> Code:
    left, right = arguments[0].run, arguments[1].run
    cost = arguments[0].cost + arguments[1].cost
    kind = argument_types[0].kind
    if kind == argument_types[1].kind and kind in _FIXED_SIZE:
        compare = operator.ne if negated else operator.eq

        def run_scalar(frame: Frame) -> Value:
            return compare(left(frame), right(frame))

        return Code(run_scalar, cost + 1)

    def run(frame: Frame) -> Value:
        try:
            first, second = left(frame), right(frame)
        except EvaluationError:
            frame[COST] += 1
            raise
        charge(frame, compared(first, second))
        return equal(first, second) is not negated

    return Code(run, cost)


def membership(wanted: Code, elements: Code) -> Code | None:
    """``in`` a list that is written out in strings: no more than the operand costs."""
    if not elements.constant or not all(type(item) is str for item in elements.value):
        return None
    if not elements.value:
        return constant(False)
    members = frozenset(elements.value)
    get = wanted.run

    def run(frame: Frame) -> Value:
        value = get(frame)
        return type(value) is str and value in members

    return Code(run, wanted.cost)


def negation(operand: Code, operand_type: Type) -> Code:
    get = operand.run

    def run(frame: Frame) -> Value:
        value = get(frame)
        if value is True:
            return False
        if value is False:
            return True
        raise no_such_overload()

    return Code(run, operand.cost + 1)
