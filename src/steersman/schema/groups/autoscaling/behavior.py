"""Rules of how fast an autoscaler may scale."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from steersman.meta.errors import invalid, not_supported, required
from steersman.schema.rules import NOT_NEGATIVE, NOT_ZERO, Errors, check_optional_choice, check_quantity

_LONGEST_WINDOW_S = 3600
_LONGEST_PERIOD_S = 1800
_SELECT_POLICIES = ("Disabled", "Max", "Min")
_POLICY_TYPES = ("Percent", "Pods")


def check_behavior(errors: Errors, behavior: Mapping[str, Any], path: str) -> None:
    for name in ("scaleUp", "scaleDown"):
        if behavior.get(name) is not None:
            _check_rules(errors, behavior[name], f"{path}.{name}")


def _check_rules(errors: Errors, rules: Mapping[str, Any], path: str) -> None:
    window, tolerance = rules.get("stabilizationWindowSeconds"), rules.get("tolerance")
    if window is not None and window < 0:
        errors.append(invalid(f"{path}.stabilizationWindowSeconds", window, "must be greater than or equal to zero"))
    if window is not None and window > _LONGEST_WINDOW_S:
        detail = f"must be less than or equal to {_LONGEST_WINDOW_S}"
        errors.append(invalid(f"{path}.stabilizationWindowSeconds", window, detail))
    check_optional_choice(errors, rules.get("selectPolicy"), f"{path}.selectPolicy", _SELECT_POLICIES)
    if not rules.get("policies"):
        errors.append(required(f"{path}.policies", "must specify at least one Policy"))
    for index, policy in enumerate(rules.get("policies") or ()):
        _check_policy(errors, policy, f"{path}.policies[{index}]")
    if tolerance is not None:
        amount = check_quantity(errors, tolerance, f"{path}.tolerance")
        if amount is not None and amount < 0:
            errors.append(invalid(f"{path}.tolerance", tolerance, NOT_NEGATIVE))


def _check_policy(errors: Errors, policy: Mapping[str, Any], path: str) -> None:
    kind, period = policy.get("type") or "", policy.get("periodSeconds") or 0
    if kind not in _POLICY_TYPES:
        errors.append(not_supported(f"{path}.type", kind, _POLICY_TYPES))
    if (policy.get("value") or 0) <= 0:
        errors.append(invalid(f"{path}.value", policy.get("value") or 0, NOT_ZERO))
    if period <= 0:
        errors.append(invalid(f"{path}.periodSeconds", period, NOT_ZERO))
    if period > _LONGEST_PERIOD_S:
        errors.append(invalid(f"{path}.periodSeconds", period, f"must be less than or equal to {_LONGEST_PERIOD_S}"))
