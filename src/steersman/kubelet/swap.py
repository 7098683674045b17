"""How much a container may swap: nothing, or on cgroup v2 with ``LimitedSwap`` its share of the machine's swap space.

Source: "Swap memory management" in the documentation and KEP-2400. A container has the share of swap that it requests of
the machine's memory; those that are Guaranteed, BestEffort, critical, or request all that they may use have none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from steersman.kubelet.podspec import PodContainer, containers, is_critical, qos_class
from steersman.kubelet.runtimes.sandboxes import LinuxResources
from steersman.meta.quantities import to_int

SWAP_MAX = "memory.swap.max"


class SwapPolicy(Struct, frozen=True, kw_only=True):
    """Of a node whose kernel counts swap."""

    cgroup_v2: bool
    limited: bool = False
    """``memorySwap.swapBehavior`` is LimitedSwap; otherwise nobody swaps."""
    memory_bytes: int = 0
    swap_bytes: int = 0


def may_swap(pod: Mapping[str, Any], container: PodContainer, policy: SwapPolicy | None) -> bool:
    if policy is None or not policy.limited or not policy.cgroup_v2:
        return False
    request, limit = _memory(container, "requests"), _memory(container, "limits")
    return not is_critical(pod) and qos_class(pod) == "Burstable" and request != limit


def refuse_resize(desired: Mapping[str, Any], granted: Mapping[str, Any], policy: SwapPolicy | None) -> str:
    """Why a resize cannot be done while the containers run; empty where swap does not keep it from being done."""
    before = {item.name: item for item in containers(granted) if item.kind != "ephemeral"}
    for container in containers(desired):
        own = before.get(container.name)
        if own is None or _memory(container, "requests") == _memory(own, "requests") or _restarts(own):
            continue
        if may_swap(desired, container, policy) or may_swap(granted, own, policy):
            return "In-place resize of containers with swap is not supported."
    return ""


def _restarts(container: PodContainer) -> bool:
    return any(
        entry.get("resourceName") == "memory" and entry.get("restartPolicy") == "RestartContainer"
        for entry in container.spec.get("resizePolicy") or ()
    )


def with_swap(
    resources: LinuxResources, pod: Mapping[str, Any], container: PodContainer, policy: SwapPolicy | None
) -> LinuxResources:
    """``resources`` with the container's limit of swap. ``policy``: None where the kernel does not count swap."""
    if policy is None:
        return resources
    if not policy.cgroup_v2:  # one limit for memory and swap together: none is left for swap
        return replace(resources, memory_swap_limit_bytes=resources.memory_limit_bytes)
    limit_bytes = _share(_memory(container, "requests"), policy) if may_swap(pod, container, policy) else 0
    return replace(resources, unified={**resources.unified, SWAP_MAX: str(limit_bytes)})


def _share(request_bytes: int, policy: SwapPolicy) -> int:
    if request_bytes > policy.memory_bytes or policy.memory_bytes <= 0:
        return 0
    return int(request_bytes / policy.memory_bytes * policy.swap_bytes)


def _memory(container: PodContainer, part: str) -> int:
    value = ((container.spec.get("resources") or {}).get(part) or {}).get("memory")
    return to_int(value) if value is not None else 0
