"""CEL rules of schemas (``x-kubernetes-validations``), evaluated on custom resources.

Upstream's limits hold: a rule may cost ``PER_CALL_LIMIT``, all the rules of an object together ``OBJECT_BUDGET``; then
evaluation ends with an error. Wording, fields and what is forgiven on updates are upstream's.
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-rules
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from steersman.cel import CELError, CostLimitExceeded, Declared, declare
from steersman.cel.schemas import escape
from steersman.cel.transitions import OLD_SELF, SELF
from steersman.cel.values import NONE, OptionalValue
from steersman.meta.errors import OMITTED, FieldError, duplicate, forbidden, invalid, required
from steersman.meta.quoting import quoted
from steersman.schema.customresources.compiledrules import VALIDATIONS, CompiledRule, compiled_rules
from steersman.schema.customresources.correlation import Correlation, composite_key, keyed, list_keys
from steersman.schema.customresources.findings import NOWHERE

Schema = Mapping[str, Any]
OBJECT_BUDGET = 10_000_000
MAX_MESSAGE_BYTES = 5 * 1024
EMBEDDED = "x-kubernetes-embedded-resource"
_OUT_OF_BUDGET = "validation failed due to running out of cost budget, no further validation rules will be run"


class Place(Struct, frozen=True, kw_only=True):
    """A part of a schema with rules at it or below it."""

    schema: Schema
    declared: Declared | None
    """None: no rules can be written for such values."""
    rules: tuple[CompiledRule, ...]
    properties: Mapping[str, Place]
    values: Place | None = None
    """Of ``additionalProperties``."""
    items: Place | None = None


class Verdict(Struct, frozen=True):
    errors: list[FieldError]
    """Those that are forgiven are in it, too: ``FieldError.forgiven``."""
    budget: int
    """What is left of it; negative: it was not enough."""


class Rules:
    """The rules of a schema."""

    __slots__ = ("_root",)

    def __init__(self, root: Place) -> None:
        self._root = root

    def errors(self, new: Any, old: Any = None) -> list[FieldError]:
        """What they say about an object; ``old`` None where it is new. Transition rules are skipped then."""
        correlation = None if old is None else Correlation(new, old, self._root.schema)
        run = _Run(budget=OBJECT_BUDGET)
        run.visit(self._root, new, old, "", _Ratchet(correlation))
        return run.errors

    def check(self, value: Any, old: Any, path: str, budget: int) -> Verdict:
        """What they say about a value at ``path``, nothing being forgiven; for defaults."""
        run = _Run(budget=budget)
        run.visit(self._root, value, old, path, _UNCORRELATED)
        return Verdict(run.errors, run.budget)


def compile_rules(schema: Schema, *, resource_root: bool = True) -> Rules | None:
    """The rules of a schema; None where there are none. ``resource_root``: it describes whole objects."""
    if not has_rules(schema):
        return None
    return Rules(compiled_places(schema, resource_root=resource_root))


def has_rules(schema: Schema) -> bool:
    return bool(schema.get(VALIDATIONS)) or any(has_rules(part) for part in _parts(schema))


def _parts(schema: Schema) -> Iterator[Schema]:
    yield from (schema.get("properties") or {}).values()
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), Mapping):
            yield schema[name]


def compiled_places(schema: Schema, *, resource_root: bool = True) -> Place:
    """The tree of a schema's rules; the same for schemas of the same content."""
    return _compiled_places(msgspec.json.encode(schema), resource_root)


@lru_cache(maxsize=256)
def _compiled_places(content: bytes, resource_root: bool) -> Place:
    schema = msgspec.json.decode(content)
    return _place(schema, declare(schema, resource_root=resource_root))


