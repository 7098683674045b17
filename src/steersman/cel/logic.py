"""``&&``, ``||``, ``?:`` and optionals' ``or``, compiled: what is not needed is neither evaluated nor charged."""

from __future__ import annotations

from collections.abc import Sequence

from steersman.cel.code import COST, Code, Frame, Run
from steersman.cel.errors import EvaluationError, no_such_overload
from steersman.cel.types import Type
from steersman.cel.values import OptionalValue, Value


def checked_bool(term: Code, found: Type) -> Run:
    """A term that gives a bool; where types cannot promise it, anything else is an error."""
    get = term.run
    if found.kind == "bool" and not term.path:
        return get

    def run(frame: Frame) -> Value:
        value = get(frame)
        if value is True or value is False:
            return value
        raise no_such_overload()

    return run


def combination(terms: Sequence[Code], term_types: Sequence[Type], *, decisive: bool) -> Code:
    """``&&`` (decided by a False) or ``||`` (by a True), whatever errors other terms give and in whatever order."""
    runs = [checked_bool(term, found) for term, found in zip(terms, term_types, strict=True)]
    first, rest = runs[0], list(zip(runs[1:], (term.cost for term in terms[1:]), strict=True))
    if len(rest) == 1:
        second, cost = rest[0]

        def run_two(frame: Frame) -> Value:
            try:
                if first(frame) is decisive:
                    return decisive
            except EvaluationError as failure:
                frame[COST] += cost
                if _decides(second, frame, decisive):
                    return decisive
                raise failure from None
            frame[COST] += cost
            return second(frame)

        return Code(run_two, terms[0].cost)

    def run(frame: Frame) -> Value:
        failure: EvaluationError | None = None
        try:
            if first(frame) is decisive:
                return decisive
        except EvaluationError as error:
            failure = error
        for term, cost in rest:
            frame[COST] += cost
            try:
                if term(frame) is decisive:
                    return decisive
            except EvaluationError as error:
                failure = failure or error
        if failure is not None:
            raise failure
        return not decisive

    return Code(run, terms[0].cost)


def _decides(term: Run, frame: Frame, decisive: bool) -> bool:
    try:
        return term(frame) is decisive
    except EvaluationError:
        return False


def conditional(condition: Code, chosen: Code, otherwise: Code) -> Code:
    test, first, second = condition.run, chosen.run, otherwise.run
    first_cost, second_cost = chosen.embedded_cost, otherwise.embedded_cost

    def run(frame: Frame) -> Value:
        value = test(frame)
        if value is True:
            frame[COST] += first_cost
            return first(frame)
        if value is False:
            frame[COST] += second_cost
            return second(frame)
        raise no_such_overload()

    return Code(run, condition.cost, path=True)


def optional_or(operand: Code, alternative: Code, *, unwrapped: bool) -> Code:
    """``a.or(b)``; unwrapped, ``a.orValue(b)``."""
    get, other, cost = operand.run, alternative.run, alternative.cost

    def run(frame: Frame) -> Value:
        value = get(frame)
        if not isinstance(value, OptionalValue):
            raise no_such_overload()
        if value.present:
            return value.value if unwrapped else value
        frame[COST] += cost
        return other(frame)

    return Code(run, operand.cost)
