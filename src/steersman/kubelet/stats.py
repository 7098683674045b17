"""The Summary API: what the node, its pods and their containers use (``stats/v1alpha1``), and the same as metrics.

Usage of containers and pods is the runtime's; of the node, the kernel's. Rates of the node (``usageNanoCores``) are
taken between two readings at least ``RATE_INTERVAL_S`` apart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from steersman.aio.clock import Clock
from steersman.kubelet.node_usage import DiskUsage, NodeUsage
from steersman.kubelet.runtimes.api import Runtime, Unimplemented
from steersman.kubelet.runtimes.containers import Container, ContainerFilter
from steersman.kubelet.runtimes.images import FilesystemUsage
from steersman.kubelet.runtimes.sandboxes import PodSandbox, PodSandboxFilter
from steersman.kubelet.runtimes.stats import (
    ContainerStats,
    CPUUsage,
    InterfaceUsage,
    MemoryUsage,
    NetworkUsage,
    PodSandboxStats,
)
from steersman.meta.times import format_time

POD_NAME: Final = "io.kubernetes.pod.name"
POD_NAMESPACE: Final = "io.kubernetes.pod.namespace"
POD_UID: Final = "io.kubernetes.pod.uid"
CONTAINER_NAME: Final = "io.kubernetes.container.name"
RATE_INTERVAL_S: Final = 5.0

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PodUsage:
    """A running pod with what the runtime says of it."""

    sandbox: PodSandbox
    stats: PodSandboxStats | None
    containers: tuple[tuple[Container, ContainerStats], ...]


class StatsProvider:
    """Answers from the runtime and the kernel when asked; keeps nothing but the last reading of the node's CPU."""

    def __init__(
        self, runtime: Runtime, *, node_name: str, root_dir: Path, clock: Clock, node: NodeUsage | None = None
    ) -> None:
        self._runtime = runtime
        self._node_name = node_name
        self._root_dir = root_dir
        self._clock = clock
        self._node = node or NodeUsage()
        self._reading: tuple[float, int] | None = None
        self._nano_cores = 0

    async def pods(self) -> list[PodUsage]:
        """Every pod whose sandbox runs, in the runtime's order."""
        sandboxes, containers, stats, sandbox_stats = await asyncio.gather(
            self._runtime.list_pod_sandboxes(PodSandboxFilter(state="READY")),
            self._runtime.list_containers(ContainerFilter(state="RUNNING")),
            self._runtime.list_container_stats(),
            self._sandbox_stats(),
        )
        by_container = {entry.id: entry for entry in stats}
        by_sandbox = {entry.id: entry for entry in sandbox_stats}
        members: dict[str, list[tuple[Container, ContainerStats]]] = {}
        for container in containers:
            if container.id in by_container:
                members.setdefault(container.sandbox_id, []).append((container, by_container[container.id]))
        return [
            PodUsage(
                sandbox=sandbox,
                stats=by_sandbox.get(sandbox.id),
                containers=tuple(members.get(sandbox.id, ())),
            )
            for sandbox in sandboxes
        ]

    async def summary(self, *, only_cpu_and_memory: bool = False) -> Json:
        """``GET /stats/summary``."""
        pods = await self.pods()
        node = self._node_summary()
        if not only_cpu_and_memory:
            disk = self._node.disk(self._root_dir)
            node["network"] = self._network(self._clock.now(), self._node.interfaces())
            node["fs"] = self._filesystem(disk)
            node["runtime"] = await self._image_filesystems(disk)
            running, maximum = self._node.processes()
            node["rlimit"] = {"time": format_time(self._clock.now()), "maxpid": maximum, "curproc": running}
        return {"node": node, "pods": [self._pod_summary(pod, only_cpu_and_memory) for pod in pods]}

    def node_cpu_core_nano_seconds(self) -> int:
        return self._node.cpu_core_nano_seconds()

    def node(self) -> NodeUsage:
        return self._node

    async def _sandbox_stats(self) -> Sequence[PodSandboxStats]:
        try:
            return await self._runtime.list_pod_sandbox_stats()
        except Unimplemented:
            return ()

    def _node_summary(self) -> Json:
        now_s = self._clock.now()
        busy = self._node.cpu_core_nano_seconds()
        if self._reading is None or now_s - self._reading[0] >= RATE_INTERVAL_S:
            if self._reading is not None:
                self._nano_cores = int((busy - self._reading[1]) / (now_s - self._reading[0]))
            self._reading = (now_s, busy)
        memory = self._node.memory()
        time = format_time(now_s)
        return {
            "nodeName": self._node_name,
            "systemContainers": [],
            "startTime": format_time(self._node.boot_time_s()),
            "cpu": {"time": time, "usageNanoCores": self._nano_cores, "usageCoreNanoSeconds": busy},
            "memory": {
                "time": time,
                "availableBytes": memory.available_bytes,
                "usageBytes": memory.usage_bytes,
                "workingSetBytes": memory.working_set_bytes,
                "rssBytes": memory.rss_bytes,
            },
        }

    def _pod_summary(self, pod: PodUsage, only_cpu_and_memory: bool) -> Json:
        metadata = pod.sandbox.metadata
        summary: Json = {
            "podRef": {"name": metadata.name, "namespace": metadata.namespace, "uid": metadata.uid},
            "startTime": _time(pod.sandbox.created_at_ns),
            "containers": [
                self._container_summary(container, stats, only_cpu_and_memory) for container, stats in pod.containers
            ],
        }
        if pod.stats is not None:
            summary |= _without_none({"cpu": _cpu(pod.stats.cpu), "memory": _memory(pod.stats.memory)})
            if not only_cpu_and_memory:
                if pod.stats.network is not None:
                    summary["network"] = self._pod_network(pod.stats.network)
                if pod.stats.process_count is not None:
                    summary["process_stats"] = {"process_count": pod.stats.process_count}
        elif pod.containers:
            summary |= _summed([stats for _, stats in pod.containers])
        return summary

    def _container_summary(self, container: Container, stats: ContainerStats, only_cpu_and_memory: bool) -> Json:
        summary: Json = {"name": container.metadata.name, "startTime": _time(container.created_at_ns)}
        summary |= _without_none({"cpu": _cpu(stats.cpu), "memory": _memory(stats.memory)})
        if stats.swap is not None:
            summary["swap"] = _without_none(
                {
                    "time": _time(stats.swap.timestamp_ns),
                    "swapAvailableBytes": stats.swap.available_bytes,
                    "swapUsageBytes": stats.swap.usage_bytes,
                }
            )
        if not only_cpu_and_memory and stats.writable_layer is not None:
            disk = self._node.disk(self._root_dir)
            summary["rootfs"] = self._filesystem(disk, stats.writable_layer)
        return summary

    def _pod_network(self, usage: NetworkUsage) -> Json:
        interfaces = [*([usage.default_interface] if usage.default_interface else []), *usage.interfaces]
        return self._network(usage.timestamp_ns / 1e9 if usage.timestamp_ns else self._clock.now(), interfaces)

    @staticmethod
    def _network(time_s: float, interfaces: Iterable[InterfaceUsage]) -> Json:
        rows = [
            _without_none(
                {
                    "name": interface.name,
                    "rxBytes": interface.rx_bytes,
                    "rxErrors": interface.rx_errors,
                    "txBytes": interface.tx_bytes,
                    "txErrors": interface.tx_errors,
                }
            )
            for interface in interfaces
        ]
        default = next((row for row in rows if row["name"] == "eth0"), rows[0] if rows else {})
        return {"time": format_time(time_s), **default, "interfaces": rows}

    def _filesystem(self, disk: DiskUsage, usage: FilesystemUsage | None = None) -> Json:
        """A filesystem whole, or what one container uses of it."""
        used = disk.used_bytes if usage is None else usage.used_bytes
        inodes_used = disk.inodes - disk.inodes_free if usage is None else usage.inodes_used
        stamped = usage is not None and usage.timestamp_ns
        return {
            "time": _time(usage.timestamp_ns) if usage is not None and stamped else format_time(self._clock.now()),
            "availableBytes": disk.available_bytes,
            "capacityBytes": disk.capacity_bytes,
            "usedBytes": used,
            "inodesFree": disk.inodes_free,
            "inodes": disk.inodes,
            "inodesUsed": inodes_used,
        }

    async def _image_filesystems(self, fallback: DiskUsage) -> Json:
        info = await self._runtime.image_fs_info()
        runtime: Json = {}
        for key, filesystems in (
            ("imageFs", info.image_filesystems),
            ("containerFs", info.container_filesystems or info.image_filesystems),
        ):
            for usage in filesystems[:1]:
                try:
                    disk = self._node.disk(Path(usage.mountpoint))
                except FileNotFoundError:  # another machine's view, or a runtime that does not say
                    disk = fallback
                runtime[key] = self._filesystem(disk, usage)
        return runtime


