"""Addresses and families of a Service: what clients may ask for and what may change later.

The API server allocates; these rules look at the outcome.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from steersman.meta.addresses import ip_errors, ip_family
from steersman.meta.errors import FieldError, duplicate, invalid, not_supported, required
from steersman.meta.objects import Object
from steersman.schema.rules import Errors

NONE = "None"
FAMILIES = ("IPv4", "IPv6")
POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")


def is_headless(spec: Mapping[str, Any]) -> bool:
    return (spec.get("clusterIPs") or []) == [NONE] or (not spec.get("clusterIPs") and spec.get("clusterIP") == NONE)


def check_addresses(errors: Errors, spec: Mapping[str, Any]) -> None:
    if spec.get("type") == "ExternalName":
        return
    first, addresses = spec.get("clusterIP") or "", spec.get("clusterIPs") or []
    if first and not addresses:
        errors.append(required("spec.clusterIPs"))
    elif first and addresses[0] != first:
        errors.append(invalid("spec.clusterIPs", addresses, "first value must match `clusterIP`"))
    elif not first and addresses:
        errors.append(invalid("spec.clusterIPs", addresses, "must be empty when `clusterIP` is not specified"))
    families = spec.get("ipFamilies") or []
    for index, family in enumerate(families):
        if family not in FAMILIES:
            errors.append(not_supported(f"spec.ipFamilies[{index}]", family, FAMILIES))
        if family in families[:index]:
            errors.append(duplicate(f"spec.ipFamilies[{index}]", family))
    policy = spec.get("ipFamilyPolicy")
    if policy is not None and policy not in POLICIES:
        errors.append(not_supported("spec.ipFamilyPolicy", policy, POLICIES))
    _check_cluster_addresses(errors, addresses, families)


def _check_cluster_addresses(errors: Errors, addresses: Sequence[str], families: Sequence[str]) -> None:
    path, before = "spec.clusterIPs", len(errors)
    for index, address in enumerate(addresses):
        if index == 0 and address == NONE:
            if len(addresses) > 1:
                errors.append(invalid(path, list(addresses), "'None' must be the first and only value"))
        else:
            errors.extend(invalid(f"{path}[{index}]", address, text) for text in ip_errors(address))
    has_bad = len(errors) > before
    if len(addresses) > 2:
        errors.append(invalid(path, list(addresses), "may only hold up to 2 values"))
    if has_bad or not addresses or addresses[0] == NONE:
        return
    found = [ip_family(address) for address in addresses]
    if len(addresses) > 1 and sorted(set(found)) != list(FAMILIES):
        errors.append(invalid(path, list(addresses), "may specify no more than one IP for each IP family"))
    for index, (have, wanted) in enumerate(zip(found, families, strict=False)):
        if have != wanted and wanted in FAMILIES:
            detail = f"expected an {wanted} value as indicated by `ipFamilies[{index}]`"
            errors.append(invalid(f"{path}[{index}]", addresses[index], detail))


def address_update_errors(new: Object, old: Object) -> list[FieldError]:
    """The first address and family stay for good; the second comes and goes with the policy."""
    errors: Errors = []
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    if "ExternalName" in (spec.get("type"), before.get("type")):
        return errors
    if not (is_headless(spec) and is_headless(before)):
        _check_change(errors, spec, before, "clusterIPs", "clusterIP")
    if not is_headless(spec) and not is_headless(before):
        _check_change(errors, spec, before, "ipFamilies", "ipFamily")
    return errors


def _check_change(errors: Errors, spec: Mapping[str, Any], before: Mapping[str, Any], field: str, word: str) -> None:
    now, was, path = spec.get(field) or [], before.get(field) or [], f"spec.{field}"
    if len(now) == len(was):
        errors.extend(
            invalid(f"{path}[{index if field == 'clusterIPs' else 0}]", now, "may not change once set")
            for index, value in enumerate(was)
            if value != now[index]
        )
        return
    if was and now and now[0] != was[0]:
        errors.append(invalid(f"{path}[0]", now, "may not change once set"))
    if len(was) < len(now):
        return
    if not now:
        errors.append(invalid(f"{path}[0]", now, f"primary {word} can not be unset"))
    elif len(now) == 1 and spec.get("ipFamilyPolicy") != "SingleStack":
        detail = f"must be set to 'SingleStack' when releasing the secondary {word}"
        errors.append(invalid("spec.ipFamilyPolicy", spec.get("ipFamilyPolicy"), detail))
