"""LimitRange: defaults and bounds of what one container, pod or claim in a namespace may ask for."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from steersman.meta.errors import FieldError, duplicate, forbidden, invalid, required
from steersman.meta.names import label_key_errors
from steersman.meta.objects import Object
from steersman.meta.resources import LIMITRANGES
from steersman.schema.columns import CREATED_AT, NAME
from steersman.schema.groups.core.resourcelist import default_amounts
from steersman.schema.groups.core.resourcenames import (
    check_container_resource_name,
    check_resource_name,
    is_overcommitted,
)
from steersman.schema.kind import Kind
from steersman.schema.rules import check_quantity


def prepare_create(obj: Object) -> None:
    """One without a name gets some, as no other kind does."""
    if not obj["metadata"].get("name"):
        obj["metadata"]["name"] = obj["metadata"]["uid"]


def default(obj: Object) -> None:
    for item in obj.setdefault("spec", {}).get("limits") or ():
        for part in ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio"):
            if item.get(part):
                default_amounts(item[part])
        if item.get("type") == "Container":
            limits = {**(item.get("max") or {}), **(item.get("default") or {})}
            item["default"] = limits
            item["defaultRequest"] = {**(item.get("min") or {}), **limits, **(item.get("defaultRequest") or {})}


_PARTS = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")
_TYPES = ("Pod", "Container", "PersistentVolumeClaim")


def validate(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[Any] = set()
    for index, item in enumerate((obj.get("spec") or {}).get("limits") or ()):
        path, kind = f"spec.limits[{index}]", item.get("type") or ""
        wrong = label_key_errors(kind)
        errors.extend(invalid(f"{path}.type", kind, text) for text in wrong)
        if not wrong and "/" not in kind and kind not in _TYPES:
            errors.append(invalid(f"{path}.type", kind, "must be a standard limit type or fully qualified"))
        if kind in seen:
            errors.append(duplicate(f"{path}.type", kind))
        seen.add(kind)
        if kind == "Pod":
            errors.extend(
                forbidden(f"{path}.{part}", "may not be specified when `type` is 'Pod'")
                for part in ("default", "defaultRequest")
                if item.get(part)
            )
        if kind == "PersistentVolumeClaim" and not any("storage" in (item.get(part) or {}) for part in ("min", "max")):
            detail = "either minimum or maximum storage value is required, but neither was provided"
            errors.append(required(f"{path}.limits", detail))
        _check_amounts(errors, item, path)
    return errors


def _check_amounts(errors: list[FieldError], item: Object, path: str) -> None:
    is_of_containers = item.get("type") in ("Pod", "Container")
    values: dict[str, dict[str, Fraction]] = {}
    for part in _PARTS:
        for name, amount in (item.get(part) or {}).items():
            at = f"{path}.{part}[{name}]"
            if is_of_containers:
                check_container_resource_name(errors, name, at)
            else:
                check_resource_name(errors, name, at)
            value = check_quantity(errors, amount, at)
            if value is not None:
                values.setdefault(name, {})[part] = value
    for name, found in values.items():
        _check_order(errors, item, name, found, path)
        ratio = found.get("maxLimitRequestRatio")
        if ratio is not None:
            _check_ratio(errors, item, name, found, ratio, f"{path}.maxLimitRequestRatio[{name}]")


_ORDER = (
    ("min", "max", "min", "min value {0} is greater than max value {1}"),
    ("min", "defaultRequest", "defaultRequest", "min value {0} is greater than default request value {1}"),
    ("defaultRequest", "max", "defaultRequest", "default request value {0} is greater than max value {1}"),
    (
        "defaultRequest",
        "default",
        "defaultRequest",
        "default request value {0} is greater than default limit value {1}",
    ),
    ("min", "default", "default", "min value {0} is greater than default value {1}"),
    ("default", "max", "default", "default value {0} is greater than max value {1}"),
)
"""(the smaller, the greater, where the error stands, its text)."""


def _check_order(errors: list[FieldError], item: Object, name: str, found: Mapping[str, Fraction], path: str) -> None:
    for low, high, where, text in _ORDER:
        if low in found and high in found and found[low] > found[high]:
            detail = text.format(item[low][name], item[high][name])
            errors.append(invalid(f"{path}.{where}[{name}]", item[where][name], detail))
    default, request = found.get("default"), found.get("defaultRequest")
    if not is_overcommitted(name) and default is not None and request is not None and default != request:
        shown, asked = item["default"][name], item["defaultRequest"][name]
        detail = f"default value {shown} must equal to defaultRequest value {asked} in {name}"
        errors.append(invalid(f"{path}.defaultRequest[{name}]", asked, detail))


def _check_ratio(
    errors: list[FieldError], item: Object, name: str, found: Mapping[str, Fraction], ratio: Fraction, path: str
) -> None:
    shown = item["maxLimitRequestRatio"][name]
    if ratio < 1:
        errors.append(invalid(path, shown, f"ratio {shown} is less than 1"))
    if found.get("min") and "max" in found:
        limit = found["max"] / found["min"]
        if ratio > limit:
            errors.append(invalid(path, shown, f"ratio {shown} is greater than max/min = {float(limit):f}"))


KIND = Kind(
    resource=LIMITRANGES,
    definition="io.k8s.api.core.v1.LimitRange",
    singular="limitrange",
    short_names=("limits",),
    storage_prefix="limitranges",
    allows_create_on_update=True,
    default=default,
    prepare_create=prepare_create,
    columns=(
        NAME,
        CREATED_AT,
    ),
    validate=validate,
)
