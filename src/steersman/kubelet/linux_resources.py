"""Requests and limits as cgroup values: CPU shares and quota, memory limit, OOM score, huge pages (upstream's formulas)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from steersman.kubelet.podspec import PodContainer, app_containers, containers, init_containers, qos_class
from steersman.kubelet.runtimes.sandboxes import HugepageLimit, LinuxResources
from steersman.meta.quantities import format_binary, to_int, to_milli

MIN_SHARES = 2
MAX_SHARES = 262_144
MIN_QUOTA_US = 1_000
PERIOD_US = 100_000
GUARANTEED_OOM = -997
BEST_EFFORT_OOM = 1000
NODE_CRITICAL_PRIORITY = 2_000_001_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourcePolicy:
    """How this node turns resources into cgroup values."""

    memory_capacity_bytes: int
    cpu_quota: bool = True
    cpu_period_us: int = PERIOD_US
    cgroup_v2: bool = False
    pod_pids: int = 0
    """Processes that a pod may have; 0: as many as the node."""
    single_process_oom_kill: bool = False
    """On cgroup v2 the kernel otherwise kills all processes of a container together."""


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
    return LinuxResources(
        cpu_shares=cpu_shares(to_milli(cpu_request) if cpu_request is not None else 0),
        cpu_period=policy.cpu_period_us if policy.cpu_quota else 0,
        cpu_quota=cpu_quota_us(to_milli(cpu_limit), policy.cpu_period_us)
        if policy.cpu_quota and cpu_limit is not None
        else 0,
        memory_limit_bytes=to_int(memory_limit) if memory_limit is not None else 0,
        oom_score_adj=oom_score_adjustment(pod, container, policy.memory_capacity_bytes),
        hugepage_limits=tuple(_hugepages(limits)),
        unified={"memory.oom.group": "1"} if policy.cgroup_v2 and not policy.single_process_oom_kill else {},
    )


def _hugepages(limits: Mapping[str, Any]) -> Iterable[HugepageLimit]:
    for name, value in limits.items():
        if name.startswith("hugepages-"):
            size = format_binary(to_int(name.removeprefix("hugepages-")))
            yield HugepageLimit(page_size=size.replace("i", "B"), limit_bytes=to_int(value))


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


def pod_totals(pod: Mapping[str, Any], field: str) -> dict[str, int]:
    """``requests`` or ``limits`` of the whole pod: milli-CPU, bytes, counts. Sidecars count with the app containers, other
    init containers by the largest moment (KEP-753); pod-level resources replace the sum; overhead is added."""
    total: dict[str, int] = {}
    for container in app_containers(pod):
        _add(total, _amounts(container.spec, field))
    sidecars: dict[str, int] = {}
    peak: dict[str, int] = {}
    for container in init_containers(pod):
        amounts = _amounts(container.spec, field)
        if container.kind == "sidecar":
            _add(sidecars, amounts)
            moment = dict(sidecars)
        else:
            moment = dict(sidecars)
            _add(moment, amounts)
        peak = {name: max(peak.get(name, 0), moment.get(name, 0)) for name in {*peak, *moment}}
    _add(total, sidecars)
    total = {name: max(total.get(name, 0), peak.get(name, 0)) for name in {*total, *peak}}
    total.update(_amounts(pod["spec"], field))
    overhead = pod["spec"].get("overhead") or {}
    _add(
        total, {name: _amount(name, value) for name, value in overhead.items() if field == "requests" or name in total}
    )
    return total


def _amounts(spec: Mapping[str, Any], field: str) -> dict[str, int]:
    entries = (spec.get("resources") or {}).get(field) or {}
    return {name: _amount(name, value) for name, value in entries.items()}


def _amount(name: str, value: Any) -> int:
    return to_milli(value) if name == "cpu" else to_int(value)


def _add(total: dict[str, int], amounts: Mapping[str, int]) -> None:
    for name, amount in amounts.items():
        total[name] = total.get(name, 0) + amount


def pod_resources(pod: Mapping[str, Any], policy: ResourcePolicy) -> LinuxResources:
    """What the pod's own cgroup is set to: limits only where every container has one."""
    requests, limits = pod_totals(pod, "requests"), pod_totals(pod, "limits")
    pod_level = (pod["spec"].get("resources") or {}).get("limits") or {}
    everyone = [item for item in containers(pod) if item.kind != "ephemeral"]

    def limited(name: str) -> bool:
        return name in pod_level or all(
            ((item.spec.get("resources") or {}).get("limits") or {}).get(name) is not None for item in everyone
        )

    quota = cpu_quota_us(limits.get("cpu", 0), policy.cpu_period_us) if policy.cpu_quota and limited("cpu") else 0
    return LinuxResources(
        cpu_shares=MIN_SHARES if qos_class(pod) == "BestEffort" else cpu_shares(requests.get("cpu", 0)),
        cpu_period=policy.cpu_period_us if quota else 0,
        cpu_quota=quota,
        memory_limit_bytes=limits.get("memory", 0) if limited("memory") else 0,
    )
