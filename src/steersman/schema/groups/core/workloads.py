"""What workloads have in common: selectors that match their template, rollouts in counts or percents, counts in their status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from steersman.meta.errors import FieldError, forbidden, invalid, not_supported, required
from steersman.meta.names import percent_errors
from steersman.meta.objects import Object
from steersman.meta.selectors import SelectorError, label_selector_of
from steersman.schema import goforms
from steersman.schema.groups.core.podspec.specification import check_pod_template
from steersman.schema.rules import (
    NOT_NEGATIVE,
    Errors,
    check_annotations,
    check_counts,
    check_label_selector,
    check_labels,
)

_INVALID_SELECTOR = "invalid label selector"
_TOO_MANY = "cannot be greater than status.replicas"


def check_workload_selector(errors: Errors, spec: Mapping[str, Any], kind: str) -> None:
    """``spec.selector``: there, not empty, and matching ``spec.template``; one that is absent matches nothing."""
    selector = spec.get("selector")
    if selector is None:
        if kind != "daemonset":
            errors.append(required("spec.selector"))
        check_selector_matches(errors, spec)
        return
    check_label_selector(errors, selector, "spec.selector")
    if kind == "daemonset":
        check_selector_matches(errors, spec, invalid_selector=None)
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        errors.append(
            invalid("spec.selector", goforms.label_selector(selector), f"empty selector is invalid for {kind}")
        )
    elif kind != "daemonset":
        check_selector_matches(errors, spec, invalid_selector="" if kind == "statefulset" else _INVALID_SELECTOR)


def check_selector_matches(
    errors: Errors, spec: Mapping[str, Any], invalid_selector: str | None = _INVALID_SELECTOR
) -> None:
    """``invalid_selector``: what is said of one that is none; None where that is left to ``check_label_selector``."""
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
    try:
        matches = label_selector_of(spec.get("selector")).matches(labels or {})
    except (SelectorError, KeyError):
        if invalid_selector is not None:
            errors.append(invalid("spec.selector", goforms.label_selector(spec["selector"]), invalid_selector))
        return
    if not matches:
        detail = "`selector` does not match template `labels`"
        errors.append(
            invalid("spec.template.metadata.labels", dict(sorted(labels.items())) if labels else None, detail)
        )


def check_running_template(errors: Errors, spec: Mapping[str, Any], kind: str, *, check_again: bool = False) -> None:
    """``spec.template`` of pods that run until they are deleted. ``check_again``: upstream checks labels and annotations of
    such a template twice, and so tells twice what is wrong with them."""
    template = spec.get("template")
    check_pod_template(errors, template, "spec.template")
    if check_again and template is not None:
        metadata = template.get("metadata") or {}
        check_labels(errors, metadata.get("labels"), "spec.template.labels")
        check_annotations(errors, metadata.get("annotations"), "spec.template.annotations")
    pod = (template or {}).get("spec") or {}
    if template is not None and pod.get("restartPolicy") != "Always":
        errors.append(not_supported("spec.template.spec.restartPolicy", pod.get("restartPolicy") or "", ("Always",)))
    if pod.get("activeDeadlineSeconds") is not None:
        detail = f"activeDeadlineSeconds in {kind} is not Supported"
        errors.append(forbidden("spec.template.spec.activeDeadlineSeconds", detail))


def check_count_or_percent(errors: Errors, value: int | str | None, path: str) -> None:
    if isinstance(value, str):
        errors.extend(invalid(path, value, text) for text in percent_errors(value))
    elif (value or 0) < 0:
        errors.append(invalid(path, value, NOT_NEGATIVE))


def amount_of(value: int | str | None) -> int:
    """The number in a count or a percentage, 0 where it is neither."""
    if isinstance(value, str):
        digits = value.removesuffix("%")
        return int(digits) if digits.isascii() and digits.isdigit() else 0
    return value or 0


def check_at_most_100_percent(errors: Errors, value: int | str | None, path: str) -> None:
    if isinstance(value, str) and not percent_errors(value) and amount_of(value) > 100:
        errors.append(invalid(path, value, "must not be greater than 100%"))


def replica_status_errors(status: Mapping[str, Any], *parts: str) -> list[FieldError]:
    """Counts of a status: not negative, and ``parts`` (and ready and available ones) no more than all."""
    errors: Errors = []
    counted = (*parts, "readyReplicas", "availableReplicas")
    check_counts(errors, status, "status", "observedGeneration", "replicas", *counted)
    check_counts(errors, status, "status", "unavailableReplicas", "terminatingReplicas", "collisionCount")
    total = status.get("replicas") or 0
    errors.extend(
        invalid(f"status.{name}", status.get(name) or 0, _TOO_MANY)
        for name in counted
        if (status.get(name) or 0) > total
    )
    available = status.get("availableReplicas") or 0
    if available > (status.get("readyReplicas") or 0):
        errors.append(invalid("status.availableReplicas", available, "cannot be greater than readyReplicas"))
    return errors


def check_collision_count(errors: Errors, new: Object, old: Object) -> None:
    now, before = ((obj.get("status") or {}).get("collisionCount") for obj in (new, old))
    if before is not None and (now or 0) < before:
        errors.append(invalid("status.collisionCount", now or 0, "cannot be decremented"))
