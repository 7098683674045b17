"""What an expression can cost at most, before it has been evaluated: by the sizes that schemas allow.

Follows cel-go's estimator on expanded macros and kube-apiserver's sizes, since a rule that is estimated too high is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from steersman.cel import types
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
from steersman.cel.costs import (
    NEW_LIST,
    NEW_MAP,
    NEW_OBJECT,
    ONE,
    UNBOUNDED,
    UNKNOWN,
    Estimate,
    Range,
    fixed,
)
from steersman.cel.schemas import Declared
from steersman.cel.types import Type
from steersman.cel.values import Value, size_of

_FREE = fixed(0)
_SIZED_SCALARS = frozenset({"bool", "double", "duration", "int", "timestamp", "uint"})


class _Facts(Struct, frozen=True):
    """What is known about the value of a part of the expression."""

    size: Range | None = None
    key_size: Range | None = None
    element_size: Range | None = None
    """Of a container that the expression makes; keys and elements are known together."""
    place: Declared | None = None
    """Where in a schema it comes from; ``_NOWHERE`` if such a place does not exist."""


_NOTHING = _Facts()
_NOWHERE = Declared(type=types.ERROR)


def estimate(checked: Checked, declared: Mapping[str, Declared]) -> Range:
    """The least and the most that an evaluation costs."""
    return _Estimator(checked, declared).cost(checked.expr)


class _Estimator:
    def __init__(self, checked: Checked, declared: Mapping[str, Declared]) -> None:
        self._checked = checked
        self._declared = declared
        self._root = next(iter(declared.values()), None)
        self._locals: list[dict[str, _Facts]] = []
        self._facts: dict[int, _Facts] = {}

    def cost(self, expr: Expr) -> Range:
        match expr:
            case Literal():
                self._facts[expr.id] = _Facts(size=None if isinstance(expr.value, Type) else fixed(size_of(expr.value)))
                return _FREE
            case Ident():
                self._facts[expr.id] = self._named(expr)
                return ONE
            case Select():
                return self._select(expr)
            case Call():
                return self._call(expr)
            case ListLiteral():
                return self._list(expr)
            case MapLiteral():
                return self._map(expr)
            case ObjectLiteral():
                return self._sum(*(self.cost(entry.value) for entry in expr.fields)) + fixed(NEW_OBJECT)
            case Comprehension():
                return self._bind(expr) if expr.macro == "bind" else self._fold(expr)

    @staticmethod
    def _sum(*costs: Range) -> Range:
        total = _FREE
        for cost in costs:
            total = total + cost
        return total

    def _type(self, expr: Expr) -> Type:
        return self._checked.types.get(expr.id, types.DYN)

    def facts(self, expr: Expr) -> _Facts:
        return self._facts.get(expr.id, _NOTHING)

    def size(self, expr: Expr) -> Range:
        """UNKNOWN where nothing bounds it."""
        return self._known_size(expr) or UNKNOWN

    def _known_size(self, expr: Expr) -> Range | None:
        known = self.facts(expr)
        if isinstance(expr, Ident) and known.place is not None and known.place is not _NOWHERE:
            return Range(0, known.place.max_elements)
        if known.size is not None:
            return known.size
        if known.place is not None and known.place is not _NOWHERE:
            return Range(0, known.place.max_elements)
        return ONE if _is_scalar(self._type(expr)) else None

    def _named(self, expr: Ident | Select) -> _Facts:
        name = self._checked.names.get(expr.id, "")
        for local in reversed(self._locals):
            if name in local:
                return local[name]
        return _Facts(place=self._declared.get(name) or self._root)

    def _below(self, place: Declared | None, field: str = "", *, key: bool = False) -> Declared | None:
        """The place of a field (else of an element, or of a map's key) below another.

        What is below no place is taken for the root: so does kube-apiserver, and limits of rules are in its numbers.
        """
        if place is None:
            return self._root
        if field:
            return place.field(field) or _NOWHERE
        if key:
            return _KEY if place.type.kind == "map" else _NOWHERE
        return place.element or _NOWHERE

    def _select(self, expr: Select) -> Range:
        if expr.id in self._checked.names:
            self._facts[expr.id] = self._named(expr)
            return ONE
        cost = self.cost(expr.operand)
        if expr.test_only:
            return cost
        self._facts[expr.id] = _Facts(place=self._below(self.facts(expr.operand).place, expr.field))
        return cost + ONE if self._type(expr.operand).kind in ("map", "object", "param") else cost

    def _call(self, expr: Call) -> Range:
        resolved = self._checked.calls[expr.id]
        if resolved.function == "dyn":
            cost = self.cost(expr.arguments[0])
            self._facts[expr.id] = replace(
                self.facts(expr.arguments[0]), place=None, size=self._known_size(expr.arguments[0])
            )
            return cost + ONE
        operands = (*((resolved.target,) if resolved.target is not None else ()), *expr.arguments)
        costs = [self.cost(operand) for operand in operands]
        found = self._special(expr, resolved, operands, costs)
        if found is not None:
            return found
        if not resolved.overloads:
            return _FREE
        known = _KnownOperands(self, operands)
        charged: Range | None = None
        size: Range | None = None
        for overload in resolved.overloads:
            one = Estimate(ONE) if overload.cost is None else overload.cost.estimate(known)
            charged = one.cost if charged is None else charged.union(one.cost)
            if one.result is not None:
                size = one.result if size is None else size.union(one.result)
        self._remember_call(expr, resolved, operands, size)
        return self._sum(*costs) + (charged or _FREE)

    def _special(
        self, expr: Call, resolved: Resolved, operands: Sequence[Expr], costs: Sequence[Range]
    ) -> Range | None:
        if resolved.function in ("_&&_", "_||_"):
            return Range(costs[0].min, self._sum(*costs).max)
        if resolved.function == "_?:_" or resolved.function == "_?_:_":
            _, chosen, otherwise = operands
            first, second = self.facts(chosen), self.facts(otherwise)
            self._facts[expr.id] = _union(first, second, self.size(chosen).union(self.size(otherwise)))
            return costs[0] + costs[1].union(costs[2])
        if resolved.function in ("_==_", "_!=_"):
            kinds = {self._type(operand).name for operand in operands}
            if len(kinds) == 1 and kinds <= _CHEAPLY_EQUAL:
                return self._sum(*costs) + ONE
        return None

    def _remember_call(self, expr: Call, resolved: Resolved, operands: Sequence[Expr], size: Range | None) -> None:
        if resolved.function == "_[_]":
            operand = self.facts(operands[0])
            self._facts[expr.id] = _Facts(size=operand.element_size, place=self._below(operand.place))
            return
        elements: Range | None = None
        keys: Range | None = None
        if resolved.function == "_+_":
            joined = _union(self.facts(operands[0]), self.facts(operands[1]), None)
            elements, keys = joined.element_size, joined.key_size
        self._facts[expr.id] = _Facts(size=size, element_size=elements, key_size=keys)

    def _list(self, expr: ListLiteral) -> Range:
        cost = fixed(NEW_LIST)
        elements: Range | None = None if expr.elements else _FREE
        for element in expr.elements:
            cost = cost + self.cost(element)
            size = self.size(element)
            elements = size if elements is None else elements.union(size)
        self._facts[expr.id] = _Facts(size=fixed(len(expr.elements)), key_size=ONE, element_size=elements)
        return cost

    def _map(self, expr: MapLiteral) -> Range:
        cost = fixed(NEW_MAP)
        keys: Range | None = None if expr.entries else _FREE
        values: Range | None = None if expr.entries else _FREE
        for entry in expr.entries:
            assert not isinstance(entry.key, str)
            cost = cost + self.cost(entry.key) + self.cost(entry.value)
            key, value = self.size(entry.key), self.size(entry.value)
            keys = key if keys is None else keys.union(key)
            values = value if values is None else values.union(value)
        self._facts[expr.id] = _Facts(size=fixed(len(expr.entries)), key_size=keys, element_size=values)
        return cost

    def _bind(self, expr: Comprehension) -> Range:
        cost = fixed(NEW_LIST) + self.cost(expr.initial)
        known = self.facts(expr.initial)
        self._locals.append({expr.accumulator: replace(known, size=known.size or self._known_size(expr.initial))})
        cost = cost + self.cost(expr.result)
        self._locals.pop()
        self._facts[expr.id] = replace(self.facts(expr.result), place=None, size=self._known_size(expr.result))
        return cost

    def _fold(self, expr: Comprehension) -> Range:
        cost = self.cost(expr.range) + self.cost(expr.initial)
        initial = self.facts(expr.initial)
        self._locals.append({ACCUMULATOR: replace(initial, place=None)})
        self._locals.append(self._element_facts(expr))
        each = self.cost(expr.condition) + self.cost(expr.step)
        self._locals.pop()
        cost = cost + self.cost(expr.result)
        self._locals.pop()
        count = self.size(expr.range)
        if isinstance(expr.initial, Literal):
            self._facts[expr.id] = _Facts(size=fixed(size_of(expr.initial.value)))
        else:
            step = self.facts(expr.step)
            self._facts[expr.id] = _Facts(size=count, key_size=step.key_size, element_size=step.element_size)
        return cost + count * each

    def _element_facts(self, expr: Comprehension) -> dict[str, _Facts]:
        over = self.facts(expr.range)
        is_list = self._type(expr.range).kind == "list"
        element = _Facts(size=over.element_size, place=self._below(over.place))
        key = _Facts(size=over.key_size, place=self._below(over.place, key=True))
        if expr.second_variable:
            return {expr.variable: key, expr.second_variable: element}
        return {expr.variable: element if is_list else key}


_KEY = Declared(type=types.STRING, max_elements=0)
"""Keys of maps have no bound of their own in schemas; upstream counts them as empty."""
_CHEAPLY_EQUAL = frozenset(
    {
        "net.IP", "net.CIDR", "kubernetes.Quantity", "kubernetes.Semver", "kubernetes.URL",
        "kubernetes.authorization.Authorizer", "kubernetes.authorization.PathCheck",
        "kubernetes.authorization.GroupCheck", "kubernetes.authorization.ResourceCheck",
        "kubernetes.authorization.Decision",
    }
)  # fmt: skip


def _is_scalar(found: Type) -> bool:
    return found.kind in _SIZED_SCALARS or (types.is_optional(found) and _is_scalar(found.parameters[0]))


def _union(first: _Facts, second: _Facts, size: Range | None) -> _Facts:
    keys = elements = None
    if first.element_size is not None and second.element_size is not None:
        elements = first.element_size.union(second.element_size)
    if first.key_size is not None and second.key_size is not None:
        keys = first.key_size.union(second.key_size)
    return _Facts(size=size, key_size=keys, element_size=elements)


class _KnownOperands:
    """``costs.Operands`` of one call."""

    def __init__(self, estimator: _Estimator, operands: Sequence[Expr]) -> None:
        self._estimator = estimator
        self._operands = operands
        self.count = len(operands)

    def size(self, index: int) -> Range:
        return self._estimator.size(self._operands[index])

    def element_size(self, index: int) -> Range | None:
        found = self.element_type(index)
        if found is None:
            return None
        known = self._estimator.facts(self._operands[index])
        below = None if known.place is None else known.place.element
        if below is not None:
            return Range(0, below.max_elements)
        return Range(0, UNBOUNDED)

    def type(self, index: int) -> Type:
        return self._estimator._type(self._operands[index])

    def element_type(self, index: int) -> Type | None:
        found = self.type(index)
        return found.parameters[0] if found.parameters else None

    def literal(self, index: int) -> Value:
        operand = self._operands[index]
        return operand.value if isinstance(operand, Literal) else None
