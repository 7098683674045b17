"""ResourceQuota: what a namespace may use in all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from steersman.meta.errors import FieldError, invalid, required
from steersman.meta.objects import Object
from steersman.meta.resources import RESOURCEQUOTAS
from steersman.schema.columns import AGE, NAME, computed, value_at
from steersman.schema.groups.core.resourcelist import default_amounts
from steersman.schema.groups.core.resourcenames import check_amount, check_quota_resource_name
from steersman.schema.kind import Kind
from steersman.schema.rules import IMMUTABLE
from steersman.schema.subresources import STATUS


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    if spec.get("hard"):
        default_amounts(spec["hard"])
    status = obj.get("status")
    if status is None:
        status = obj["status"] = {}
    for part in ("hard", "used"):
        if status.get(part):
            default_amounts(status[part])


def _used(obj: Object, *, limits: bool) -> str:
    """``pods: 1/10, requests.cpu: 0/4``: what is used of each resource and what may be."""
    hard, used = value_at(obj, "status", "hard") or {}, value_at(obj, "status", "used") or {}
    names = sorted(name for name in hard if name.startswith("limits.") == limits)
    return ", ".join(f"{name}: {used.get(name, '0')}/{hard[name]}" for name in names)


SCOPES = (
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "CrossNamespacePodAffinity",
    "VolumeAttributesClass",
)
_EXISTING_SCOPES = frozenset(
    {"Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "CrossNamespacePodAffinity"}
)
_CONFLICTS = (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating"))
_OF_PODS = frozenset(
    {"cpu", "memory", "pods"} | {f"{part}.{name}" for part in ("limits", "requests") for name in ("cpu", "memory")}
)


def prepare_create(obj: Object) -> None:
    obj["status"] = {}


def validate(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    spec = obj.get("spec") or {}
    _check_amounts(errors, spec.get("hard"), "spec.hard")
    scopes = spec.get("scopes") or []
    for scope in scopes:
        _check_scope(errors, scope, scopes, spec, "spec.scopes", "spec.scopes")
    _check_conflicts(errors, scopes, scopes, "spec.scopes")
    selector = spec.get("scopeSelector")
    if selector is not None:
        _check_selector(errors, selector, spec, "spec.scopeSelector.matchExpressions")
    return errors


def _check_amounts(errors: list[FieldError], amounts: Mapping[str, Any] | None, path: str) -> None:
    for name, amount in (amounts or {}).items():
        check_quota_resource_name(errors, name, f"{path}[{name}]")
        check_amount(errors, name, amount, f"{path}[{name}]")


def _check_scope(errors: list[FieldError], scope: str, shown: Any, spec: Object, path: str, name_path: str) -> None:
    if scope not in SCOPES:
        errors.append(invalid(name_path, shown if name_path == path else scope, "unsupported scope"))
    errors.extend(
        invalid(path, shown, "unsupported scope applied to resource")
        for name in sorted(spec.get("hard") or ())
        if not _applies(scope, name)
    )


def _applies(scope: str, name: str) -> bool:
    """A scope of pods speaks of what pods use; ``BestEffort`` ones are only counted."""
    if "/" in name:
        return True
    if scope == "BestEffort":
        return name == "pods"
    if scope == "VolumeAttributesClass":
        return name in ("persistentvolumeclaims", "requests.storage")
    if scope in SCOPES:
        return name in _OF_PODS
    return True


def _check_conflicts(errors: list[FieldError], scopes: Sequence[str], shown: Any, path: str) -> None:
    errors.extend(
        invalid(path, shown, "conflicting scopes") for pair in _CONFLICTS if all(scope in scopes for scope in pair)
    )


def _check_selector(errors: list[FieldError], selector: Object, spec: Object, path: str) -> None:
    expressions = selector.get("matchExpressions") or ()
    for entry in expressions:
        scope, operator, values = entry.get("scopeName") or "", entry.get("operator") or "", entry.get("values") or []
        _check_scope(errors, scope, selector, spec, path, f"{path}.scopeName")
        if scope in _EXISTING_SCOPES and operator != "Exists":
            detail = (
                "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
                "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"
            )
            errors.append(invalid(f"{path}.operator", operator, detail))
        if operator in ("In", "NotIn"):
            if not values:
                detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
                errors.append(required(f"{path}.values", detail))
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
                errors.append(invalid(f"{path}.values", values, detail))
        else:
            errors.append(invalid(f"{path}.operator", operator, "not a valid selector operator"))
    _check_conflicts(errors, [entry.get("scopeName") or "" for entry in expressions], spec.get("scopes"), path)


def validate_update(new: Object, old: Object) -> list[FieldError]:
    scopes, before = value_at(new, "spec", "scopes") or [], value_at(old, "spec", "scopes") or []
    return [] if set(scopes) == set(before) else [invalid("spec.scopes", scopes, IMMUTABLE)]


def validate_status_update(new: Object, old: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    for part in ("hard", "used"):
        _check_amounts(errors, value_at(new, "status", part), f"status.{part}")
    return errors


KIND = Kind(
    resource=RESOURCEQUOTAS,
    definition="io.k8s.api.core.v1.ResourceQuota",
    singular="resourcequota",
    short_names=("quota",),
    subresources=(STATUS,),
    storage_prefix="resourcequotas",
    returns_deleted_object=True,
    has_status=True,
    delete_returns_object=True,
    default=default,
    columns=(
        NAME,
        computed(
            "Request",
            lambda obj, now: _used(obj, limits=False),
            description="Request represents a minimum amount of cpu/memory that a container may consume.",
        ),
        computed(
            "Limit",
            lambda obj, now: _used(obj, limits=True),
            description="Limits control the maximum amount of cpu/memory that a container may use independent of contention on the node.",
        ),
        AGE,
    ),
    prepare_create=prepare_create,
    validate=validate,
    validate_update=validate_update,
    validate_status_update=validate_status_update,
)
