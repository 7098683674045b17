"""``GET /stats/summary``: the Summary API (``stats/v1alpha1``) as JSON, from what ``StatsProvider`` gathers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from steersman.kubelet.cgroup_usage import CgroupStats, Pressure
from steersman.kubelet.disk_usage import TreeUsage
from steersman.kubelet.node_usage import DiskUsage
from steersman.kubelet.runtimes.stats import InterfaceUsage
from steersman.kubelet.stats import ContainerUsage, PodUsage, RuntimeFilesystem, StatsProvider
from steersman.kubelet.volume_stats import VolumeUsage
from steersman.meta.times import format_time

Json = dict[str, Any]


async def summary(stats: StatsProvider, *, only_cpu_and_memory: bool = False) -> Json:
    """Raises ``RuntimeServiceError`` and ``OSError``."""
    pods = await stats.pods(with_disk=not only_cpu_and_memory)
    node = _node(stats)
    disk = await asyncio.to_thread(stats.node_disk)
    if not only_cpu_and_memory:
        now = format_time(stats.now_s())
        node["network"] = _network(now, stats.node().interfaces())
        node["fs"] = _filesystem(now, disk)
        filesystems = await stats.runtime_filesystems()
        node["runtime"] = _without_none(
            {"imageFs": _runtime(filesystems.image), "containerFs": _runtime(filesystems.container)}
        )
        running, maximum = stats.node().processes()
        node["rlimit"] = {"time": now, "maxpid": maximum, "curproc": running}
    return {"node": node, "pods": [_pod(stats, pod, disk, only_cpu_and_memory) for pod in pods]}


def _node(stats: StatsProvider) -> Json:
    usage = stats.node()
    memory, faults, pressure = usage.memory(), usage.page_faults(), usage.pressure()
    time = format_time(stats.now_s())
    node: Json = {
        "nodeName": stats.node_name,
        "systemContainers": [
            entry
            for name, path in stats.system_cgroups().items()
            if (entry := _system_container(stats, name, path, time)) is not None
        ],
        "startTime": format_time(usage.boot_time_s()),
        "cpu": _without_none(
            {
                "time": time,
                "usageNanoCores": stats.node_nano_cores() or 0,
                "usageCoreNanoSeconds": usage.cpu_core_nano_seconds(),
                "psi": _psi(pressure.cpu_pressure),
            }
        ),
        "memory": _without_none(
            {
                "time": time,
                "availableBytes": memory.available_bytes,
                "usageBytes": memory.usage_bytes,
                "workingSetBytes": memory.working_set_bytes,
                "rssBytes": memory.rss_bytes,
                "pageFaults": faults[0],
                "majorPageFaults": faults[1],
                "psi": _psi(pressure.memory_pressure),
            }
        ),
        "swap": {
            "time": time,
            "swapAvailableBytes": memory.swap_free_bytes,
            "swapUsageBytes": memory.swap_total_bytes - memory.swap_free_bytes,
        },
    }
    if pressure.io_pressure is not None:
        node["io"] = {"time": time, "psi": _psi(pressure.io_pressure)}
    return node


def _system_container(stats: StatsProvider, name: str, path: str, time: str) -> Json | None:
    cgroup = stats.cgroup(path)
    if cgroup is None:
        return None
    rate = stats.rate(f"system/{name}", cgroup.cpu_ns)
    return {"name": name, "startTime": time, **_cgroup(cgroup, time, rate)}


def _cgroup(cgroup: CgroupStats, time: str, nano_cores: int | None) -> Json:
    found: Json = {
        "cpu": _without_none(
            {
                "time": time,
                "usageNanoCores": nano_cores,
                "usageCoreNanoSeconds": cgroup.cpu_ns,
                "psi": _psi(cgroup.cpu_pressure),
            }
        ),
        "memory": _without_none(
            {
                "time": time,
                "availableBytes": cgroup.available_bytes,
                "usageBytes": cgroup.memory_usage_bytes,
                "workingSetBytes": cgroup.working_set_bytes,
                "rssBytes": cgroup.rss_bytes,
                "pageFaults": cgroup.page_faults,
                "majorPageFaults": cgroup.major_page_faults,
                "psi": _psi(cgroup.memory_pressure),
            }
        ),
    }
    if cgroup.io_pressure is not None:
        found["io"] = {"time": time, "psi": _psi(cgroup.io_pressure)}
    if cgroup.swap_usage_bytes is not None:
        left = None if cgroup.swap_limit_bytes is None else cgroup.swap_limit_bytes - cgroup.swap_usage_bytes
        found["swap"] = _without_none(
            {"time": time, "swapAvailableBytes": left, "swapUsageBytes": cgroup.swap_usage_bytes}
        )
    return found


def _pod(stats: StatsProvider, pod: PodUsage, disk: DiskUsage, only_cpu_and_memory: bool) -> Json:
    metadata = pod.sandbox.metadata
    now = format_time(stats.now_s())
    found: Json = {
        "podRef": {"name": metadata.name, "namespace": metadata.namespace, "uid": metadata.uid},
        "startTime": _time(pod.sandbox.created_at_ns),
        "containers": [_container(item, disk, only_cpu_and_memory) for item in pod.containers],
    }
    if pod.cgroup is not None:
        found |= _cgroup(pod.cgroup, now, pod.nano_cores)
    else:
        found |= _from_runtime(pod)
    if only_cpu_and_memory:
        return found
    interfaces = stats.interfaces(pod)
    if interfaces:
        found["network"] = _network(now, interfaces)
    if pod.volumes:
        found["volume"] = [_volume(item, metadata.namespace) for item in pod.volumes]
    found["ephemeral-storage"] = _filesystem(now, disk, ephemeral_usage(pod))
    if pod.processes is not None:
        found["process_stats"] = {"process_count": pod.processes}
    return found


def ephemeral_usage(pod: PodUsage) -> TreeUsage:
    """What counts against the pod's limit of ephemeral storage: writable layers, logs, emptyDirs, its own files."""
    total = pod.own_files
    for item in pod.containers:
        layer = item.stats.writable_layer
        if layer is not None:
            total += TreeUsage(used_bytes=layer.used_bytes, inodes=layer.inodes_used)
        if item.logs is not None:
            total += item.logs
    for volume in pod.volumes:
        if volume.is_ephemeral:
            total += TreeUsage(used_bytes=volume.disk.used_bytes, inodes=volume.disk.inodes_used)
    return total


