"""Rules that compare an object with what it was before: those that mention ``oldSelf``."""

from __future__ import annotations

from steersman.cel.environment import Environment, Program
from steersman.cel.libraries import kubernetes
from steersman.cel.schemas import Declared, Schema
from steersman.cel.values import NONE, OptionalValue, Value

SELF, OLD_SELF = "self", "oldSelf"
BASE = Environment(variables={}, libraries=kubernetes.REGISTRY, homogeneous=True)
"""The libraries of Kubernetes without variables; ``with_variables`` makes environments of it cheaply."""


def rule_environment(declared: Declared, *, optional_old_self: bool = False) -> Environment:
    """Where rules of ``x-kubernetes-validations`` under a schema are compiled.

    ``optional_old_self``: the rule has ``optionalOldSelf: true``, so that it runs on creation too.
    """
    old = declared.optional() if optional_old_self else declared
    return BASE.with_variables({SELF: declared, OLD_SELF: old})


def is_transition_rule(program: Program) -> bool:
    """Whether the rule mentions ``oldSelf`` and is therefore evaluated on updates only, unless that is optional."""
    return OLD_SELF in program.variables


def rule_bindings(
    program: Program, value: Value, old: Value = None, *, has_old: bool = False, optional_old_self: bool = False
) -> dict[str, Value] | None:
    """What to evaluate a rule with; None if it does not apply because there is nothing to compare with."""
    if not is_transition_rule(program):
        return {SELF: value}
    if optional_old_self:
        return {SELF: value, OLD_SELF: OptionalValue(old) if has_old else NONE}
    return {SELF: value, OLD_SELF: old} if has_old else None


def correlatable(schema: Schema) -> bool:
    """Whether what is inside a value of ``schema`` can be found again in the old value.

    Elements of lists can only by keys; a transition rule below any other list is refused ("oldSelf cannot be used on the
    uncorrelatable portion of the schema").
    """
    return schema.get("type") != "array" or schema.get("x-kubernetes-list-type") == "map"
