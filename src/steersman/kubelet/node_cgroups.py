"""The cgroups that all pods share: what they may use together, and how the QoS classes share what is short.

Source: the documentation's "Reserve Compute Resources for System Daemons"; upstream's node and QoS container managers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from msgspec import Struct, field

from steersman.aio.clock import Clock
from steersman.kubelet.cgroup_hierarchies import Hierarchy
from steersman.kubelet.linux_resources import MIN_SHARES, cpu_shares, cpu_weight
from steersman.kubelet.podspec import qos_class
from steersman.kubelet.reservations import Reservations
from steersman.meta.podtotals import pod_totals
from steersman.meta.quantities import format_binary, quantity, to_int, to_milli

QOS_PERIOD_S: Final = 60.0
RETRY_S: Final = 60.0
log = logging.getLogger(__name__)


class EnforcementError(Exception):
    """A cgroup cannot be limited as ``enforceNodeAllocatable`` demands; the message is upstream's event."""


class GroupLimits(Struct, frozen=True, kw_only=True):
    """Of one cgroup; None: left as it is."""

    cpu_milli: int | None = None
    memory_bytes: int | None = None
    pids: int | None = None
    hugepages: Mapping[str, int] = field(default_factory=dict)
    """Bytes by page size as in file names: ``2MB``."""


def pods_limits(capacity: Mapping[str, Any], pids: int, reservations: Reservations) -> GroupLimits:
    """What all pods may use together: capacity without reservations where those are enforced. Eviction thresholds do not
    count: pods may go beyond them for a moment, and are evicted then."""
    reserved = reservations.total if "pods" in reservations.enforce else {}

    def left(name: str, total: int, unit: Callable[[object], int]) -> int:
        return max(total - unit(reserved.get(name, "0")), 0)

    return GroupLimits(
        cpu_milli=left("cpu", to_milli(capacity["cpu"]), to_milli),
        memory_bytes=left("memory", to_int(capacity["memory"]), to_int),
        pids=left("pid", pids, to_int),
        hugepages={
            format_binary(to_int(name.removeprefix("hugepages-"))).replace("i", "B"): to_int(value)
            for name, value in capacity.items()
            if name.startswith("hugepages-")
        },
    )


def reserved_limits(given: Mapping[str, str], *, compressible_only: bool) -> GroupLimits:
    """Of ``kubeReservedCgroup`` or ``systemReservedCgroup``."""
    cpu = to_milli(given["cpu"]) if "cpu" in given else None
    if compressible_only:
        return GroupLimits(cpu_milli=cpu)
    return GroupLimits(
        cpu_milli=cpu,
        memory_bytes=to_int(given["memory"]) if "memory" in given else None,
        pids=to_int(given["pid"]) if "pid" in given else None,
    )


def over_reserved(capacity: Mapping[str, Any], reserved: Mapping[str, Any]) -> str:
    """Why reservations cannot be kept; empty where they can."""
    problems = [
        f'Resource "{name}" has a reservation of {amount} but capacity of {capacity[name]}. Expected capacity >='
        " reservation."
        for name, amount in reserved.items()
        if name in capacity and quantity(capacity[name]) < quantity(str(amount))
    ]
    return f"invalid Node Allocatable configuration. {' '.join(problems)}" if problems else ""


class NodeCgroups:
    """Writes limits into cgroups that exist."""

    def __init__(self, hierarchies: Sequence[Hierarchy], *, root: str) -> None:
        self._hierarchies = hierarchies
        self._pods = "/".join(part for part in (root.strip("/"), "kubepods") if part)

    def limit_pods(self, limits: GroupLimits) -> None:
        """Raises ``OSError``, as when pods use more memory than they may from now on: evict some, and try again."""
        self._limit(self._pods, limits)

    def limit_reserved(self, path: str, limits: GroupLimits) -> None:
        """Raises ``OSError``; the cgroup has to exist."""
        for hierarchy in self._hierarchies:
            folder = hierarchy.mount / path.strip("/")
            if list(_files(hierarchy, limits)) and not folder.is_dir():
                raise FileNotFoundError(f"{path} cgroup does not exist")
        self._limit(path, limits)

    def share(self, pods: Iterable[Mapping[str, Any]]) -> None:
        """CPU time by QoS class: Burstable pods get what they ask for together, BestEffort ones what is left."""
        burstable = sum(
            pod_totals(pod["spec"], "requests").get("cpu", 0) for pod in pods if qos_class(pod) == "Burstable"
        )
        for folder, shares in (("burstable", cpu_shares(burstable)), ("besteffort", MIN_SHARES)):
            for hierarchy in self._hierarchies:
                for file, value in _cpu(hierarchy, shares):
                    _write(hierarchy.mount / self._pods / folder / file, value)

    def _limit(self, path: str, limits: GroupLimits) -> None:
        for hierarchy in self._hierarchies:
            for file, value in _files(hierarchy, limits):
                _write(hierarchy.mount / path.strip("/") / file, value)


