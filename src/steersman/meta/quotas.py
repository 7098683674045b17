"""What objects use of a ResourceQuota: which resources a quota can limit, in which scopes, and how much one object takes.

Source: "Resource Quotas" in the Kubernetes documentation. Quantities are exact; who writes them formats them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from steersman.meta import objects, times
from steersman.meta.quantities import quantity
from steersman.meta.resources import PERSISTENTVOLUMECLAIMS, PODS, SERVICES, Resource

Usage = dict[str, Fraction]
COUNT = "count/"
CORE_COUNTS = frozenset(
    {"configmaps", "secrets", "replicationcontrollers", "resourcequotas", "services", "persistentvolumeclaims"}
)
_FINISHED = frozenset({"Succeeded", "Failed"})
_STORAGE_CLASS_SUFFIX = ".storageclass.storage.k8s.io/"
_VOLUME_CLASS_SUFFIX = ".volumeattributesclass.storage.k8s.io/"
_SCOPES_OF_PODS = frozenset(
    {"Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "PriorityClass", "CrossNamespacePodAffinity"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """One condition on an object; all of a quota's must hold."""

    name: str
    operator: str = "Exists"
    values: frozenset[str] = frozenset()


def scopes_of(quota: Mapping[str, Any]) -> list[Scope]:
    spec = quota.get("spec") or {}
    found = [Scope(name=name) for name in spec.get("scopes") or ()]
    expressions = (spec.get("scopeSelector") or {}).get("matchExpressions") or ()
    return found + [
        Scope(name=entry["scopeName"], operator=entry["operator"], values=frozenset(entry.get("values") or ()))
        for entry in expressions
    ]


def in_scope(resource: Resource, obj: Mapping[str, Any], scopes: Iterable[Scope], now_s: float) -> bool:
    """``obj`` is one that a quota with ``scopes`` counts."""
    return all(_in_scope(resource, obj, scope, now_s) for scope in scopes)


def _in_scope(resource: Resource, obj: Mapping[str, Any], scope: Scope, now_s: float) -> bool:
    spec = obj.get("spec") or {}
    if resource == PERSISTENTVOLUMECLAIMS and scope.name == "VolumeAttributesClass":
        return _matches(scope, spec.get("volumeAttributesClassName") or "")
    if resource != PODS or scope.name not in _SCOPES_OF_PODS:
        return False
    match scope.name:
        case "Terminating":
            return spec.get("activeDeadlineSeconds") is not None
        case "NotTerminating":
            return spec.get("activeDeadlineSeconds") is None
        case "BestEffort":
            return is_best_effort(spec)
        case "NotBestEffort":
            return not is_best_effort(spec)
        case "PriorityClass":
            return _matches(scope, spec.get("priorityClassName") or "")
        case _:
            return _crosses_namespaces(spec)


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


def is_best_effort(spec: Mapping[str, Any]) -> bool:
    """No container asks for or is limited in CPU or memory."""
    for container in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]:
        resources = container.get("resources") or {}
        for part in ("requests", "limits"):
            if any(name in ("cpu", "memory") for name in resources.get(part) or ()):
                return False
    pod_level = spec.get("resources") or {}
    return not (pod_level.get("requests") or pod_level.get("limits"))


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


def usage_of(resource: Resource, obj: Mapping[str, Any], now_s: float) -> Usage:
    """What ``obj`` takes of every resource that a quota can name."""
    usage: Usage = {f"{COUNT}{resource.group_resource}": Fraction(1)}
    if not resource.group and resource.plural in CORE_COUNTS:
        usage[resource.plural] = Fraction(1)
    if resource == PODS:
        usage |= _pod_usage(obj, now_s)
    elif resource == SERVICES:
        usage |= _service_usage(obj)
    elif resource == PERSISTENTVOLUMECLAIMS:
        usage |= _claim_usage(obj)
    return usage


def counts_pod(pod: Mapping[str, Any], now_s: float) -> bool:
    """It has not ended, and is not one whose deletion is overdue (its node is gone)."""
    if ((pod.get("status") or {}).get("phase") or "") in _FINISHED:
        return False
    metadata = objects.metadata(pod)
    deleted, grace_s = metadata.get("deletionTimestamp"), metadata.get("deletionGracePeriodSeconds")
    return not (deleted and grace_s is not None and times.parse_time(deleted) < now_s)


