"""Variables, fields, indices and presence tests, compiled."""

from __future__ import annotations

from typing import Any

from steersman.cel.code import COST, Code, Frame, Run
from steersman.cel.costs import IDENT, SELECT
from steersman.cel.errors import EvaluationError
from steersman.cel.values import NONE, ObjectValue, OptionalValue, Value, map_key, shown, type_of

PENDING = object()
"""In the slot of a ``cel.bind`` variable that nobody has asked for."""


def variable(slot: int) -> Code:
    def run(frame: Frame) -> Value:
        return frame[slot]

    return Code(run, IDENT, path=True, root=IDENT, slot=slot)


def bound_variable(slot: int, initial: Code) -> Code:
    """A variable of ``cel.bind``, evaluated when first needed."""
    evaluate, cost = initial.run, initial.cost

    def run(frame: Frame) -> Value:
        value = frame[slot]
        if value is PENDING:
            frame[COST] += cost
            value = frame[slot] = evaluate(frame)
        return value

    return Code(run, IDENT, path=True, root=IDENT)


def _extended(operand: Code, run: Run, more: int = SELECT) -> Code:
    if operand.path:
        return Code(run, operand.cost + more, path=True, root=operand.root)
    return Code(run, operand.cost + more + IDENT, path=True, root=IDENT)


def property_of(operand: Code, name: str) -> Code:
    """A field of an object whose type is known; null counts as absent."""
    get = operand.run
    if operand.slot:
        slot = operand.slot

        def run_directly(frame: Frame) -> Value:
            try:
                value = frame[slot][name]
            except (KeyError, TypeError):
                value = None
            if value is None:
                raise EvaluationError(f"no such key: {name}")
            return value

        return _extended(operand, run_directly)

    def run(frame: Frame) -> Value:
        try:
            value = get(frame)[name]
        except (KeyError, TypeError):
            value = None
        if value is None:
            raise EvaluationError(f"no such key: {name}")
        return value

    return _extended(operand, run)


def selected(operand: Code, name: str) -> Code:
    """A field of a map, of an optional or of what is known at evaluation only."""
    get = operand.run

    def run(frame: Frame) -> Value:
        target = get(frame)
        try:
            return target[name]
        except KeyError:
            raise EvaluationError(f"no such key: {name}") from None
        except TypeError:
            return select(target, name)

    return _extended(operand, run)


def select(target: Any, name: str) -> Value:
    if isinstance(target, OptionalValue):
        return optional_select(target, name)
    fields = target.fields if isinstance(target, ObjectValue) else target
    if isinstance(fields, dict) and name in fields:
        return fields[name]
    raise EvaluationError(f"no such key: {name}")


def optional_select(target: Any, name: str) -> OptionalValue:
    """``target.?name``"""
    if isinstance(target, OptionalValue):
        if not target.present:
            return NONE
        target = target.value
    fields = target.fields if isinstance(target, ObjectValue) else target
    if not isinstance(fields, dict):
        raise EvaluationError(f"no such key: {name}")
    value = fields.get(name, PENDING)
    return NONE if value is PENDING else OptionalValue(value)


def optionally_selected(operand: Code, name: str, *, nulls_absent: bool) -> Code:
    get = operand.run

    def run(frame: Frame) -> Value:
        found = optional_select(get(frame), name)
        if not found.present or (nulls_absent and found.value is None):
            return NONE
        frame[COST] += SELECT
        return found

    return _extended(operand, run, 0)


def present(operand: Code, name: str, *, nulls_absent: bool) -> Code:
    """``has(operand.name)``"""
    get = operand.run

    def run(frame: Frame) -> Value:
        target = get(frame)
        if isinstance(target, OptionalValue):
            target = target.value
        fields = target.fields if isinstance(target, ObjectValue) else target
        if not isinstance(fields, dict):
            return False
        try:
            value = fields[name]
        except KeyError:
            return False
        return value is not None or not nulls_absent

    extended = _extended(operand, run)
    return Code(run, extended.embedded_cost)


def index(operand: Code, position: Code, *, optional: bool) -> Code:
    get, at = operand.run, position.run
    more = SELECT + (position.embedded_cost if position.path else position.cost)
    if optional:

        def run_optional(frame: Frame) -> Value:
            target = get(frame)
            found = optional_item(target, at(frame))
            if found.present:
                frame[COST] += SELECT
            return found

        return _extended(operand, run_optional, more - SELECT)

    def run(frame: Frame) -> Value:
        target = get(frame)
        return item(target, at(frame))

    return _extended(operand, run, more)


def item(target: Value, position: Value) -> Value:
    """``target[position]``"""
    if isinstance(target, list):
        number = _list_index(position)
        if 0 <= number < len(target):
            return target[number]
        raise EvaluationError(f"index out of bounds: {shown(position)}")
    if isinstance(target, dict):
        try:
            return target[map_key(position)]
        except KeyError:
            raise EvaluationError(f"no such key: {shown(position)}") from None
    if isinstance(target, OptionalValue):
        return optional_item(target, position)
    if isinstance(target, ObjectValue) and isinstance(position, str):
        return select(target, position)
    raise EvaluationError(f"no such key: {shown(position)}")


def optional_item(target: Value, position: Value) -> OptionalValue:
    """``target[?position]``"""
    if isinstance(target, OptionalValue):
        if not target.present:
            return NONE
        target = target.value
    if isinstance(target, list):
        number = _list_index(position)
        return OptionalValue(target[number]) if 0 <= number < len(target) else NONE
    if isinstance(target, dict):
        value = target.get(map_key(position), PENDING)
        return NONE if value is PENDING else OptionalValue(value)
    raise EvaluationError(f"no such key: {shown(position)}")


def _list_index(position: Value) -> int:
    if type(position) is int:
        return position
    if isinstance(position, bool | str | bytes) or position is None or not isinstance(position, int | float):
        raise EvaluationError(f"unsupported index type '{type_of(position).name}' in list")
    if position != position or position != int(position):
        raise EvaluationError(f"unsupported index value {shown(position)} in list")
    return int(position)
