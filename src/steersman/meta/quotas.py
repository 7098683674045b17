"""What objects use of a ResourceQuota: which resources a quota can limit, in which scopes, and how much one object takes.

Source: "Resource Quotas" in the Kubernetes documentation. Quantities are exact; who writes them formats them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from msgspec import Struct

from steersman.meta import objects, times
from steersman.meta.podresources import is_best_effort, pod_amounts
from steersman.meta.quantities import format_binary, format_decimal, quantity
from steersman.meta.resources import PERSISTENTVOLUMECLAIMS, PODS, RESOURCECLAIMS, SERVICES, Resource

Usage = dict[str, Fraction]
COUNT = "count/"
CORE_COUNTS = frozenset(
    {"configmaps", "secrets", "replicationcontrollers", "resourcequotas", "services", "persistentvolumeclaims"}
)
_FINISHED = frozenset({"Succeeded", "Failed"})
_STORAGE_CLASS_SUFFIX = ".storageclass.storage.k8s.io/"
_DEVICES_SUFFIX = ".deviceclass.resource.k8s.io/devices"
_DEVICE_CLASS_PREFIX = "deviceclass.resource.kubernetes.io/"
_ALL_DEVICES = 32
"""What a request for all devices of a class counts as: the most that a claim can be allocated."""
_BINARY = ("memory", "storage", "hugepages-")
_COMPUTE = frozenset({"cpu", "memory", "ephemeral-storage"})
_POD_NAMES = frozenset(
    {"pods", *_COMPUTE, *(f"requests.{name}" for name in _COMPUTE), *(f"limits.{name}" for name in _COMPUTE)}
)
_CLAIM_NAMES = ("persistentvolumeclaims", "requests.storage")
_CLAIM_SUFFIXES = tuple(f"{_STORAGE_CLASS_SUFFIX}{name}" for name in _CLAIM_NAMES)
_SCOPES_OF_PODS = frozenset(
    {"Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "PriorityClass", "CrossNamespacePodAffinity"}
)


class Scope(Struct, frozen=True, kw_only=True):
    """One condition on an object; all of a quota's must hold."""

    name: str
    operator: str = "Exists"
    values: frozenset[str] = frozenset()
    listed: Sequence[str] = ()
    """The values in the order in which they were given, for messages."""

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Scope:
        values = tuple(entry.get("values") or ())
        return cls(name=entry["scopeName"], operator=entry["operator"], values=frozenset(values), listed=values)


def scopes_of(quota: Mapping[str, Any]) -> list[Scope]:
    spec = quota.get("spec") or {}
    found = [Scope(name=name) for name in spec.get("scopes") or ()]
    expressions = (spec.get("scopeSelector") or {}).get("matchExpressions") or ()
    return found + [Scope.of(entry) for entry in expressions]


def in_scope(resource: Resource, obj: Mapping[str, Any], scopes: Iterable[Scope], now_s: float) -> bool:
    """``obj`` is one that a quota with ``scopes`` counts."""
    return all(_in_scope(resource, obj, scope, now_s) for scope in scopes)


def _in_scope(resource: Resource, obj: Mapping[str, Any], scope: Scope, now_s: float) -> bool:
    spec = obj.get("spec") or {}
    if resource == PERSISTENTVOLUMECLAIMS and scope.name == "VolumeAttributesClass":
        classes = volume_attributes_classes(obj)
        return any(_matches(scope, name) for name in classes) if classes else _matches(scope, "")
    if resource != PODS or scope.name not in _SCOPES_OF_PODS:
        return False
    match scope.name:
        case "Terminating":
            return is_terminating(obj)
        case "NotTerminating":
            return not is_terminating(obj)
        case "BestEffort":
            return is_best_effort(obj)
        case "NotBestEffort":
            return not is_best_effort(obj)
        case "PriorityClass":
            return _matches(scope, spec.get("priorityClassName") or "")
        case _:
            return _crosses_namespaces(spec)


def is_terminating(pod: Mapping[str, Any]) -> bool:
    """It ends by itself after a time."""
    deadline_s = (pod.get("spec") or {}).get("activeDeadlineSeconds")
    return deadline_s is not None and deadline_s >= 0


