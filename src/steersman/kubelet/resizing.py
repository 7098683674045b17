"""What has to change so that a pod's running containers have the resources that it was granted; pure.

The rules are those of upstream's ``computePodResizeAction``: a resource whose resize policy is RestartContainer costs the
container its life, any other is set while it runs; what shrinks goes before what grows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

from steersman.kubelet.allocation import Actuated, Amounts, actuated_of, resizable
from steersman.kubelet.podspec import PodContainer
from steersman.kubelet.records import ContainerRecord, PodRecord

ResourceName = Literal["memory", "cpu"]


class ContainerResize(Struct, frozen=True, kw_only=True):
    """A running container whose cgroup has to change."""

    name: str
    container_id: str
    current: Amounts
    desired: Amounts

    def changes(self, resource: ResourceName) -> bool:
        return _of(self.current, resource) != _of(self.desired, resource)

    def grows(self, resource: ResourceName) -> bool:
        """By its limit where that changes, else by its request."""
        (request, limit), (wanted_request, wanted_limit) = _of(self.current, resource), _of(self.desired, resource)
        return wanted_limit > limit if wanted_limit != limit else wanted_request > request


class Resize(Struct, frozen=True, kw_only=True):
    """Containers to be set anew, and whether the pod's own cgroup has to be."""

    containers: tuple[ContainerResize, ...] = ()
    restarts: tuple[ContainerRecord, ...] = ()
    """Running containers that have to be replaced instead."""
    pod: bool = False

    def __bool__(self) -> bool:
        return bool(self.containers or self.restarts or self.pod)

    def of(self, resource: ResourceName) -> list[ContainerResize]:
        """Those whose ``resource`` changes, shrinking ones first."""
        changing = [item for item in self.containers if item.changes(resource)]
        return sorted(changing, key=lambda item: item.grows(resource))


NO_RESIZE = Resize()


def plan_resize(
    pod: Mapping[str, Any], record: PodRecord, actuated: Actuated, granted: Actuated | None = None
) -> Resize:
    """``granted``: what ``pod`` was granted, where that is known already. A container that is not known to have been set to anything is left alone."""
    granted = granted or actuated_of(pod)
    if actuated.agrees_with(granted):
        return NO_RESIZE
    changes: list[ContainerResize] = []
    restarts: list[ContainerRecord] = []
    for container in resizable(pod):
        latest = record.latest(container.name)
        current = actuated.containers.get(container.name)
        if latest is None or latest.state != "RUNNING" or current is None:
            continue
        desired = granted.containers[container.name]
        if desired == current:
            continue
        change = ContainerResize(name=container.name, container_id=latest.id, current=current, desired=desired)
        if any(change.changes(resource) for resource in _restarting(container)):
            restarts.append(latest)
        else:
            changes.append(change)
    pod_changes = actuated.pod is not None and granted.pod != actuated.pod
    return Resize(containers=tuple(changes), restarts=tuple(restarts), pod=pod_changes)


def applied(actuated: Actuated, change: ContainerResize, resource: ResourceName) -> Actuated:
    """``actuated`` after ``resource`` of one container was set."""
    before, wanted = actuated.containers[change.name], change.desired
    return actuated.with_container(change.name, merged(before, wanted, resource))


def merged(before: Amounts, wanted: Amounts, resource: ResourceName) -> Amounts:
    """``before`` with ``resource`` as ``wanted`` has it."""
    cpu, memory = (wanted, before) if resource == "cpu" else (before, wanted)
    return Amounts(
        cpu_request_milli=cpu.cpu_request_milli,
        cpu_limit_milli=cpu.cpu_limit_milli,
        memory_request_bytes=memory.memory_request_bytes,
        memory_limit_bytes=memory.memory_limit_bytes,
    )


def _restarting(container: PodContainer) -> list[ResourceName]:
    """Resources whose change costs the container a restart."""
    return [
        entry["resourceName"]
        for entry in container.spec.get("resizePolicy") or ()
        if entry.get("restartPolicy") == "RestartContainer" and entry["resourceName"] in ("cpu", "memory")
    ]


def _of(amounts: Amounts, resource: ResourceName) -> tuple[int, int]:
    if resource == "cpu":
        return amounts.cpu_request_milli, amounts.cpu_limit_milli
    return amounts.memory_request_bytes, amounts.memory_limit_bytes
