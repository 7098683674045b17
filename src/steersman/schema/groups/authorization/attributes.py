"""Rules of what an access review asks about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from steersman.meta.errors import FieldError, invalid, required
from steersman.meta.objects import Object
from steersman.schema.rules import Errors, check_requirement_names, check_values

_OWN = "exactly one of nonResourceAttributes or resourceAttributes must be specified"


def attribute_errors(obj: Object) -> list[FieldError]:
    """``spec`` of every access review."""
    errors: Errors = []
    spec = obj.get("spec") or {}
    resource, url = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is not None and url is not None:
        detail = "cannot be specified in combination with resourceAttributes"
        errors.append(invalid("spec.nonResourceAttributes", url, detail))
    if resource is None and url is None:
        errors.append(invalid("spec.resourceAttributes", None, _OWN))
    check_selectors(errors, resource or {})
    return errors


def check_selectors(errors: Errors, resource: Mapping[str, Any]) -> None:
    """The selectors of ``spec.resourceAttributes``; operators that only newer clients know are let through."""
    for entry, path in _requirements(errors, resource, "fieldSelector"):
        if not entry.get("key"):
            errors.append(required(f"{path}.key", "must be specified"))
        check_values(errors, entry, path)
    for entry, path in _requirements(errors, resource, "labelSelector"):
        check_values(errors, entry, path)
        check_requirement_names(errors, entry, path)


def _requirements(errors: Errors, resource: Mapping[str, Any], name: str) -> list[tuple[Mapping[str, Any], str]]:
    """Each requirement of a selector, and where it is; the selector itself is checked."""
    selector, path = resource.get(name), f"spec.resourceAttributes.{name}"
    if selector is None:
        return []
    _check_selector(errors, selector, path)
    requirements = selector.get("requirements") or ()
    return [(entry, f"{path}.requirements[{index}]") for index, entry in enumerate(requirements)]


def _check_selector(errors: Errors, selector: Mapping[str, Any], path: str) -> None:
    raw, requirements = selector.get("rawSelector"), selector.get("requirements")
    if raw and requirements:
        errors.append(invalid(f"{path}.rawSelector", raw, "may not specified at the same time as requirements"))
    if not raw and not requirements:
        detail = f"when {path} is specified, requirements or rawSelector is required"
        errors.append(required(f"{path}.requirements", detail))


def subject_errors(obj: Object) -> list[FieldError]:
    """``spec.user`` and ``spec.groups`` of the reviews about somebody else."""
    spec = obj.get("spec") or {}
    if spec.get("user") or spec.get("groups"):
        return []
    return [invalid("spec.user", "", "at least one of user or group must be specified")]


def metadata_errors(obj: Object, *, allows_namespace: bool = False) -> list[FieldError]:
    """A review is nothing stored: it has no name and no labels."""
    allowed = (
        {"managedFields", "creationTimestamp", "namespace"}
        if allows_namespace
        else {"managedFields", "creationTimestamp"}
    )
    if all(name in allowed or not value for name, value in obj["metadata"].items()):
        return []
    detail = "must be empty except for namespace" if allows_namespace else "must be empty"
    return [invalid("metadata", obj["metadata"], detail)]
