"""Rules of CEL rules: they compile, can be afforded at worst, and compare only what can be found in the old object.

What a rule can cost is estimated from the sizes that the schema allows, times how often the rule's place can occur in an object.
Limits and messages are upstream's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct, field

from steersman.cel import Program
from steersman.cel.costs import UNBOUNDED
from steersman.meta.errors import FieldError, forbidden, internal, invalid
from steersman.schema.customresources.compiledrules import VALIDATIONS, CompiledRule
from steersman.schema.customresources.rules import Place, compiled_places, has_rules

Schema = Mapping[str, Any]
RULE_LIMIT = 10_000_000
SCHEMA_LIMIT = 100_000_000
_NOT_CHEAP = SCHEMA_LIMIT // 100
_NAMED = 4
"""How many of the most expensive rules are named when all together are too expensive."""


class _Context(Struct, frozen=True, kw_only=True):
    """Of a place in the schema."""

    path: str
    occurrences: int | None = 1
    """How often it can occur in an object; None if nothing limits that."""
    uncorrelatable: str = ""
    """The path of the list around it whose elements cannot be told from old ones."""


class _Check(Struct, kw_only=True):
    schema_errors: list[FieldError]
    limits_rules: bool
    errors: list[FieldError] = field(default_factory=list)
    costs: list[tuple[int, str]] = field(default_factory=list)


def rule_errors(
    schema: Schema, path: str, schema_errors: list[FieldError], *, limits_rules: bool = True
) -> list[FieldError]:
    """What is wrong with the rules of the schema at ``path``, which is structural.

    Rules at and above places with ``schema_errors`` are left alone. ``limits_rules``: each must be affordable, which is not
    asked of schemas that have been stored before.
    """
    if not has_rules(schema):
        return []
    check = _Check(schema_errors=schema_errors, limits_rules=limits_rules)
    _check_place(check, compiled_places(schema), _Context(path=path))
    total = min(sum(cost for cost, _ in check.costs), UNBOUNDED)
    if total > SCHEMA_LIMIT:
        worst = sorted((entry for entry in check.costs if entry[0] >= _NOT_CHEAP), key=lambda entry: -entry[0])
        detail = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
        check.errors.extend(forbidden(at, detail) for _, at in worst[:_NAMED])
        name = f"{VALIDATIONS} estimated rule cost total for entire OpenAPIv3 schema"
        check.errors.append(forbidden(path, _too_expensive(name, total, SCHEMA_LIMIT)))
    return check.errors


def _check_place(check: _Check, place: Place, context: _Context) -> None:
    for part, below in _below(place, context):
        _check_place(check, part, below)
    texts = place.schema.get(VALIDATIONS) or ()
    if not texts or any(error.field.startswith(context.path) for error in check.schema_errors):
        return
    if place.declared is None:
        why = "unable to convert structural schema to CEL declarations"
        detail = f"internal error: failed to construct type information for {VALIDATIONS} rules: {why}"
        check.errors.append(internal(f"{context.path}.{VALIDATIONS}", detail))
        return
    occurrences = place.declared.max_cardinality if context.occurrences is None else context.occurrences
    for index, (rule, written) in enumerate(zip(place.rules, texts, strict=True)):
        at = f"{context.path}.{VALIDATIONS}[{index}]"
        _check_cost(check, rule.program, occurrences, f"{at}.rule", "estimated rule cost")
        _check_compiled(check, rule, written, at)
        if rule.message_program is not None:
            _check_cost(check, rule.message_program, 1, f"{at}.messageExpression", "estimated messageExpression cost")
        _check_transition(check, rule, written, at, context)


def _below(place: Place, context: _Context) -> Iterator[tuple[Place, _Context]]:
    schema, times = place.schema, context.occurrences
    if place.values is not None:
        most = _product(times, schema.get("maxProperties"))
        yield (
            place.values,
            _Context(
                path=f"{context.path}.additionalProperties", occurrences=most, uncorrelatable=context.uncorrelatable
            ),
        )
    for name, part in place.properties.items():
        yield (
            part,
            _Context(
                path=f"{context.path}.properties[{name}]", occurrences=times, uncorrelatable=context.uncorrelatable
            ),
        )
    if place.items is not None:
        is_map = schema.get("x-kubernetes-list-type") == "map"
        yield (
            place.items,
            _Context(
                path=f"{context.path}.items",
                occurrences=_product(times, schema.get("maxItems")),
                uncorrelatable=context.uncorrelatable or ("" if is_map else context.path),
            ),
        )


def _product(times: int | None, limit: int | None) -> int | None:
    return None if times is None or limit is None else min(times * max(limit, 0), UNBOUNDED)


def _check_cost(check: _Check, program: Program | None, occurrences: int, path: str, name: str) -> None:
    cost = 0 if program is None else min(program.estimated_cost.max * occurrences, UNBOUNDED)
    if check.limits_rules and cost > RULE_LIMIT:
        check.errors.append(forbidden(path, _too_expensive(name, cost, RULE_LIMIT)))
    check.costs.append((cost, path))


def _too_expensive(name: str, cost: int, limit: int) -> str:
    factor = cost / limit
    shown = "more than 100" if factor > 100 else f"{factor:f}" if factor < 1.5 else f"{factor:.1f}"
    return (
        f"{name} exceeds budget by factor of {shown}x (try simplifying the rule, or adding maxItems, maxProperties, and "
        "maxLength where arrays, maps, and strings are declared)"
    )


def _check_compiled(check: _Check, rule: CompiledRule, written: Mapping[str, Any], path: str) -> None:
    if rule.error:
        check.errors.append(invalid(f"{path}.rule", _as_shown(written), rule.error))
    if rule.message_error:
        check.errors.append(invalid(f"{path}.messageExpression", _as_shown(written), rule.message_error))


def _as_shown(written: Mapping[str, Any]) -> Mapping[str, Any]:
    """A rule as upstream's messages show it: its internal type, all fields."""
    return {
        "Rule": written.get("rule") or "",
        "Message": written.get("message") or "",
        "MessageExpression": written.get("messageExpression") or "",
        "Reason": written.get("reason"),
        "FieldPath": written.get("fieldPath") or "",
        "OptionalOldSelf": written.get("optionalOldSelf"),
    }


def _check_transition(
    check: _Check, rule: CompiledRule, written: Mapping[str, Any], path: str, context: _Context
) -> None:
    if rule.is_transition:
        if context.uncorrelatable:
            detail = (
                f"oldSelf cannot be used on the uncorrelatable portion of the schema within {context.uncorrelatable}"
            )
            check.errors.append(invalid(f"{path}.rule", rule.text, detail))
    elif written.get("optionalOldSelf") is not None:
        detail = "may not be set if oldSelf is not used in rule"
        check.errors.append(invalid(f"{path}.optionalOldSelf", written["optionalOldSelf"], detail))