def _place(schema: Schema, declared: Declared | None) -> Place:
    properties: dict[str, Place] = {}
    for name, part in (schema.get("properties") or {}).items():
        if has_rules(part):
            properties[name] = _place(part, _declared_field(declared, name, part))
    items, values = schema.get("items"), schema.get("additionalProperties")
    element = declared.element if declared is not None else None
    return Place(
        schema=schema,
        declared=declared,
        rules=compiled_rules(schema, declared) if declared is not None else (),
        properties=properties,
        values=_element_place(values, element),
        items=_element_place(items, element),
    )


def _declared_field(declared: Declared | None, name: str, schema: Schema) -> Declared | None:
    identifier = escape(name)
    known = declared.field(identifier) if declared is not None and identifier is not None else None
    return known or declare(schema, resource_root=bool(schema.get(EMBEDDED)))


def _element_place(schema: Any, declared: Declared | None) -> Place | None:
    if not isinstance(schema, Mapping) or not has_rules(schema):
        return None
    return _place(schema, declared or declare(schema, resource_root=bool(schema.get(EMBEDDED))))


class _Ratchet(Struct, frozen=True):
    """What decides whether an error is forgiven."""

    current: Correlation | None
    nearest: Correlation | None = None
    """Of the nearest value around it."""

    @property
    def forgives(self) -> bool:
        deciding = self.current or self.nearest
        return deciding is not None and deciding.is_unchanged

    def key(self, name: str) -> _Ratchet:
        if self.current is None:
            return self
        if self.nearest is None and name in ("apiVersion", "kind"):
            return _UNCORRELATED
        return _Ratchet(self.current.key(name), self.current)

    def index(self, index: int) -> _Ratchet:
        return self if self.current is None else _Ratchet(self.current.index(index), self.current)


_UNCORRELATED = _Ratchet(None)


class _OutOfBudget(Exception):
    """Evaluation ends here; why has been told."""