def volume_attributes_classes(claim: Mapping[str, Any]) -> frozenset[str]:
    """The classes that a claim asks for, has, or is on its way to."""
    status = claim.get("status") or {}
    named = (
        (claim.get("spec") or {}).get("volumeAttributesClassName"),
        status.get("currentVolumeAttributesClassName"),
        (status.get("modifyVolumeStatus") or {}).get("targetVolumeAttributesClassName"),
    )
    return frozenset(name for name in named if name)


def _matches(scope: Scope, value: str) -> bool:
    match scope.operator:
        case "In":
            return value in scope.values
        case "NotIn":
            return value not in scope.values
        case "DoesNotExist":
            return not value
        case _:
            return bool(value)


def _crosses_namespaces(spec: Mapping[str, Any]) -> bool:
    affinity = spec.get("affinity") or {}
    for kind in ("podAffinity", "podAntiAffinity"):
        rules = affinity.get(kind) or {}
        terms = list(rules.get("requiredDuringSchedulingIgnoredDuringExecution") or ())
        terms += [
            entry["podAffinityTerm"] for entry in rules.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        ]
        if any(term.get("namespaces") or term.get("namespaceSelector") is not None for term in terms):
            return True
    return False


def usage_of(
    resource: Resource, obj: Mapping[str, Any], now_s: float, *, extended: Mapping[str, str] | None = None
) -> Usage:
    """What ``obj`` takes of every resource that a quota can name. ``extended`` are the extended resources that device classes
    stand for, by class."""
    usage: Usage = {f"{COUNT}{resource.group_resource}": Fraction(1)}
    if not resource.group and resource.plural in CORE_COUNTS:
        usage[resource.plural] = Fraction(1)
    if resource == PODS:
        usage |= _pod_usage(obj, now_s)
    elif resource == SERVICES:
        usage |= _service_usage(obj)
    elif resource == PERSISTENTVOLUMECLAIMS:
        usage |= _claim_usage(obj)
    elif resource == RESOURCECLAIMS:
        usage |= _device_usage(obj, extended or {})
    return usage


def counts_pod(pod: Mapping[str, Any], now_s: float) -> bool:
    """It has not ended, and is not one whose deletion is overdue (its node is gone)."""
    if ((pod.get("status") or {}).get("phase") or "") in _FINISHED:
        return False
    metadata = objects.metadata(pod)
    deleted, grace_s = metadata.get("deletionTimestamp"), metadata.get("deletionGracePeriodSeconds")
    return not (deleted and grace_s is not None and times.parse_time(deleted) + grace_s < now_s)


def _pod_usage(pod: Mapping[str, Any], now_s: float) -> Usage:
    if not counts_pod(pod, now_s):
        return {}
    return {"pods": Fraction(1), **compute_usage(pod_amounts(pod, "requests"), pod_amounts(pod, "limits"))}


def compute_usage(requests: Mapping[str, Fraction], limits: Mapping[str, Fraction]) -> Usage:
    """Requests and limits under the names that quotas have for them."""
    usage: Usage = {}
    for name, amount in requests.items():
        if name in _COMPUTE or name.startswith("hugepages-"):
            usage[name] = usage[f"requests.{name}"] = amount
        elif is_extended(name):
            usage[f"requests.{name}"] = amount
    for name, amount in limits.items():
        if name in _COMPUTE:
            usage[f"limits.{name}"] = amount
    return usage


def is_extended(name: str) -> bool:
    """An extended resource, or the devices of a class asked for in the manner of one."""
    return ("/" in name and "kubernetes.io/" not in name) or name.startswith(_DEVICE_CLASS_PREFIX)