def _files(hierarchy: Hierarchy, limits: GroupLimits) -> Iterator[tuple[str, str]]:
    if limits.cpu_milli is not None:
        yield from _cpu(hierarchy, cpu_shares(limits.cpu_milli))
    if limits.memory_bytes is not None:
        if hierarchy.unified:
            yield "memory.max", str(limits.memory_bytes)
        elif "memory" in hierarchy.controllers:
            yield "memory.limit_in_bytes", str(limits.memory_bytes)
    if limits.pids is not None and (hierarchy.unified or "pids" in hierarchy.controllers):
        yield "pids.max", str(limits.pids)
    for size, amount in limits.hugepages.items():
        if hierarchy.unified:
            yield f"hugetlb.{size}.max", str(amount)
        elif "hugetlb" in hierarchy.controllers:
            yield f"hugetlb.{size}.limit_in_bytes", str(amount)


def _cpu(hierarchy: Hierarchy, shares: int) -> Iterator[tuple[str, str]]:
    if hierarchy.unified:
        yield "cpu.weight", str(cpu_weight(shares))
    elif "cpu" in hierarchy.controllers:
        yield "cpu.shares", str(shares)


def _write(file: Path, value: str) -> None:
    """Only where it differs: the kernel does work for every write."""
    if not file.exists() and file.name.startswith(("hugetlb", "cpu.weight")):
        log.debug("%s is not there: the kernel lacks the controller", file)
        return
    if file.read_text().strip() != value:
        file.write_text(value)


class NodeCgroupKeeper:
    """Limits once, again until that works, and shares CPU time anew every minute."""

    def __init__(
        self,
        cgroups: NodeCgroups,
        *,
        clock: Clock,
        reservations: Reservations,
        limits: GroupLimits,
        pods: Callable[[], Iterable[Mapping[str, Any]]],
        announce: Callable[[str, str, str], None],
    ) -> None:
        """``pods``: those that have not ended. ``announce`` records an event about the node."""
        self._cgroups = cgroups
        self._clock = clock
        self._reservations = reservations
        self._limits = limits
        self._pods = pods
        self._announce = announce

    def enforce_reserved(self) -> None:
        """Raises ``EnforcementError``: the kubelet must not run then."""
        given = self._reservations
        for kind, label, path, amounts in (
            ("system-reserved", "System", given.system_cgroup, given.system),
            ("kube-reserved", "Kube", given.kube_cgroup, given.kube),
        ):
            for level in (kind, f"{kind}-compressible"):
                if level not in given.enforce:
                    continue
                compressible = level.endswith("-compressible")
                try:
                    self._cgroups.limit_reserved(path, reserved_limits(amounts, compressible_only=compressible))
                except OSError as error:
                    what = " Compressible" if compressible else ""
                    message = f'Failed to enforce {label} Reserved{what} Cgroup Limits on "{path}": {error}'
                    self._announce("Warning", "FailedNodeAllocatableEnforcement", message)
                    raise EnforcementError(message) from error
                message = f"Updated limits on {kind.replace('-', ' ')} cgroup {path}"
                self._announce("Normal", "NodeAllocatableEnforced", message)

    async def run(self) -> None:
        """Until cancelled."""
        limited_s: float | None = None
        next_try_s = self._clock.monotonic()
        while True:
            if limited_s is None and self._clock.monotonic() >= next_try_s:
                limited_s = self._try_to_limit()
                next_try_s = self._clock.monotonic() + RETRY_S
            try:
                self._cgroups.share(self._pods())
            except OSError as error:
                log.warning("cannot set the CPU shares of QoS classes: %s", error)
            await self._clock.sleep(QOS_PERIOD_S)

    def _try_to_limit(self) -> float | None:
        try:
            self._cgroups.limit_pods(self._limits)
        except OSError as error:
            message = f"Failed to update Node Allocatable Limits: {error}"
            log.warning("%s", message)
            self._announce("Warning", "FailedNodeAllocatableEnforcement", message)
            return None
        self._announce("Normal", "NodeAllocatableEnforced", "Updated Node Allocatable limit across pods")
        return self._clock.monotonic()
