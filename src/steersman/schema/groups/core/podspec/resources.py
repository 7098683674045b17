"""What containers and pods ask for: requests, limits and devices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from steersman.meta.errors import FieldError, duplicate, forbidden, invalid, required
from steersman.meta.names import label_errors, subdomain_errors
from steersman.meta.podtotals import container_totals
from steersman.schema import goforms
from steersman.schema.groups.core.resourcelist import format_amount
from steersman.schema.groups.core.resourcenames import (
    check_amount,
    check_container_resource_name,
    check_pod_resource_name,
    is_hugepages,
    is_multiple_of_page,
    is_overcommitted,
)
from steersman.schema.rules import Errors, check_name

NameCheck = Callable[[Errors, str, str], None]


def check_container_resources(
    errors: Errors, requirements: Mapping[str, Any] | None, path: str, claims: set[str]
) -> None:
    """``claims``: names of the pod's resource claims."""
    if requirements:
        _check_requirements(errors, requirements, path, check_container_resource_name)
        _check_claims(errors, requirements.get("claims") or (), f"{path}.claims", claims)


def check_overhead(errors: Errors, overhead: Mapping[str, Any] | None, path: str) -> None:
    if overhead:
        _check_requirements(errors, {"limits": overhead}, path, check_container_resource_name)


def check_pod_resources(errors: Errors, spec: Mapping[str, Any], path: str) -> None:
    """The pod's own requests and limits (KEP-2837), and that its containers fit into them."""
    requirements = spec.get("resources")
    if requirements is None:
        return
    if (spec.get("os") or {}).get("name") == "windows":
        errors.append(forbidden(path, "may not be set for a windows pod"))
        return
    if requirements.get("claims"):
        errors.append(forbidden(f"{path}.claims", "claims may not be set for Resources at pod-level"))
    before = len(errors)
    _check_requirements(errors, requirements, path, check_pod_resource_name)
    claims = {claim.get("name") or "" for claim in spec.get("resourceClaims") or ()}
    _check_claims(errors, requirements.get("claims") or (), f"{path}.claims", claims)
    if len(errors) == before:
        _check_fit(errors, spec, requirements, path)


def _check_requirements(errors: Errors, requirements: Mapping[str, Any], path: str, check_name_of: NameCheck) -> None:
    limits, requests = requirements.get("limits") or {}, requirements.get("requests") or {}
    limit_values: dict[str, Fraction | None] = {}
    for name, amount in limits.items():
        limit_values[name] = _check_one(errors, name, amount, f"{path}.limits[{name}]", check_name_of)
    for name, amount in requests.items():
        value = _check_one(errors, name, amount, f"{path}.requests[{name}]", check_name_of)
        limit = limit_values.get(name)
        if limit is not None and value is not None:
            if value != limit and not is_overcommitted(name):
                detail = f"must be equal to {name} limit of {limits[name]}"
                errors.append(invalid(f"{path}.requests", amount, detail))
            elif value > limit:
                detail = f"must be less than or equal to {name} limit of {limits[name]}"
                errors.append(invalid(f"{path}.requests", amount, detail))
        elif name not in limits and not is_overcommitted(name):
            errors.append(required(f"{path}.limits", "Limit must be set for non overcommitable resources"))
    asked = limits.keys() | requests.keys()
    if asked and not asked & {"cpu", "memory"} and any(is_hugepages(name) for name in asked):
        errors.append(forbidden(path, "HugePages require cpu or memory"))


def _check_one(errors: Errors, name: str, amount: Any, path: str, check_name_of: NameCheck) -> Fraction | None:
    check_name_of(errors, name, path)
    value = check_amount(errors, name, amount, path)
    if value is not None and is_hugepages(name) and not is_multiple_of_page(name, value):
        errors.append(invalid(path, amount, f"{amount} is not positive integer multiple of {name}"))
    return value


def _check_claims(errors: Errors, claims: Any, path: str, known: set[str]) -> None:
    seen: set[str] = set()
    for index, claim in enumerate(claims):
        at, name = f"{path}[{index}]", claim.get("name") or ""
        if not name:
            errors.append(required(at))
            continue
        request = claim.get("request") or ""
        key = f"{name}/{request}" if request else name
        if name in seen:
            errors.append(duplicate(at, name))
        else:
            if request:
                check_name(errors, request, f"{at}.request", label_errors)
            if key in seen:
                errors.append(duplicate(at, key))
            elif not request and any(other.partition("/")[0] == name for other in seen):
                errors.append(duplicate(at, name))
            seen.add(key)
        if name not in known:
            detail = "must be one of the names in pod.spec.resourceClaims"
            detail += f": {', '.join(sorted(known))}" if known else " which is empty"
            errors.append(FieldError("FieldValueNotFound", at, detail, name))


def _check_fit(errors: Errors, spec: Mapping[str, Any], requirements: Mapping[str, Any], path: str) -> None:
    limits, requests = requirements.get("limits") or {}, requirements.get("requests") or {}
    try:
        asked, bounded = container_totals(spec, "requests"), container_totals(spec, "limits")
        own_limits = container_totals({"containers": [{"resources": requirements}]}, "limits")
        own_requests = container_totals({"containers": [{"resources": requirements}]}, "requests")
    except ValueError:
        return
    for name, total in asked.items():
        if name in own_requests and total > own_requests[name]:
            detail = f"must be greater than or equal to aggregate container requests of {format_amount(name, total)}"
            errors.append(invalid(f"{path}.requests[{name}]", requests[name], detail))
    for name, total in bounded.items():
        if is_hugepages(name) and name in own_limits and total > own_limits[name]:
            detail = f"must be greater than or equal to aggregate container limits of {format_amount(name, total)}"
            errors.append(invalid(f"{path}.limits[{name}]", limits[name], detail))
    for index, container in enumerate(spec.get("containers") or ()):
        for name, limit in container_totals({"containers": [container]}, "limits").items():
            if name in own_limits and limit > own_limits[name]:
                detail = f"must be less than or equal to pod limits of {limits[name]}"
                amount = container["resources"]["limits"][name]
                errors.append(invalid(f"{path}.containers[{index}][{name}].limits", amount, detail))


def check_resource_claims(errors: Errors, claims: Any, path: str, *, is_mirror: bool) -> set[str]:
    """``spec.resourceClaims``; returns their names."""
    found: set[str] = set()
    for index, claim in enumerate(claims or ()):
        if is_mirror:
            errors.append(forbidden("", "static pods do not support resource claims"))
            return found
        _check_resource_claim(errors, claim, f"{path}[{index}]", found)
    return found


def _check_resource_claim(errors: Errors, claim: Mapping[str, Any], path: str, found: set[str]) -> None:
    name = claim.get("name") or ""
    if not name:
        errors.append(required(f"{path}.name"))
    elif name in found:
        errors.append(duplicate(f"{path}.name", name))
    else:
        check_name(errors, name, f"{path}.name", label_errors)
        found.add(name)
    sources = [field for field in ("resourceClaimName", "resourceClaimTemplateName") if claim.get(field) is not None]
    if len(sources) > 1:
        detail = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
        errors.append(invalid(path, goforms.internal("core.v1.PodResourceClaim", claim), detail))
    if not sources:
        detail = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
        errors.append(invalid(path, goforms.internal("core.v1.PodResourceClaim", claim), detail))
    for field in sources:
        check_name(errors, claim[field], f"{path}.{field}", subdomain_errors)
