"""Rules of what a role allows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from steersman.meta.errors import invalid, required
from steersman.schema.rules import Errors


def check_policy_rules(errors: Errors, rules: Sequence[Mapping[str, Any]] | None, *, is_namespaced: bool) -> None:
    for index, rule in enumerate(rules or ()):
        _check_rule(errors, rule, f"rules[{index}]", is_namespaced=is_namespaced)


def _check_rule(errors: Errors, rule: Mapping[str, Any], path: str, *, is_namespaced: bool) -> None:
    if not rule.get("verbs"):
        errors.append(required(f"{path}.verbs", "verbs must contain at least one value"))
    urls = rule.get("nonResourceURLs")
    if urls:
        if is_namespaced:
            detail = "namespaced rules cannot apply to non-resource URLs"
            errors.append(invalid(f"{path}.nonResourceURLs", urls, detail))
        if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
            detail = "rules cannot apply to both regular resources and non-resource URLs"
            errors.append(invalid(f"{path}.nonResourceURLs", urls, detail))
        return
    if not rule.get("apiGroups"):
        errors.append(required(f"{path}.apiGroups", "resource rules must supply at least one api group"))
    if not rule.get("resources"):
        errors.append(required(f"{path}.resources", "resource rules must supply at least one resource"))
