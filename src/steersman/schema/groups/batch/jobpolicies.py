"""Policies of a Job: which failures count, when success is enough, and the intervals of indexes that both speak of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from steersman.meta.errors import OMITTED, FieldError, duplicate, invalid, not_supported, required, too_long
from steersman.meta.names import label_key_errors
from steersman.schema import goforms
from steersman.schema.rules import NOT_NEGATIVE, Errors, check_name, too_many

ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
OPERATORS = ("In", "NotIn")
_STATUSES = ("False", "True", "Unknown")
_MAX_RULES, _MAX_PATTERNS, _MAX_CODES, _MAX_INDEXES_LENGTH = 20, 20, 255, 64 * 1024


class IndexesError(ValueError):
    """The text is no list of index intervals; the message says why."""


def check_failure_policy(errors: Errors, spec: Mapping[str, Any], path: str) -> None:
    rules = spec["podFailurePolicy"].get("rules") or ()
    if len(rules) > _MAX_RULES:
        errors.append(too_many(path, len(rules), _MAX_RULES))
    pod = (spec.get("template") or {}).get("spec") or {}
    names = {entry.get("name") for group in ("containers", "initContainers") for entry in pod.get(group) or ()}
    for index, rule in enumerate(rules):
        at, action = f"{path}[{index}]", rule.get("action")
        if not action:
            errors.append(required(f"{at}.action", f"valid values: {_listed(ACTIONS)}"))
        elif action not in ACTIONS:
            errors.append(not_supported(f"{at}.action", action, ACTIONS))
        elif action == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
            errors.append(invalid(f"{at}.action", action, "requires the backoffLimitPerIndex to be set"))
        codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions") or ()
        if codes is not None:
            _check_exit_codes(errors, codes, f"{at}.onExitCodes", names)
        if conditions:
            _check_conditions(errors, conditions, f"{at}.onPodConditions")
        if codes is not None and conditions:
            errors.append(_without_value(at, "specifying both OnExitCodes and OnPodConditions is not supported"))
        if codes is None and not conditions:
            errors.append(_without_value(at, "specifying one of OnExitCodes and OnPodConditions is required"))


def _without_value(path: str, detail: str) -> FieldError:
    return FieldError("FieldValueInvalid", path, detail, OMITTED)


def _listed(values: Sequence[str]) -> str:
    return "[" + " ".join(f'"{value}"' for value in values) + "]"


def _check_exit_codes(errors: Errors, codes: Mapping[str, Any], path: str, containers: set[Any]) -> None:
    operator, values = codes.get("operator"), codes.get("values") or []
    if not operator:
        errors.append(required(f"{path}.operator", f"valid values: {_listed(OPERATORS)}"))
    elif operator not in OPERATORS:
        errors.append(not_supported(f"{path}.operator", operator, OPERATORS))
    name = codes.get("containerName")
    if name is not None and name not in containers:
        detail = "must be one of the container or initContainer names in the pod template"
        errors.append(invalid(f"{path}.containerName", name, detail))
    if not values:
        errors.append(invalid(f"{path}.values", values, "at least one value is required"))
    elif len(values) > _MAX_CODES:
        errors.append(too_many(f"{path}.values", len(values), _MAX_CODES))
    for index, value in enumerate(values):
        if operator == "In" and value == 0:
            errors.append(invalid(f"{path}.values[{index}]", value, "must not be 0 for the In operator"))
        if value in values[:index]:
            errors.append(duplicate(f"{path}.values[{index}]", value))
    if sorted(values) != list(values):
        errors.append(invalid(f"{path}.values", values, "must be ordered"))


def _check_conditions(errors: Errors, conditions: Sequence[Mapping[str, Any]], path: str) -> None:
    if len(conditions) > _MAX_PATTERNS:
        errors.append(too_many(path, len(conditions), _MAX_PATTERNS))
    for index, pattern in enumerate(conditions):
        at, status = f"{path}[{index}]", pattern.get("status")
        check_name(errors, pattern.get("type") or "", f"{at}.type", label_key_errors)
        if not status:
            errors.append(required(f"{at}.status", f"valid values: {_listed(_STATUSES)}"))
        elif status not in _STATUSES:
            errors.append(not_supported(f"{at}.status", status, _STATUSES))


def check_success_policy(errors: Errors, spec: Mapping[str, Any], path: str) -> None:
    if spec.get("completionMode") != "Indexed":
        errors.append(
            invalid(
                path,
                goforms.internal("batch.v1.SuccessPolicy", spec["successPolicy"]),
                "requires indexed completion mode",
            )
        )
        return
    rules, completions = spec["successPolicy"].get("rules") or (), spec.get("completions") or 0
    if not rules:
        detail = "at least one rules must be specified when the successPolicy is specified"
        errors.append(required(f"{path}.rules", detail))
    if len(rules) > _MAX_RULES:
        errors.append(too_many(f"{path}.rules", len(rules), _MAX_RULES))
    for index, rule in enumerate(rules):
        _check_success_rule(errors, rule, f"{path}.rules[{index}]", completions)


def _check_success_rule(errors: Errors, rule: Mapping[str, Any], path: str, completions: int) -> None:
    count, indexes = rule.get("succeededCount"), rule.get("succeededIndexes")
    total = 0
    if count is None and indexes is None:
        errors.append(required(path, "at least one of succeededCount or succeededIndexes must be specified"))
    if indexes is not None:
        if len(indexes) > _MAX_INDEXES_LENGTH:
            errors.append(too_long(f"{path}.succeededIndexes", _MAX_INDEXES_LENGTH))
        try:
            total = sum(last - first + 1 for first, last in parse_indexes(indexes, completions))
        except IndexesError as error:
            detail = f"error parsing succeededIndexes: {error}"
            errors.append(invalid(f"{path}.succeededIndexes", indexes, detail))
    if count is None:
        return
    at = f"{path}.succeededCount"
    if count < 0:
        errors.append(invalid(at, count, NOT_NEGATIVE))
    if count > completions:
        detail = f"must be less than or equal to {completions} (the number of specified completions)"
        errors.append(invalid(at, count, detail))
    if indexes is not None and count > total:
        detail = (
            f"must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
        )
        errors.append(invalid(at, count, detail))


def parse_indexes(text: str, completions: int) -> list[tuple[int, int]]:
    """``1,3-5,7`` as intervals, both ends included. Raises ``IndexesError``."""
    intervals: list[tuple[int, int]] = []
    for part in text.split(",") if text else ():
        first, dash, last = part.partition("-")
        if "-" in last:
            raise IndexesError(
                f'the fragment "{part}" violates the requirement that an index interval can have at most two parts separated '
                "by '-'"
            )
        low = _index(first, completions)
        high = _index(last, completions) if dash else low
        if dash and low >= high:
            raise IndexesError(f"non-increasing order, previous: {low}, current: {high}")
        if intervals and intervals[-1][1] >= low:
            raise IndexesError(f"non-increasing order, previous: {intervals[-1][1]}, current: {low}")
        intervals.append((low, high))
    return intervals


def _index(text: str, completions: int) -> int:
    if not (text.isascii() and text.isdigit()):
        raise IndexesError(f'cannot convert string to integer for index: "{text}"')
    if int(text) >= completions:
        raise IndexesError(f'too large index: "{text}"')
    return int(text)
