"""Rules of what an admission webhook or policy looks at: operations, resources, selectors, conditions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from steersman.meta.errors import duplicate, invalid, not_supported, required
from steersman.meta.names import label_key_errors, path_segment_errors
from steersman.schema.groups.admissionregistration.expressions import Variables, compile_condition
from steersman.schema.rules import (
    Errors,
    check_label_selector,
    check_name,
    check_optional_choice,
    too_many,
)

FAILURE_POLICIES = ("Fail", "Ignore")
MATCH_POLICIES = ("Equivalent", "Exact")
REINVOCATION_POLICIES = ("IfNeeded", "Never")
OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_MUTATED_OPERATIONS = ("*", "CONNECT", "CREATE", "UPDATE")
SCOPES = ("*", "Cluster", "Namespaced")
_CONDITIONS = 64


def check_rule(errors: Errors, rule: Mapping[str, Any], path: str) -> None:
    operations = rule.get("operations") or []
    if not operations:
        errors.append(required(f"{path}.operations"))
    _check_alone(errors, operations, f"{path}.operations", "operations")
    for index, operation in enumerate(operations):
        if operation not in OPERATIONS:
            errors.append(not_supported(f"{path}.operations[{index}]", operation, OPERATIONS))
    for field, noun in (("apiGroups", "API groups"), ("apiVersions", "API versions")):
        values = rule.get(field) or []
        if not values:
            errors.append(required(f"{path}.{field}"))
        _check_alone(errors, values, f"{path}.{field}", noun)
    for index, version in enumerate(rule.get("apiVersions") or ()):
        if not version:
            errors.append(required(f"{path}.apiVersions[{index}]"))
    _check_resources(errors, rule.get("resources") or [], f"{path}.resources")
    check_optional_choice(errors, rule.get("scope"), f"{path}.scope", SCOPES)


def _check_alone(errors: Errors, values: Sequence[str], path: str, noun: str) -> None:
    if len(values) > 1 and "*" in values:
        errors.append(invalid(path, values, f"if '*' is present, must not specify other {noun}"))


def _check_resources(errors: Errors, resources: Sequence[str], path: str) -> None:
    if not resources:
        errors.append(required(path))
    all_of: set[str] = set()
    in_all: set[str] = set()
    has_plain = False
    for index, entry in enumerate(resources):
        at = f"{path}[{index}]"
        if not entry:
            errors.append(required(at))
            continue
        resource, slash, part = entry.partition("/")
        if not slash:
            has_plain = entry != "*"
            continue
        if resource in all_of:
            errors.append(invalid(at, entry, f"if '{resource}/*' is present, must not specify {entry}"))
        if part in in_all:
            errors.append(invalid(at, entry, f"if '*/{part}' is present, must not specify {entry}"))
        if part == "*":
            all_of.add(resource)
        if resource == "*":
            in_all.add(part)
    if len(resources) > 1 and "*/*" in resources:
        errors.append(invalid(path, resources, "if '*/*' is present, must not specify other resources"))
    if "*" in resources and has_plain:
        detail = "if '*' is present, must not specify other resources without subresources"
        errors.append(invalid(path, resources, detail))


def check_match_resources(errors: Errors, matching: Mapping[str, Any], path: str) -> None:
    """``matchConstraints`` of a policy, ``matchResources`` of a binding."""
    check_optional_choice(errors, matching.get("matchPolicy"), f"{path}.matchPolicy", MATCH_POLICIES)
    for name in ("namespaceSelector", "objectSelector"):
        if matching.get(name) is None:
            errors.append(required(f"{path}.{name}"))
        else:
            check_label_selector(errors, matching[name], f"{path}.{name}")
    for name in ("resourceRules", "excludeResourceRules"):
        for index, rule in enumerate(matching.get(name) or ()):
            _check_named_rule(errors, rule, f"{path}.{name}[{index}]")


def _check_named_rule(errors: Errors, rule: Mapping[str, Any], path: str) -> None:
    names = rule.get("resourceNames") or ()
    for index, name in enumerate(names):
        check_name(errors, name, f"{path}.resourceNames[{index}]", path_segment_errors)
        if name in names[:index]:
            errors.append(duplicate(f"{path}.resourceNames[{index}]", name))
    check_rule(errors, rule, path)


def check_mutated_operations(errors: Errors, matching: Mapping[str, Any], path: str) -> None:
    """What is deleted cannot be changed."""
    for rule in matching.get("resourceRules") or ():
        errors.extend(
            not_supported(f"{path}.resourceRules.operations", operation, _MUTATED_OPERATIONS)
            for operation in rule.get("operations") or ()
            if operation not in _MUTATED_OPERATIONS
        )


def check_match_conditions(
    errors: Errors, conditions: Sequence[Mapping[str, Any]], path: str, *, has_params: bool = False
) -> None:
    """``has_params``: of a policy that has a ``paramKind``."""
    if len(conditions) > _CONDITIONS:
        errors.append(too_many(path, len(conditions), _CONDITIONS))
    seen = set()
    for index, condition in enumerate(conditions):
        at, name = f"{path}[{index}]", condition.get("name") or ""
        expression = (condition.get("expression") or "").strip()
        if not expression:
            errors.append(required(f"{at}.expression"))
        else:
            errors += compile_condition(expression, Variables(params=has_params)).errors(f"{at}.expression")
        if not name:
            errors.append(required(f"{at}.name"))
            continue
        check_name(errors, name, f"{at}.name", label_key_errors)
        if name in seen:
            errors.append(duplicate(f"{at}.name", name))
        seen.add(name)
