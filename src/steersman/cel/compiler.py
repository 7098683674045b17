"""Typed expressions into closures: nothing of the expression's tree is looked at again when it is evaluated."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct

from steersman.cel import calls, folds, logic, places
from steersman.cel.ast import (
    ACCUMULATOR,
    Call,
    Comprehension,
    Expr,
    Ident,
    ListLiteral,
    Literal,
    MapLiteral,
    ObjectLiteral,
    Select,
)
from steersman.cel.checker import Checked, Resolved
from steersman.cel.code import FIRST_VARIABLE, Code, Frame, Run, constant
from steersman.cel.costs import NEW_LIST, NEW_MAP, NEW_OBJECT
from steersman.cel.errors import EvaluationError
from steersman.cel.schemas import Declared, property_name
from steersman.cel.types import Type
from steersman.cel.values import ObjectValue, OptionalValue, Uint, Value, map_key

_CONVERSIONS = frozenset({"bool", "bytes", "double", "duration", "dyn", "int", "string", "timestamp", "type", "uint"})
"""Folded when their operand is written out."""
_PRIMITIVE = frozenset({bool, int, Uint, float, str})


class Compiled(Struct, frozen=True):
    code: Code
    variables: tuple[str, ...]
    """Names in the order of their slots in the frame."""
    locals: int
    """How many slots local variables take."""


def compile_expression(checked: Checked, declared: Mapping[str, Declared]) -> Compiled:
    """``declared``: variables whose values are to be adapted to their schema."""
    names = checked.variables
    compiler = _Compiler(checked, declared, {name: FIRST_VARIABLE + at for at, name in enumerate(names)})
    code = compiler.compile(checked.expr)
    return Compiled(code, names, compiler.next_slot - FIRST_VARIABLE - len(names))


class _Compiler:
    def __init__(self, checked: Checked, declared: Mapping[str, Declared], slots: dict[str, int]) -> None:
        self._checked = checked
        self._declared = declared
        self._globals = slots
        self._locals: list[dict[str, Code]] = []
        self.next_slot = FIRST_VARIABLE + len(slots)

    def compile(self, expr: Expr) -> Code:
        code, declared = self._raw(expr)
        if declared is None or declared.adapt is None:
            return code
        return _adapted(code, declared.adapt)

    def _raw(self, expr: Expr) -> tuple[Code, Declared | None]:
        """The code of a place below a variable with a schema, its value not adapted yet, and the schema of that place.

        Without a schema: the code as it is to be used.
        """
        match expr:
            case Literal():
                return constant(expr.value), None
            case Ident():
                return self._name(expr)
            case Select():
                return self._select(expr)
            case Call(function="_[_]"):
                return self._index(expr)
            case Call():
                return self._call(expr), None
            case ListLiteral():
                return self._list(expr), None
            case MapLiteral():
                return self._map(expr), None
            case ObjectLiteral():
                return self._object(expr), None
            case Comprehension():
                return self._comprehension(expr), None

    def _type(self, expr: Expr) -> Type:
        return self._checked.types[expr.id]

    def _name(self, expr: Ident | Select) -> tuple[Code, Declared | None]:
        named = self._checked.constants.get(expr.id)
        if named is not None:
            return constant(named), None
        name = self._checked.names[expr.id]
        for local in reversed(self._locals):
            if name in local:
                return local[name], None
        return places.variable(self._globals[name]), self._declared.get(name)

    def _select(self, expr: Select) -> tuple[Code, Declared | None]:
        if expr.id in self._checked.names:
            return self._name(expr)
        operand, declared = self._raw(expr.operand)
        if declared is not None and declared.fields is not None:
            name = property_name(expr.field)
            if expr.test_only:
                return places.present(operand, name, nulls_absent=not declared.keeps_nulls), None
            if declared.keeps_nulls:
                return places.selected(operand, name), declared.field(expr.field)
            return places.property_of(operand, name), declared.field(expr.field)
        if declared is not None and declared.element is None and declared.adapt is not None:
            operand = _adapted(operand, declared.adapt)
        if expr.test_only:
            return places.present(operand, expr.field, nulls_absent=False), None
        if self._type(expr.operand).kind == "object" and self._is_schema_object(expr.operand):
            return places.property_of(operand, property_name(expr.field)), None
        return places.selected(operand, expr.field), None if declared is None else declared.element

    def _is_schema_object(self, expr: Expr) -> bool:
        return self._type(expr).name.partition(".")[0] not in ("Object", "JSONPatch")

    def _index(self, expr: Call) -> tuple[Code, Declared | None]:
        operand, declared = self._raw(expr.arguments[0])
        if declared is not None and declared.element is None and declared.adapt is not None:
            operand = _adapted(operand, declared.adapt)
        position = self.compile(expr.arguments[1])
        return places.index(operand, position, optional=False), None if declared is None else declared.element

    def _call(self, expr: Call) -> Code:
        resolved = self._checked.calls[expr.id]
        match expr.function:
            case "_?._":
                field = expr.arguments[1]
                assert isinstance(field, Literal)
                typed = self._type(expr.arguments[0])
                schema = typed.kind == "object" and self._is_schema_object(expr.arguments[0])
                operand = self.compile(expr.arguments[0])
                name = property_name(field.value) if schema else field.value
                return places.optionally_selected(operand, name, nulls_absent=schema)
            case "_[?_]":
                return places.index(self.compile(expr.arguments[0]), self.compile(expr.arguments[1]), optional=True)
        operands = (*((resolved.target,) if resolved.target is not None else ()), *expr.arguments)
        codes = [self.compile(operand) for operand in operands]
        found = [self._type(operand) for operand in operands]
        return self._operator(resolved, codes, found) or self._function(resolved, codes, found)

    def _operator(self, resolved: Resolved, codes: list[Code], found: list[Type]) -> Code | None:
        """What is not simply a function of its operands' values."""
        match resolved.function:
            case "_&&_":
                return logic.combination(codes, found, decisive=False)
            case "_||_":
                return logic.combination(codes, found, decisive=True)
            case "_?_:_":
                return logic.conditional(codes[0], codes[1], codes[2])
            case "!_":
                return calls.negation(codes[0], found[0])
            case "_==_" | "_!=_":
                return calls.equality(codes, found, negated=resolved.function == "_!=_")
            case "@in" if found[1].kind == "list":
                return calls.membership(codes[0], codes[1])
            case "or" | "orValue" if resolved.overloads[0].implement is None:
                return logic.optional_or(codes[0], codes[1], unwrapped=resolved.function == "orValue")
        return None

    def _function(self, resolved: Resolved, codes: list[Code], found: list[Type]) -> Code:
        code = calls.call(resolved.function, resolved.overloads, codes, found)
        if resolved.function in _CONVERSIONS and len(codes) == 1 and codes[0].constant:
            try:
                return constant(code.run([0, 2**64]))
            except EvaluationError:
                return code
        if resolved.function == "@in" and _is_primitive_list(codes[1]):
            return Code(_without_cost(code), codes[0].cost)
        return code

    def _list(self, expr: ListLiteral) -> Code:
        codes = [self.compile(element) for element in expr.elements]
        if not expr.optional:
            if all(code.constant for code in codes):
                return constant([code.value for code in codes])
            runs = [code.run for code in codes]
            return Code(lambda frame: [run(frame) for run in runs], NEW_LIST + sum(code.cost for code in codes))
        parts = [(code.run, index in expr.optional) for index, code in enumerate(codes)]

        def run_optional(frame: Frame) -> Value:
            result = []
            for run, optional in parts:
                value = run(frame)
                if not optional:
                    result.append(value)
                elif _opened(value).present:
                    result.append(value.value)
            return result

        return Code(run_optional, NEW_LIST + sum(code.cost for code in codes))

    def _map(self, expr: MapLiteral) -> Code:
        parts: list[tuple[Code, Code, bool]] = []
        for entry in expr.entries:
            assert not isinstance(entry.key, str)
            parts.append((self.compile(entry.key), self.compile(entry.value), entry.optional))
        if all(key.constant and value.constant and not optional for key, value, optional in parts):
            try:
                return constant({map_key(key.value): value.value for key, value, _ in parts})
            except EvaluationError:
                pass

        def run(frame: Frame) -> Value:
            result = {}
            for key, value, optional in parts:
                name, made = map_key(key.run(frame)), value.run(frame)
                if not optional:
                    result[name] = made
                elif _opened(made).present:
                    result[name] = made.value
            return result

        return Code(run, NEW_MAP + sum(key.cost + value.cost for key, value, _ in parts))

    def _object(self, expr: ObjectLiteral) -> Code:
        parts = [(str(entry.key), self.compile(entry.value), entry.optional) for entry in expr.fields]
        type_name = self._type(expr).name

        def run(frame: Frame) -> Value:
            fields = {}
            for name, code, optional in parts:
                value = code.run(frame)
                if not optional:
                    fields[name] = value
                elif _opened(value).present:
                    fields[name] = value.value
            return ObjectValue(type_name, fields)

        return Code(run, NEW_OBJECT + sum(code.cost for _, code, _ in parts))

    def _slot(self) -> int:
        self.next_slot += 1
        return self.next_slot - 1

    def _comprehension(self, expr: Comprehension) -> Code:
        if expr.macro == "bind":
            slot = self._slot()
            initial = self.compile(expr.initial)
            self._locals.append({expr.accumulator: places.bound_variable(slot, initial)})
            body = self.compile(expr.result)
            self._locals.pop()
            return folds.binding(slot, body)
        over = self.compile(expr.range)
        slot, second = self._slot(), self._slot() if expr.second_variable else 0
        elements = folds.Elements(over, self._type(expr.range), slot, second)
        variables = {expr.variable: places.variable(slot), ACCUMULATOR: constant(None)}
        if expr.second_variable:
            variables[expr.second_variable] = places.variable(second)
        self._locals.append(variables)
        try:
            return self._loop(expr, elements, over)
        finally:
            self._locals.pop()

    def _loop(self, expr: Comprehension, elements: folds.Elements, over: Code) -> Code:
        step = expr.step
        assert isinstance(step, Call)
        if expr.macro in ("all", "exists"):
            predicate = self.compile(step.arguments[1])
            test = logic.checked_bool(predicate, self._type(step.arguments[1]))
            return folds.quantifier(elements, over, predicate, test, decisive=expr.macro == "exists")
        wanted: tuple[Code, Run] | None = None
        if step.function == "_?_:_":
            predicate = self.compile(step.arguments[0])
            wanted = predicate, logic.checked_bool(predicate, self._type(step.arguments[0]))
            inner = step.arguments[1]
            assert isinstance(inner, Call)
            step = inner
        if expr.macro == "exists_one":
            assert wanted is not None
            return folds.exactly_one(elements, over, *wanted)
        if step.function == "_+_":
            made = step.arguments[1]
            assert isinstance(made, ListLiteral)
            return folds.collection(elements, over, wanted, self.compile(made.elements[0]))
        operands = [self.compile(operand) for operand in step.arguments[1:]]
        return folds.mapping(elements, over, wanted, operands[0] if len(operands) == 2 else None, operands[-1])


def _is_primitive_list(elements: Code) -> bool:
    """Written out and of values that hash: looked up rather than searched, and not charged."""
    if not elements.constant or not isinstance(elements.value, list):
        return False
    return all(type(item) in _PRIMITIVE for item in elements.value)


def _opened(value: Value) -> OptionalValue:
    if not isinstance(value, OptionalValue):
        raise EvaluationError(f"cannot initialize optional entry '{value}' from non-optional value")
    return value


def _without_cost(code: Code) -> Callable[[Frame], Value]:
    run = code.run

    def uncharged(frame: Frame) -> Value:
        before = frame[0]
        value = run(frame)
        frame[0] = before
        return value

    return uncharged


def _adapted(code: Code, adapt: Callable[[Value], Value]) -> Code:
    get = code.run

    def run(frame: Frame) -> Value:
        return adapt(get(frame))

    return Code(run, code.cost, path=code.path, root=code.root)