def _cpu(usage: CPUUsage | None) -> Json | None:
    if usage is None:
        return None
    return _without_none(
        {
            "time": _time(usage.timestamp_ns),
            "usageNanoCores": usage.usage_nano_cores,
            "usageCoreNanoSeconds": usage.usage_core_nano_seconds,
        }
    )


def _memory(usage: MemoryUsage | None) -> Json | None:
    if usage is None:
        return None
    return _without_none(
        {
            "time": _time(usage.timestamp_ns),
            "availableBytes": usage.available_bytes or None,
            "usageBytes": usage.usage_bytes,
            "workingSetBytes": usage.working_set_bytes,
            "rssBytes": usage.rss_bytes,
            "pageFaults": usage.page_faults,
            "majorPageFaults": usage.major_page_faults,
        }
    )


def _summed(stats: Sequence[ContainerStats]) -> Json:
    """A pod's CPU and memory where the runtime counts containers only."""
    cpus = [entry.cpu for entry in stats if entry.cpu is not None]
    memories = [entry.memory for entry in stats if entry.memory is not None]
    summary: Json = {}
    if cpus:
        summary["cpu"] = {
            "time": _time(max(cpu.timestamp_ns for cpu in cpus)),
            "usageNanoCores": sum(cpu.usage_nano_cores or 0 for cpu in cpus),
            "usageCoreNanoSeconds": sum(cpu.usage_core_nano_seconds or 0 for cpu in cpus),
        }
    if memories:
        summary["memory"] = {
            "time": _time(max(memory.timestamp_ns for memory in memories)),
            "usageBytes": sum(memory.usage_bytes or 0 for memory in memories),
            "workingSetBytes": sum(memory.working_set_bytes or 0 for memory in memories),
            "rssBytes": sum(memory.rss_bytes or 0 for memory in memories),
        }
    return summary


def _time(timestamp_ns: int) -> str:
    return format_time(timestamp_ns / 1e9)


def _without_none(values: Mapping[str, Any]) -> Json:
    return {key: value for key, value in values.items() if value is not None}