def _pod_usage(pod: Mapping[str, Any], now_s: float) -> Usage:
    if not counts_pod(pod, now_s):
        return {}
    usage: Usage = {"pods": Fraction(1)}
    for name, amount in pod_amounts(pod, "requests").items():
        if name in ("cpu", "memory", "ephemeral-storage") or name.startswith("hugepages-"):
            usage[name] = usage[f"requests.{name}"] = amount
        elif "/" in name:
            usage[f"requests.{name}"] = amount
    for name, amount in pod_amounts(pod, "limits").items():
        if name in ("cpu", "memory", "ephemeral-storage"):
            usage[f"limits.{name}"] = amount
    return usage


def pod_amounts(pod: Mapping[str, Any], part: str) -> Usage:
    """A pod's total of ``requests`` or ``limits``: its containers and sidecars, or what an init container needs at its time,
    whichever is more; amounts for the whole pod win; plus overhead where there is something to add it to."""
    spec = pod.get("spec") or {}
    total: Usage = {}
    for container in spec.get("containers") or ():
        _add(total, _amounts(container, part))
    sidecars: Usage = {}
    peak: Usage = {}
    for container in spec.get("initContainers") or ():
        amounts = _amounts(container, part)
        if container.get("restartPolicy") == "Always":
            _add(total, amounts)
            _add(sidecars, amounts)
            _raise_to(peak, sidecars)
        else:
            together = dict(sidecars)
            _add(together, amounts)
            _raise_to(peak, together)
    _raise_to(total, peak)
    total |= _amounts(spec, part)
    for name, value in (spec.get("overhead") or {}).items():
        if part == "requests" or name in total:
            total[name] = total.get(name, Fraction(0)) + quantity(value)
    return total


def _amounts(holder: Mapping[str, Any], part: str) -> Usage:
    resources = holder.get("resources") or {}
    found = {name: quantity(value) for name, value in (resources.get(part) or {}).items()}
    if part == "requests":
        found |= {name: quantity(value) for name, value in (resources.get("limits") or {}).items() if name not in found}
    return found


def _add(total: Usage, amounts: Mapping[str, Fraction]) -> None:
    for name, amount in amounts.items():
        total[name] = total.get(name, Fraction(0)) + amount


def _raise_to(total: Usage, amounts: Mapping[str, Fraction]) -> None:
    for name, amount in amounts.items():
        total[name] = max(total.get(name, Fraction(0)), amount)


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
    requested = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    allocated = ((claim.get("status") or {}).get("allocatedResources") or {}).get("storage")
    amount = quantity(requested) if requested is not None else Fraction(0)
    if allocated is not None:
        amount = max(amount, quantity(allocated))
    usage: Usage = {"requests.storage": amount}
    annotations = objects.annotations(claim)
    storage_class = annotations.get("volume.beta.kubernetes.io/storage-class") or spec.get("storageClassName")
    for suffix, name in (
        (_STORAGE_CLASS_SUFFIX, storage_class),
        (_VOLUME_CLASS_SUFFIX, spec.get("volumeAttributesClassName")),
    ):
        if name:
            usage[f"{name}{suffix}requests.storage"] = amount
            usage[f"{name}{suffix}persistentvolumeclaims"] = Fraction(1)
    return usage


def tracked(resource: Resource, hard: Iterable[str]) -> list[str]:
    """Which of the limited resources objects of ``resource`` can take from."""
    return [name for name in hard if _takes_from(resource, name)]


def _takes_from(resource: Resource, name: str) -> bool:
    if name == f"{COUNT}{resource.group_resource}":
        return True
    if resource.group:
        return False
    if resource == PODS:
        return (
            name in ("pods", "cpu", "memory", "ephemeral-storage")
            or name.startswith(("hugepages-", "limits."))
            or (name.startswith("requests.") and name != "requests.storage")
        )
    if resource == PERSISTENTVOLUMECLAIMS:
        is_of_class = _STORAGE_CLASS_SUFFIX in name or _VOLUME_CLASS_SUFFIX in name
        return is_of_class or name in ("requests.storage", "persistentvolumeclaims")
    if resource == SERVICES and name in ("services.loadbalancers", "services.nodeports"):
        return True
    return resource.plural in CORE_COUNTS and name == resource.plural


def covered(quota: Mapping[str, Any]) -> Sequence[str]:
    """The names under ``spec.hard``."""
    return [*((quota.get("spec") or {}).get("hard") or {})]