def _container(item: ContainerUsage, disk: DiskUsage, only_cpu_and_memory: bool) -> Json:
    container, stats = item.container, item.stats
    found: Json = {"name": container.metadata.name, "startTime": _time(container.created_at_ns)}
    if stats.cpu is not None:
        found["cpu"] = _without_none(
            {
                "time": _time(stats.cpu.timestamp_ns),
                "usageNanoCores": item.nano_cores,
                "usageCoreNanoSeconds": stats.cpu.usage_core_nano_seconds,
            }
        )
    if stats.memory is not None:
        memory = stats.memory
        found["memory"] = _without_none(
            {
                "time": _time(memory.timestamp_ns),
                "availableBytes": memory.available_bytes or None,
                "usageBytes": memory.usage_bytes,
                "workingSetBytes": memory.working_set_bytes,
                "rssBytes": memory.rss_bytes,
                "pageFaults": memory.page_faults,
                "majorPageFaults": memory.major_page_faults,
            }
        )
    if stats.swap is not None:
        found["swap"] = _without_none(
            {
                "time": _time(stats.swap.timestamp_ns),
                "swapAvailableBytes": stats.swap.available_bytes,
                "swapUsageBytes": stats.swap.usage_bytes,
            }
        )
    if only_cpu_and_memory:
        return found
    if stats.writable_layer is not None:
        layer = stats.writable_layer
        tree = TreeUsage(used_bytes=layer.used_bytes, inodes=layer.inodes_used)
        found["rootfs"] = _filesystem(_time(layer.timestamp_ns), disk, tree)
    if item.logs is not None:
        found["logs"] = _filesystem(found.get("cpu", {}).get("time") or _time(container.created_at_ns), disk, item.logs)
    return found


def _from_runtime(pod: PodUsage) -> Json:
    """A pod's CPU and memory where its cgroup cannot be read."""
    cpus = [item.stats.cpu for item in pod.containers if item.stats.cpu is not None]
    memories = [item.stats.memory for item in pod.containers if item.stats.memory is not None]
    if pod.stats is not None and pod.stats.cpu is not None:
        cpus = [pod.stats.cpu]
    if pod.stats is not None and pod.stats.memory is not None:
        memories = [pod.stats.memory]
    found: Json = {}
    if cpus:
        rates = [cpu.usage_nano_cores for cpu in cpus if cpu.usage_nano_cores is not None]
        found["cpu"] = _without_none(
            {
                "time": _time(max(cpu.timestamp_ns for cpu in cpus)),
                "usageNanoCores": sum(rates) if rates else pod.nano_cores,
                "usageCoreNanoSeconds": sum(cpu.usage_core_nano_seconds or 0 for cpu in cpus),
            }
        )
    if memories:
        found["memory"] = {
            "time": _time(max(memory.timestamp_ns for memory in memories)),
            "usageBytes": sum(memory.usage_bytes or 0 for memory in memories),
            "workingSetBytes": sum(memory.working_set_bytes or 0 for memory in memories),
            "rssBytes": sum(memory.rss_bytes or 0 for memory in memories),
        }
    return found


def _network(time: str, interfaces: Iterable[InterfaceUsage]) -> Json:
    rows: Sequence[Json] = [
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
    return {"time": time, **default, "interfaces": rows}


def _filesystem(time: str, disk: DiskUsage, usage: TreeUsage | None = None) -> Json:
    """A file system whole, or what something uses of it."""
    return {
        "time": time,
        "availableBytes": disk.available_bytes,
        "capacityBytes": disk.capacity_bytes,
        "usedBytes": disk.used_bytes if usage is None else usage.used_bytes,
        "inodesFree": disk.inodes_free,
        "inodes": disk.inodes,
        "inodesUsed": disk.inodes_used if usage is None else usage.inodes,
    }


def _runtime(filesystem: RuntimeFilesystem | None) -> Json | None:
    if filesystem is None:
        return None
    usage = filesystem.usage
    tree = TreeUsage(used_bytes=usage.used_bytes, inodes=usage.inodes_used)
    return _filesystem(_time(usage.timestamp_ns), filesystem.disk, tree)


def _volume(usage: VolumeUsage, namespace: str) -> Json:
    found = {**_filesystem(format_time(usage.time_s), usage.disk), "name": usage.name}
    if usage.claim:
        found["pvcRef"] = {"name": usage.claim, "namespace": namespace}
    return found


def _psi(pressure: Pressure | None) -> Json | None:
    if pressure is None:
        return None
    nothing = {"total": 0, "avg10": 0.0, "avg60": 0.0, "avg300": 0.0}
    return {"full": dict(pressure.get("full", nothing)), "some": dict(pressure.get("some", nothing))}


def _time(timestamp_ns: int) -> str:
    return format_time(timestamp_ns / 1e9)


def _without_none(values: Mapping[str, Any]) -> Json:
    return {key: value for key, value in values.items() if value is not None}