def _service_usage(service: Mapping[str, Any]) -> Usage:
    spec = service.get("spec") or {}
    kind, ports = spec.get("type") or "ClusterIP", spec.get("ports") or ()
    usage: Usage = {"services.loadbalancers": Fraction(0), "services.nodeports": Fraction(0)}
    if kind == "NodePort":
        usage["services.nodeports"] = Fraction(len(ports))
    elif kind == "LoadBalancer":
        usage["services.loadbalancers"] = Fraction(1)
        if spec.get("allocateLoadBalancerNodePorts", True):
            usage["services.nodeports"] = Fraction(len(ports))
        else:
            usage["services.nodeports"] = Fraction(sum(1 for port in ports if port.get("nodePort")))
    return usage


def _claim_usage(claim: Mapping[str, Any]) -> Usage:
    spec = claim.get("spec") or {}
    annotations = objects.annotations(claim)
    storage_class = annotations.get("volume.beta.kubernetes.io/storage-class") or spec.get("storageClassName")
    usage: Usage = {}
    if storage_class:
        usage[f"{storage_class}{_STORAGE_CLASS_SUFFIX}persistentvolumeclaims"] = Fraction(1)
    requested = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if requested is None:
        return usage
    allocated = ((claim.get("status") or {}).get("allocatedResources") or {}).get("storage")
    amount = quantity(requested)
    if allocated is not None:
        amount = max(amount, quantity(allocated))
    amount = Fraction(math.ceil(amount))
    usage["requests.storage"] = amount
    if storage_class:
        usage[f"{storage_class}{_STORAGE_CLASS_SUFFIX}requests.storage"] = amount
    return usage


def _device_usage(claim: Mapping[str, Any], extended: Mapping[str, str]) -> Usage:
    """Devices by class, in the worst case; the same again as extended resources."""
    by_class: Usage = {}
    for request in ((claim.get("spec") or {}).get("devices") or {}).get("requests") or ():
        alternatives = request.get("firstAvailable") or [request.get("exactly") or {}]
        most: Usage = {}
        for entry in alternatives:
            name = entry.get("deviceClassName")
            if name:
                most[name] = max(most.get(name, Fraction(0)), _devices(entry))
        for name, amount in most.items():
            by_class[name] = by_class.get(name, Fraction(0)) + amount
    usage: Usage = {}
    for name, amount in by_class.items():
        usage[f"{name}{_DEVICES_SUFFIX}"] = amount
        if amount:
            usage[f"requests.{_DEVICE_CLASS_PREFIX}{name}"] = amount
            if name in extended:
                usage[f"requests.{extended[name]}"] = amount
    return usage


def _devices(request: Mapping[str, Any]) -> Fraction:
    match request.get("allocationMode"):
        case "ExactCount":
            return Fraction(request.get("count") or 0)
        case "All":
            return Fraction(_ALL_DEVICES)
        case _:
            return Fraction(0)


def tracked(resource: Resource, hard: Iterable[str]) -> list[str]:
    """Which of the limited resources objects of ``resource`` can take from."""
    return [name for name in hard if _takes_from(resource, name)]


def _takes_from(resource: Resource, name: str) -> bool:
    if name == f"{COUNT}{resource.group_resource}":
        return True
    if resource == RESOURCECLAIMS:
        return name.endswith(_DEVICES_SUFFIX) or (name.startswith("requests.") and is_extended(name[9:]))
    if resource.group:
        return False
    if resource == PODS:
        return (
            name in _POD_NAMES
            or name.startswith(("hugepages-", "requests.hugepages-"))
            or (name.startswith("requests.") and is_extended(name[9:]))
        )
    if resource == PERSISTENTVOLUMECLAIMS:
        return name in _CLAIM_NAMES or name.endswith(_CLAIM_SUFFIXES)
    if resource == SERVICES and name in ("services.loadbalancers", "services.nodeports"):
        return True
    return resource.plural in CORE_COUNTS and name == resource.plural


def format_amount(name: str, amount: Fraction) -> str:
    """An amount of a limited resource: bytes in powers of two where they are such."""
    is_binary = any(part in name for part in _BINARY)
    if is_binary and amount.denominator == 1 and amount % 1024 == 0:
        return format_binary(int(amount))
    return format_decimal(amount)


def covered(quota: Mapping[str, Any]) -> Sequence[str]:
    """The names under ``spec.hard``."""
    return [*((quota.get("spec") or {}).get("hard") or {})]
