"""In-place resize (KEP-1287, KEP-5419): the resources a pod was granted, as against those that its spec asks for.

Three sets of numbers live beside one another. What is *desired* is in the pod's spec. What is *allocated* was admitted by
this node; it is what containers are made with and what others have to leave free. What is *actuated* was last handed to
the runtime. A resize is pending while desired and allocated differ, and in progress while allocated and actuated do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct, field

from steersman.kubelet.linux_resources import declared_limits
from steersman.kubelet.podspec import PodContainer, app_containers, init_containers
from steersman.meta.objects import Object
from steersman.meta.podtotals import pod_totals
from steersman.meta.quantities import quantity, to_int, to_milli

Resources = Mapping[str, Any]
"""``requests`` and ``limits`` as a spec has them."""


class Allocation(Struct, frozen=True, kw_only=True):
    """What one pod was granted."""

    pod: Resources | None = None
    """Pod-level ``spec.resources``; None where the pod has none."""
    containers: Mapping[str, Resources] = field(default_factory=dict)
    """By name, of init, sidecar and app containers."""


class Amounts(Struct, frozen=True, kw_only=True):
    """CPU and memory as they reach cgroups; 0 is no request or no limit."""

    cpu_request_milli: int = 0
    cpu_limit_milli: int = 0
    memory_request_bytes: int = 0
    memory_limit_bytes: int = 0


class Actuated(Struct, frozen=True, kw_only=True):
    """What the pod's cgroup and its running containers were last set to."""

    pod: Amounts | None = None
    """Of the pod's own cgroup: sums over its containers, or what the pod level says."""
    containers: Mapping[str, Amounts] = field(default_factory=dict)
    """By name; limits that a container takes over from its pod included."""

    def agrees_with(self, granted: Actuated) -> bool:
        """Nothing is set to anything but what was granted."""
        containers = all(granted.containers.get(name) == amounts for name, amounts in self.containers.items())
        return containers and self.pod in (None, granted.pod)

    def with_container(self, name: str, amounts: Amounts) -> Actuated:
        return Actuated(pod=self.pod, containers={**self.containers, name: amounts})

    def with_pod(self, amounts: Amounts) -> Actuated:
        return Actuated(pod=amounts, containers=self.containers)


def allocation_of(pod: Mapping[str, Any]) -> Allocation:
    """Everything that ``pod``'s spec asks for."""
    return Allocation(
        pod=pod["spec"].get("resources"),
        containers={item.name: item.spec.get("resources") or {} for item in resizable(pod)},
    )


def with_allocation(pod: Object, allocation: Allocation) -> Object:
    """``pod`` with the resources that it was granted; ``pod`` itself where these are what its spec asks for."""
    spec: Object = dict(pod["spec"])
    changed = False
    if not same_resources(spec.get("resources"), allocation.pod):
        changed = True
        spec["resources"] = allocation.pod
        if allocation.pod is None:
            del spec["resources"]
    for group in ("initContainers", "containers"):
        entries = spec.get(group) or ()
        replaced = [_with_resources(entry, allocation.containers.get(entry["name"])) for entry in entries]
        if any(new is not old for new, old in zip(replaced, entries, strict=True)):
            changed = True
            spec[group] = replaced
    return {**pod, "spec": spec} if changed else pod


def _with_resources(container: Object, resources: Resources | None) -> Object:
    if resources is None or same_resources(container.get("resources"), resources):
        return container
    return {**container, "resources": resources}


def same_resources(one: Resources | None, other: Resources | None) -> bool:
    """The same amounts, however they are written."""
    return all(_values(one, part) == _values(other, part) for part in ("requests", "limits"))


def _values(resources: Resources | None, part: str) -> dict[str, Any]:
    return {name: quantity(value) for name, value in ((resources or {}).get(part) or {}).items()}


def resizable(pod: Mapping[str, Any]) -> Iterator[PodContainer]:
    """Every container whose resources may change: all but ephemeral ones."""
    yield from init_containers(pod)
    yield from app_containers(pod)


def container_amounts(container: PodContainer, pod_level: Resources | None) -> Amounts:
    """What ``container`` is set to: its own resources, and its pod's limit where it has none of its own."""
    own = container.spec.get("resources") or {}
    requests, limits = own.get("requests") or {}, own.get("limits") or {}
    shared = (pod_level or {}).get("limits") or {}

    def limit(name: str) -> Any:
        value = limits.get(name)
        return value if value is not None and quantity(value) else shared.get(name, 0)

    return Amounts(
        cpu_request_milli=to_milli(requests.get("cpu", 0)),
        cpu_limit_milli=to_milli(limit("cpu")),
        memory_request_bytes=to_int(requests.get("memory", 0)),
        memory_limit_bytes=to_int(limit("memory")),
    )


def pod_amounts(pod: Mapping[str, Any]) -> Amounts:
    """What the pod's own cgroup is set to: a limit only where every container has one, or the pod level says so."""
    requests, limits = pod_totals(pod["spec"], "requests"), declared_limits(pod)
    return Amounts(
        cpu_request_milli=requests.get("cpu", 0),
        cpu_limit_milli=limits.get("cpu", 0),
        memory_request_bytes=requests.get("memory", 0),
        memory_limit_bytes=limits.get("memory", 0),
    )


def actuated_of(pod: Mapping[str, Any]) -> Actuated:
    """As if everything of ``pod`` had just been started."""
    level = pod["spec"].get("resources")
    containers = {item.name: container_amounts(item, level) for item in resizable(pod)}
    return Actuated(pod=pod_amounts(pod), containers=containers)