class _Run(Struct):
    """One pass over an object."""

    budget: int
    errors: list[FieldError] = field(default_factory=list)

    def visit(self, place: Place, value: Any, old: Any, path: str, ratchet: _Ratchet) -> None:
        try:
            self._visit(place, value, old, path, ratchet)
        except _OutOfBudget:
            self.budget = -1

    def _visit(self, place: Place, value: Any, old: Any, path: str, ratchet: _Ratchet) -> None:
        if value is None:
            return
        if place.rules:
            self._evaluate(place, value, old, path, ratchet)
        if isinstance(value, list):
            if place.items is not None:
                self._visit_items(place, place.items, value, old, path, ratchet)
        elif isinstance(value, dict):
            self._visit_fields(place, value, old if isinstance(old, dict) else {}, path, ratchet)

    def _visit_items(
        self, place: Place, items: Place, value: list[Any], old: Any, path: str, ratchet: _Ratchet
    ) -> None:
        keys = list_keys(place.schema)
        known = keyed(old, keys)
        for index, item in enumerate(value):
            old_item = known.get(composite_key(item, keys)) if known else None
            self._visit(items, item, old_item, f"{path}[{index}]", ratchet.index(index))

    def _visit_fields(
        self, place: Place, value: Mapping[str, Any], old: Mapping[str, Any], path: str, ratchet: _Ratchet
    ) -> None:
        if place.values is not None:
            for key, item in value.items():
                self._visit(place.values, item, old.get(key), f"{path}[{key}]", ratchet.key(key))
        for name, part in place.properties.items():
            if name in value:
                at = f"{path}.{name}" if path else name
                self._visit(part, value[name], old.get(name), at, ratchet.key(name))

    def _evaluate(self, place: Place, value: Any, old: Any, path: str, ratchet: _Ratchet) -> None:
        kind = place.schema.get("type") or ""
        if self.budget <= 0:
            self._stop(path, kind, _OUT_OF_BUDGET)
        for rule in place.rules:
            if rule.error:
                self._tell(path, kind, f"rule compile error: {rule.error}")
            elif rule.program is not None:
                self._evaluate_rule(rule, kind, value, old, path, ratchet)

    def _evaluate_rule(self, rule: CompiledRule, kind: str, value: Any, old: Any, path: str, ratchet: _Ratchet) -> None:
        assert rule.program is not None
        bindings = _bindings(rule, value, old)
        if rule.is_transition and OLD_SELF not in bindings:
            return
        outcome = rule.program.measure(bindings)
        if outcome.cost > self.budget:
            self._stop(path, kind, _OUT_OF_BUDGET)
        self.budget -= outcome.cost
        if outcome.error is not None:
            self._tell_failure(rule, kind, path, outcome.error)
        elif outcome.value is not True:
            self._tell_violation(rule, kind, value, bindings, path, ratchet)

    def _tell_failure(self, rule: CompiledRule, kind: str, path: str, error: CELError) -> None:
        text = str(error)
        if isinstance(error, CostLimitExceeded):
            why = "no further validation rules will be run due to call cost exceeds limit for rule"
            self._stop(path, kind, f"'{text}': {why}: {rule.shown}")
        if text.startswith("no such overload"):
            why = "call arguments did not match a supported operator, function or macro signature for rule"
            self._tell(path, kind, f"'{text}': {why}: {rule.shown}")
        else:
            self._tell(path, kind, f"{text} evaluating rule: {rule.shown}")

    def _tell_violation(
        self, rule: CompiledRule, kind: str, value: Any, bindings: Mapping[str, Any], path: str, ratchet: _Ratchet
    ) -> None:
        forgiven = not rule.is_transition and ratchet.forgives
        if rule.field_path:
            path = f"{path}.{rule.field_path}" if path else rule.field_path
        detail = ""
        if rule.message_program is not None:
            try:
                detail = self._message(rule, bindings)
            except _MessageLimitExceeded as error:
                self.errors.append(replace(invalid(path or NOWHERE, kind, str(error)), forgiven=forgiven))
                raise _OutOfBudget from error
        detail = detail or rule.message or f"failed rule: {rule.text.strip()}"
        shown = OMITTED if kind in ("object", "array") else value
        self.errors.append(replace(_error(rule.reason, path or NOWHERE, shown, detail), forgiven=forgiven))

    def _message(self, rule: CompiledRule, bindings: Mapping[str, Any]) -> str:
        """What the rule's expression for messages gives; empty where it gives none that may be shown."""
        assert rule.message_program is not None
        outcome = rule.message_program.measure(bindings)
        if outcome.cost > self.budget:
            raise _MessageLimitExceeded(
                "messageExpression evaluation failed due to running out of cost budget, no further validation rules will be run"
            )
        if isinstance(outcome.error, CostLimitExceeded):
            why = "no further validation rules will be run due to call cost exceeds limit for messageExpression"
            raise _MessageLimitExceeded(f"{why}: {quoted(rule.message_text)}")
        self.budget -= outcome.cost
        if outcome.error is not None or not isinstance(outcome.value, str):
            return ""
        message = outcome.value.strip()
        return "" if len(message.encode()) > MAX_MESSAGE_BYTES or "\n" in message else message

    def _tell(self, path: str, kind: str, detail: str) -> None:
        self.errors.append(invalid(path or NOWHERE, kind, detail))

    def _stop(self, path: str, kind: str, detail: str) -> None:
        self._tell(path, kind, detail)
        raise _OutOfBudget


def _bindings(rule: CompiledRule, value: Any, old: Any) -> Mapping[str, Any]:
    if rule.optional_old_self:
        return {SELF: value, OLD_SELF: NONE if old is None else OptionalValue(old)}
    return {SELF: value} if old is None else {SELF: value, OLD_SELF: old}


class _MessageLimitExceeded(Exception):
    """A messageExpression cost too much."""


def _error(reason: str, path: str, value: Any, detail: str) -> FieldError:
    match reason:
        case "FieldValueForbidden":
            return forbidden(path, detail)
        case "FieldValueRequired":
            return required(path, detail)
        case "FieldValueDuplicate":
            return duplicate(path, value)
    return invalid(path, value, detail)
