"""Requests and limits as cgroup values: CPU shares and quota, memory limit, OOM score, huge pages (upstream's formulas)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from steersman.kubelet.podspec import PodContainer, app_containers, containers, qos_class
from steersman.kubelet.runtimes.sandboxes import HugepageLimit, LinuxResources
from steersman.kubelet.swap import SwapPolicy, with_swap
from steersman.meta.podtotals import pod_totals
from steersman.meta.quantities import format_binary, quantity, to_int, to_milli

HUGEPAGES = "hugepages-"
MIN_SHARES = 2
MAX_SHARES = 262_144
MIN_QUOTA_US = 1_000
PERIOD_US = 100_000
GUARANTEED_OOM = -997
BEST_EFFORT_OOM = 1000
NODE_CRITICAL_PRIORITY = 2_000_001_000


class ResourcePolicy(Struct, frozen=True, kw_only=True):
    """How this node turns resources into cgroup values."""

    memory_capacity_bytes: int
    cpu_quota: bool = True
    cpu_period_us: int = PERIOD_US
    cgroup_v2: bool = False
    single_process_oom_kill: bool = False
    """On cgroup v2 the kernel otherwise kills all processes of a container together."""
    pod_pids: int = 0
    """How many processes a pod may have; 0: any number."""
    swap: SwapPolicy | None = None
    """None: the kernel does not count swap."""
    hugepage_sizes_bytes: tuple[int, ...] = ()
    """Sizes of huge pages that this machine has. A pod may use those that it has a limit for."""


def cpu_shares(milli: int) -> int:
    if milli == 0:
        return MIN_SHARES
    return max(MIN_SHARES, min(milli * 1024 // 1000, MAX_SHARES))


def cpu_weight(shares: int) -> int:
    """cgroup v2's, from v1's shares."""
    return 1 + (shares - MIN_SHARES) * 9999 // (MAX_SHARES - MIN_SHARES)


def cpu_quota_us(milli: int, period_us: int) -> int:
    """0 without a limit."""
    return max(milli * period_us // 1000, MIN_QUOTA_US) if milli else 0


def container_resources(pod: Mapping[str, Any], container: PodContainer, policy: ResourcePolicy) -> LinuxResources:
    """What the container's cgroup is set to."""
    own = container.spec.get("resources") or {}
    requests, limits = own.get("requests") or {}, own.get("limits") or {}
    pod_limits = (pod["spec"].get("resources") or {}).get("limits") or {}
    cpu_limit = limits.get("cpu", pod_limits.get("cpu"))
    memory_limit = limits.get("memory", pod_limits.get("memory"))
    cpu_request = requests.get("cpu", cpu_limit)
    resources = LinuxResources(
        cpu_shares=cpu_shares(to_milli(cpu_request) if cpu_request is not None else 0),
        cpu_period=policy.cpu_period_us if policy.cpu_quota else 0,
        cpu_quota=cpu_quota_us(to_milli(cpu_limit), policy.cpu_period_us)
        if policy.cpu_quota and cpu_limit is not None
        else 0,
        memory_limit_bytes=to_int(memory_limit) if memory_limit is not None else 0,
        oom_score_adj=oom_score_adjustment(pod, container, policy.memory_capacity_bytes),
        hugepage_limits=tuple(_hugepages(_whole(limits), policy)),
        unified={"memory.oom.group": "1"} if policy.cgroup_v2 and not policy.single_process_oom_kill else {},
    )
    return with_swap(resources, pod, container, policy.swap)


def _whole(limits: Mapping[str, Any]) -> dict[str, int]:
    return {name: to_int(value) for name, value in limits.items() if name.startswith(HUGEPAGES)}


def _hugepages(limits: Mapping[str, int], policy: ResourcePolicy) -> Iterable[HugepageLimit]:
    """One for each size of page that is limited or that the machine has: what has no limit has none to use."""
    wanted = {
        to_int(name.removeprefix(HUGEPAGES)): limit for name, limit in limits.items() if name.startswith(HUGEPAGES)
    }
    for size_bytes in sorted({*wanted, *policy.hugepage_sizes_bytes}):
        size = format_binary(size_bytes).replace("i", "B")
        yield HugepageLimit(page_size=size, limit_bytes=wanted.get(size_bytes, 0))


def oom_score_adjustment(pod: Mapping[str, Any], container: PodContainer, capacity_bytes: int) -> int:
    """From -997 (last to be killed) to 1000 (first): by QoS class, for Burstable by the share of memory requested."""
    if int(pod["spec"].get("priority") or 0) >= NODE_CRITICAL_PRIORITY or qos_class(pod) == "Guaranteed":
        return GUARANTEED_OOM
    if qos_class(pod) == "BestEffort":
        return BEST_EFFORT_OOM
    extra = _unassigned_bytes(pod)
    score = 1000 - 1000 * (_memory_request(container) + extra) // capacity_bytes
    if container.kind == "sidecar":
        least = min((_memory_request(item) for item in app_containers(pod)), default=0)
        score = min(score, 1000 - 1000 * (least + extra) // capacity_bytes)
    return min(max(score, 1000 + GUARANTEED_OOM), BEST_EFFORT_OOM - 1)


def _memory_request(container: PodContainer) -> int:
    request = ((container.spec.get("resources") or {}).get("requests") or {}).get("memory")
    return to_int(request) if request is not None else 0


def _unassigned_bytes(pod: Mapping[str, Any]) -> int:
    """Each container's share of the pod-level memory request that no container claims."""
    request = ((pod["spec"].get("resources") or {}).get("requests") or {}).get("memory")
    if request is None:
        return 0
    staying = [item for item in containers(pod) if item.stays]
    left = to_int(request) - sum(_memory_request(item) for item in staying)
    return max(left, 0) // max(len(staying), 1)


def declared_limits(pod: Mapping[str, Any]) -> dict[str, int]:
    """``pod_totals`` of limits, without those that some container does not have: the pod as a whole has none either."""
    pod_level = (pod["spec"].get("resources") or {}).get("limits") or {}
    everyone = [item for item in containers(pod) if item.kind != "ephemeral"]

    def declared(name: str) -> bool:
        return name in pod_level or all(_has_limit(item, name) for item in everyone)

    return {name: value for name, value in pod_totals(pod["spec"], "limits").items() if declared(name)}


def _has_limit(container: PodContainer, name: str) -> bool:
    value = ((container.spec.get("resources") or {}).get("limits") or {}).get(name)
    return value is not None and quantity(value) > 0


def pod_resources(pod: Mapping[str, Any], policy: ResourcePolicy) -> LinuxResources:
    """What the pod's own cgroup is set to: limits only where every container has one."""
    requests, limits = pod_totals(pod["spec"], "requests"), declared_limits(pod)
    quota = cpu_quota_us(limits.get("cpu", 0), policy.cpu_period_us) if policy.cpu_quota else 0
    return LinuxResources(
        cpu_shares=MIN_SHARES if qos_class(pod) == "BestEffort" else cpu_shares(requests.get("cpu", 0)),
        cpu_period=policy.cpu_period_us if quota else 0,
        cpu_quota=quota,
        memory_limit_bytes=limits.get("memory", 0),
        hugepage_limits=tuple(_hugepages(pod_totals(pod["spec"], "limits"), policy)),
    )
