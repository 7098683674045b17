"""Rules of defaults in schemas: a default is what the schema itself would accept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec.structs import replace

from steersman.meta.errors import BadRequest, FieldError, invalid
from steersman.schema.customresources import validation
from steersman.schema.customresources.coercion import part_coercer
from steersman.schema.customresources.lists import list_errors
from steersman.schema.customresources.rules import EMBEDDED, OBJECT_BUDGET, Verdict, compile_rules
from steersman.schema.customresources.values import same

Schema = Mapping[str, Any]


def default_errors(schema: Schema, path: str) -> list[FieldError]:
    """What is wrong with the defaults of a schema that is known to be structural."""
    errors: list[FieldError] = []
    budget = OBJECT_BUDGET
    for part, at in _with_default(schema, path):
        found = _errors(part, f"{at}.default")
        errors.extend(found)
        if not found:
            verdict = _rules_verdict(part, f"{at}.default", budget)
            errors.extend(verdict.errors)
            budget = verdict.budget
            if budget < 0:
                break
    return errors


def _rules_verdict(schema: Schema, path: str, budget: int) -> Verdict:
    """What rules say about a default, both as a value that stays as it is and as a new one."""
    rules = compile_rules(schema, resource_root=bool(schema.get(EMBEDDED)))
    if rules is None:
        return Verdict([], budget)
    value = schema["default"]
    kept = rules.check(value, value, path, budget)
    if kept.errors:
        return kept
    new = rules.check(value, None, path, budget)
    return Verdict(new.errors, min(kept.budget, new.budget))


def _with_default(schema: Schema, path: str) -> Iterator[tuple[Schema, str]]:
    if schema.get("default") is not None:
        yield schema, path
    for name, part in (schema.get("properties") or {}).items():
        yield from _with_default(part, f"{path}.properties[{name}]")
    if isinstance(schema.get("items"), Mapping):
        yield from _with_default(schema["items"], f"{path}.items")


def _errors(schema: Schema, path: str) -> list[FieldError]:
    value = schema["default"]
    errors: list[FieldError] = []
    try:
        if not same(part_coercer(schema)(value, None), value):
            errors.append(invalid(path, value, "must not have unknown fields"))
    except BadRequest as error:
        errors.append(invalid(path, value, error.message))
    errors.extend(validation.compiled(schema).errors(value, field=path))
    errors.extend(replace(found, field=f"{path}{found.field}") for found in list_errors(schema, value))
    return errors
