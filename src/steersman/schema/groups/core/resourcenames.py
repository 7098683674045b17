"""Names of resources that can be requested, limited and counted (``cpu``, ``hugepages-2Mi``, ``example.com/gpu``).

Source: "Resource Management for Pods and Containers" and "Resource Quotas" in the Kubernetes documentation.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from steersman.meta.errors import invalid, not_supported
from steersman.meta.names import label_key_errors
from steersman.meta.quantities import parse_quantity
from steersman.schema.groups.core.resourcelist import HUGEPAGES, is_pod_level
from steersman.schema.rules import NOT_NEGATIVE, Errors, check_name, check_quantity

_OF_CONTAINERS = frozenset({"cpu", "memory", "ephemeral-storage"})
_COUNTED = frozenset(
    {
        "pods",
        "resourcequotas",
        "services",
        "replicationcontrollers",
        "secrets",
        "configmaps",
        "persistentvolumeclaims",
        "services.nodeports",
        "services.loadbalancers",
    }
)
_OF_QUOTAS = frozenset(
    {"cpu", "memory", "ephemeral-storage", "requests.storage", *_COUNTED}
    | {f"{part}.{name}" for part in ("requests", "limits") for name in _OF_CONTAINERS}
)
_STANDARD = _OF_QUOTAS | {"storage"}


def is_native(name: str) -> bool:
    """Kubernetes' own, without a domain or in ``kubernetes.io/``."""
    return "/" not in name or "kubernetes.io/" in name


def is_extended(name: str) -> bool:
    """A vendor's, such as ``example.com/gpu``."""
    if is_native(name) or name.startswith("requests."):
        return False
    return not label_key_errors(f"requests.{name}")


def is_hugepages(name: str) -> bool:
    return name.startswith(HUGEPAGES)


def is_overcommitted(name: str) -> bool:
    """More may be limited than requested."""
    return is_native(name) and not is_hugepages(name)


def is_integer(name: str) -> bool:
    return name in _COUNTED or is_extended(name)


def check_resource_name(errors: Errors, name: str, path: str) -> bool:
    """Whether the name is good."""
    before = len(errors)
    check_name(errors, name, path, label_key_errors)
    if len(errors) == before and "/" not in name and not _is_standard(name):
        errors.append(invalid(path, name, "must be a standard resource type or fully qualified"))
    return len(errors) == before


def _is_standard(name: str) -> bool:
    return name in _STANDARD or is_hugepages(name) or name.startswith(f"requests.{HUGEPAGES}")


def check_container_resource_name(errors: Errors, name: str, path: str) -> None:
    if name in _OF_CONTAINERS:
        return
    check_resource_name(errors, name, path)
    if "/" not in name:
        if not is_hugepages(name):
            errors.append(invalid(path, name, "must be a standard resource for containers"))
    elif not is_native(name) and not is_extended(name):
        errors.append(invalid(path, name, "doesn't follow extended resource name standard"))


def check_pod_resource_name(errors: Errors, name: str, path: str) -> None:
    if check_resource_name(errors, name, path) and not is_pod_level(name):
        errors.append(not_supported(path, name, ("cpu", HUGEPAGES, "memory")))


def check_quota_resource_name(errors: Errors, name: str, path: str) -> None:
    check_resource_name(errors, name, path)
    if "/" not in name and name not in _OF_QUOTAS and not _is_standard_hugepages(name):
        errors.append(invalid(path, name, "must be a standard resource for quota"))


def _is_standard_hugepages(name: str) -> bool:
    return name.startswith((HUGEPAGES, f"requests.{HUGEPAGES}"))


def check_amount(errors: Errors, name: str, amount: Any, path: str) -> Fraction | None:
    """A quantity that may not be negative and, of what is counted, must be whole. None where it is no quantity."""
    value = check_quantity(errors, amount, path)
    if value is None:
        return None
    if value < 0:
        errors.append(invalid(path, amount, NOT_NEGATIVE))
    if value.denominator != 1 and is_integer(name):
        errors.append(invalid(path, amount, "must be an integer"))
    return value


def is_multiple_of_page(name: str, value: Fraction) -> bool:
    """An amount of huge pages fits whole pages."""
    try:
        page = parse_quantity(name.removeprefix(HUGEPAGES))
    except ValueError:
        return False
    return page > 0 and page.denominator == 1 and value % page == 0
