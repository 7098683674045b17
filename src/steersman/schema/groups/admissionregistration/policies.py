"""Rules that admission policies share, of validation and of mutation, and those of their bindings.

Expressions are compiled as they will be when the policy is in force, so that what does not compile is refused at once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from steersman.meta.errors import forbidden, invalid, not_supported, required
from steersman.meta.names import dns_1035_label_errors, path_segment_errors, subdomain_errors
from steersman.schema.groups.admissionregistration.matching import (
    FAILURE_POLICIES,
    check_match_conditions,
    check_match_resources,
)
from steersman.schema.groups.admissionregistration.policyexpressions import PolicyExpressions
from steersman.schema.rules import Errors, check_label_selector, check_name, check_optional_choice, check_required_name

_is_identifier = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*", re.ASCII).fullmatch
_RESERVED = frozenset(
    [
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ]
)


def check_policy(errors: Errors, spec: Mapping[str, Any], *, always_has_variables: bool = False) -> PolicyExpressions:
    """All but what a policy does; gives what compiles that, knowing the policy's variables."""
    check_optional_choice(errors, spec.get("failurePolicy"), "spec.failurePolicy", FAILURE_POLICIES)
    if spec.get("paramKind") is not None:
        _check_param_kind(errors, spec["paramKind"], "spec.paramKind")
    matching = spec.get("matchConstraints")
    if matching is None:
        errors.append(required("spec.matchConstraints"))
    else:
        check_match_resources(errors, matching, "spec.matchConstraints")
        if not matching.get("resourceRules"):
            errors.append(required("spec.matchConstraints.resourceRules"))
    has_params, variables = spec.get("paramKind") is not None, spec.get("variables") or ()
    check_match_conditions(errors, spec.get("matchConditions") or (), "spec.matchConditions", has_params=has_params)
    expressions = PolicyExpressions(has_params=has_params, has_variables=always_has_variables or bool(variables))
    for index, variable in enumerate(variables):
        _check_variable(errors, variable, expressions, f"spec.variables[{index}]")
    return expressions


def _check_param_kind(errors: Errors, kind: Mapping[str, Any], path: str) -> None:
    version, name = kind.get("apiVersion") or "", kind.get("kind") or ""
    if not version:
        errors.append(required(f"{path}.apiVersion"))
    elif version.count("/") > 1:
        errors.append(invalid(f"{path}.apiVersion", version, f"unexpected GroupVersion string: {version}"))
    else:
        _check_api_version(errors, version, f"{path}.apiVersion")
    if not name:
        errors.append(required(f"{path}.kind"))
    else:
        check_kind(errors, name, f"{path}.kind")


def check_kind(errors: Errors, name: str, path: str) -> None:
    """A kind: a DNS label but for its case."""
    wrong = dns_1035_label_errors(name.lower())
    if wrong:
        detail = f"may have mixed case, but should otherwise match: {','.join(wrong)}"
        errors.append(invalid(path, name, detail))


def _check_api_version(errors: Errors, api_version: str, path: str) -> None:
    group, slash, version = api_version.partition("/")
    if not slash:
        group, version = "", group
    wrong = subdomain_errors(group) if group else []
    if wrong:
        errors.append(invalid(path, group, ",".join(wrong)))
    if not version:
        errors.append(invalid(path, api_version, "version must be specified"))
        return
    wrong = dns_1035_label_errors(version)
    if wrong:
        errors.append(invalid(path, version, ",".join(wrong)))


def _check_variable(errors: Errors, variable: Mapping[str, Any], expressions: PolicyExpressions, path: str) -> None:
    name = variable.get("name") or ""
    if not name.strip():
        errors.append(required(f"{path}.name", "name is not specified"))
    elif _is_identifier(name) is None or name in _RESERVED:
        errors.append(invalid(f"{path}.name", name, "must be a valid CEL identifier"))
    expression = variable.get("expression") or ""
    if not expression.strip():
        errors.append(required(f"{path}.expression", "expression is not specified"))
    else:
        errors.extend(expressions.add_variable(name, expression).errors(f"{path}.expression"))


def check_binding(errors: Errors, spec: Mapping[str, Any]) -> None:
    check_required_name(errors, spec.get("policyName"), "spec.policyName", subdomain_errors)
    if spec.get("paramRef") is not None:
        _check_param_reference(errors, spec["paramRef"], "spec.paramRef")
    if spec.get("matchResources") is not None:
        check_match_resources(errors, spec["matchResources"], "spec.matchResources")


def _check_param_reference(errors: Errors, reference: Mapping[str, Any], path: str) -> None:
    name, selector, action = (reference.get(part) for part in ("name", "selector", "parameterNotFoundAction"))
    both = "name and selector are mutually exclusive"
    if name:
        check_name(errors, name, f"{path}.name", path_segment_errors)
        if selector is not None:
            errors.append(forbidden(f"{path}.name", both))
    if selector is not None:
        check_label_selector(errors, selector, f"{path}.selector")
        if name:
            errors.append(forbidden(f"{path}.selector", both))
    elif not name:
        errors.append(required(path, "one of name or selector must be specified"))
    if not action:
        errors.append(required(f"{path}.parameterNotFoundAction"))
    elif action not in ("Deny", "Allow"):
        errors.append(not_supported(f"{path}.parameterNotFoundAction", action, ("Deny", "Allow")))
