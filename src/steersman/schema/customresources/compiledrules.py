"""The rules at one place of a schema (its ``x-kubernetes-validations``), compiled for the values that the schema describes.

What cannot be compiled is kept as an error: definitions are refused for it, and objects of definitions that were stored before
are told about it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from steersman.cel import CELError, CompileError, Declared, Environment, Program, types
from steersman.cel.transitions import is_transition_rule, rule_environment
from steersman.cel.types import Type
from steersman.schema.customresources import fieldpaths

Schema = Mapping[str, Any]
VALIDATIONS = "x-kubernetes-validations"


class CompiledRule(Struct, frozen=True, kw_only=True):
    """One rule. Errors are upstream's texts; empty: there is none."""

    text: str
    message: str = ""
    """Of the rule, without surrounding white space."""
    reason: str = ""
    field_path: str = ""
    """Below the rule's place, as messages show it."""
    optional_old_self: bool = False
    program: Program | None = None
    """None: it is empty or wrong."""
    error: str = ""
    message_text: str = ""
    """``messageExpression``."""
    message_program: Program | None = None
    message_error: str = ""

    @property
    def is_transition(self) -> bool:
        return self.program is not None and is_transition_rule(self.program)

    @property
    def shown(self) -> str:
        """How errors name it."""
        return self.message or self.text.strip()


def compiled_rules(schema: Schema, declared: Declared) -> tuple[CompiledRule, ...]:
    """The rules of ``schema`` itself, in order. ``declared`` is its type."""
    plain: Environment | None = None
    optional: Environment | None = None
    found: list[CompiledRule] = []
    for rule in schema.get(VALIDATIONS) or ():
        if rule.get("optionalOldSelf"):
            optional = optional or rule_environment(declared, optional_old_self=True)
            found.append(_compiled(rule, optional, schema))
        else:
            plain = plain or rule_environment(declared)
            found.append(_compiled(rule, plain, schema))
    return tuple(found)


def _compiled(rule: Mapping[str, Any], environment: Environment, schema: Schema) -> CompiledRule:
    text, message = rule.get("rule") or "", rule.get("messageExpression") or ""
    program, error = None, ""
    if text.strip():
        program, error = _program(environment, text, types.BOOL)
    message_program, message_error = None, ""
    if message and program is not None:
        message_program, message_error = _program(environment, message, types.STRING)
    return CompiledRule(
        text=text,
        message=(rule.get("message") or "").strip(),
        reason=rule.get("reason") or "",
        field_path=_field_path(rule.get("fieldPath") or "", schema),
        optional_old_self=bool(rule.get("optionalOldSelf")),
        program=program,
        error=error,
        message_text=message,
        message_program=message_program,
        message_error=message_error,
    )


def _program(environment: Environment, text: str, wanted: Type) -> tuple[Program | None, str]:
    """The program, or what is wrong with it."""
    is_rule = wanted is types.BOOL
    try:
        program = environment.compile(text)
    except CompileError as error:
        return None, f"{'' if is_rule else 'messageExpression '}compilation failed: {error}"
    except CELError as error:
        return None, f"{'program' if is_rule else 'messageExpression'} instantiation failed: {error}"
    if program.result_type != wanted:
        return (
            None,
            "cel expression must evaluate to a bool" if is_rule else "messageExpression must evaluate to a string",
        )
    return program, ""


def _field_path(path: str, schema: Schema) -> str:
    try:
        return fieldpaths.normalized(path, schema) if path else ""
    except ValueError:
        return ""  # definitions with such a path are refused; an older one's errors are told without it
