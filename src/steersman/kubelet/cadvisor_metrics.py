"""``/metrics/cadvisor``: cAdvisor's names and labels, for what dashboards and alerts commonly use of it.

Series of a container have its name, those of a whole pod an empty one, and the machine is ``id="/"``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from steersman.kubelet.cgroup_usage import CgroupStats, Pressure
from steersman.kubelet.disk_io import DiskIO
from steersman.kubelet.exposition import Exposition
from steersman.kubelet.records import CONTAINER_NAME
from steersman.kubelet.runtimes.stats import InterfaceUsage
from steersman.kubelet.stats import ContainerUsage, PodUsage, StatsProvider

Labels = Mapping[str, str]

_COUNTERS: Final = (
    ("container_cpu_cfs_periods_total", "Number of elapsed enforcement period intervals.", "cpu_periods", 1),
    ("container_cpu_cfs_throttled_periods_total", "Number of throttled period intervals.", "cpu_throttled_periods", 1),
    ("container_cpu_cfs_throttled_seconds_total", "Total time duration the container has been throttled.",
     "cpu_throttled_ns", 1e9),
    ("container_oom_events_total", "Count of out of memory events observed for the container", "oom_kills", 1),
)  # fmt: skip
_GAUGES: Final = (
    ("container_memory_usage_bytes", "Current memory usage in bytes, including all memory regardless of when it was"
     " accessed", "memory_usage_bytes"),
    ("container_memory_working_set_bytes", "Current working set in bytes.", "working_set_bytes"),
    ("container_memory_rss", "Size of RSS in bytes.", "rss_bytes"),
    ("container_memory_cache", "Number of bytes of page cache memory.", "cache_bytes"),
    ("container_memory_swap", "Container swap usage in bytes.", "swap_usage_bytes"),
    ("container_memory_mapped_file", "Size of memory mapped files in bytes.", "mapped_file_bytes"),
    ("container_memory_max_usage_bytes", "Maximum memory usage recorded in bytes", "most_memory_bytes"),
    ("container_processes", "Number of processes running inside the container.", "processes"),
    ("container_threads", "Number of threads running inside the container", "threads"),
)  # fmt: skip
_NETWORK: Final = (
    ("container_network_receive_bytes_total", "Cumulative count of bytes received", "rx_bytes"),
    ("container_network_receive_errors_total", "Cumulative count of errors encountered while receiving", "rx_errors"),
    ("container_network_receive_packets_total", "Cumulative count of packets received", "rx_packets"),
    ("container_network_receive_packets_dropped_total", "Cumulative count of packets dropped while receiving",
     "rx_dropped"),
    ("container_network_transmit_bytes_total", "Cumulative count of bytes transmitted", "tx_bytes"),
    ("container_network_transmit_errors_total", "Cumulative count of errors encountered while transmitting",
     "tx_errors"),
    ("container_network_transmit_packets_total", "Cumulative count of packets transmitted", "tx_packets"),
    ("container_network_transmit_packets_dropped_total", "Cumulative count of packets dropped while transmitting",
     "tx_dropped"),
)  # fmt: skip
_DISKS: Final = (
    ("container_fs_reads_bytes_total", "Cumulative count of bytes read", "read_bytes"),
    ("container_fs_reads_total", "Cumulative count of reads completed", "reads"),
    ("container_fs_writes_bytes_total", "Cumulative count of bytes written", "written_bytes"),
    ("container_fs_writes_total", "Cumulative count of writes completed", "writes"),
)  # fmt: skip
_FAULTS: Final = (("pgfault", "page_faults"), ("pgmajfault", "major_page_faults"))


async def cadvisor_metrics(stats: StatsProvider) -> str:
    """Raises ``RuntimeServiceError``."""
    out = Exposition()
    _hardware(out, stats)
    now_ms = int(stats.now_s() * 1000)
    _machine(out, stats, now_ms)
    for pod in await stats.pods(with_disk=True):
        _pod(out, stats, pod, now_ms)
    return out.text()


def _hardware(out: Exposition, stats: StatsProvider) -> None:
    node, facts, processors = stats.node(), stats.facts, stats.processors
    labels: Labels = {}
    if facts is not None:
        labels = {"boot_id": facts.boot_id, "machine_id": facts.machine_id, "system_uuid": facts.system_uuid}
        versions = {"kernelVersion": facts.kernel, "osVersion": facts.os_image}
        text = "A metric with a constant '1' value labeled by kernel version, OS version."
        out.add("cadvisor_version_info", "gauge", text, 1, versions)
    memory = node.memory()
    for name, text, value in (
        ("cpu_cores", "Number of logical CPU cores.", node.cores()),
        ("cpu_physical_cores", "Number of physical CPU cores.", len(processors.cores) if processors else None),
        ("cpu_sockets", "Number of CPU sockets.", len(processors.sockets) if processors else None),
        ("memory_bytes", "Amount of memory installed on the machine.", memory.capacity_bytes),
        ("swap_bytes", "Amount of swap memory available on the machine.", memory.swap_total_bytes),
        ("scrape_error", "1 if there was an error while getting machine metrics, 0 otherwise.", 0),
    ):
        out.add(f"machine_{name}", "gauge", text, value, labels if name != "scrape_error" else None)


def _machine(out: Exposition, stats: StatsProvider, now_ms: int) -> None:
    labels = {"container": "", "id": "/", "image": "", "name": "", "namespace": "", "pod": ""}
    memory = stats.node().memory()
    whole = CgroupStats(
        cpu_ns=stats.node_cpu_core_nano_seconds(),
        memory_usage_bytes=memory.usage_bytes,
        working_set_bytes=memory.working_set_bytes,
        rss_bytes=memory.rss_bytes,
        swap_usage_bytes=memory.swap_total_bytes - memory.swap_free_bytes,
    )
    _cgroup(out, whole, labels, now_ms)
    _disks(out, labels, stats.disk_io("/"))
    _interfaces(out, labels, stats.node().interfaces())
    for name, path in stats.system_cgroups().items():
        found = stats.cgroup(path, processes=True)
        if found is not None and name == "pods":
            _cgroup(out, found, {**labels, "id": path}, now_ms)


def _pod(out: Exposition, stats: StatsProvider, pod: PodUsage, now_ms: int) -> None:
    metadata = pod.sandbox.metadata
    path = stats.places.pod_cgroup(metadata.uid)
    identity = {"namespace": metadata.namespace, "pod": metadata.name}
    labels = {"container": "", "id": path, "image": "", "name": "", **identity}
    if pod.cgroup is not None:
        _cgroup(out, pod.cgroup, labels, now_ms)
    for item in pod.containers:
        _container(out, stats, item, path, identity, now_ms)
    _interfaces(out, labels, stats.interfaces(pod))


def _container(
    out: Exposition, stats: StatsProvider, item: ContainerUsage, parent: str, identity: Labels, now_ms: int
) -> None:
    container, usage = item.container, item.stats
    path = f"{parent}/{container.id}"
    labels = {
        "container": container.labels.get(CONTAINER_NAME, container.metadata.name),
        "id": path,
        "image": container.image.image,
        "name": container.id,
        **identity,
    }
    found = stats.container_cgroup(parent, container.id)
    if found is None:
        cpu, memory = usage.cpu, usage.memory
        found = CgroupStats(
            cpu_ns=cpu.usage_core_nano_seconds if cpu is not None else None,
            memory_usage_bytes=memory.usage_bytes if memory is not None else None,
            working_set_bytes=memory.working_set_bytes if memory is not None else None,
            rss_bytes=memory.rss_bytes if memory is not None else None,
        )
    _cgroup(out, found, labels, now_ms)
    _disks(out, labels, stats.container_disk_io(parent, container.id))
    text = "Start time of the container since unix epoch in seconds."
    out.add("container_start_time_seconds", "gauge", text, container.created_at_ns / 1e9, labels)
    out.add(
        "container_spec_memory_limit_bytes", "gauge", "Memory limit for the container.",
        found.memory_limit_bytes or 0, labels,
    )  # fmt: skip
    if usage.writable_layer is not None:
        used = usage.writable_layer.used_bytes + (item.logs.used_bytes if item.logs is not None else 0)
        text = "Number of bytes that are consumed by the container on this filesystem."
        out.add("container_fs_usage_bytes", "gauge", text, used, labels)


def _cgroup(out: Exposition, found: CgroupStats, labels: Labels, now_ms: int) -> None:
    out.add(
        "container_cpu_usage_seconds_total",
        "counter",
        "Cumulative cpu time consumed in seconds.",
        None if found.cpu_ns is None else found.cpu_ns / 1e9,
        {**labels, "cpu": "total"},
        time_ms=now_ms,
    )
    for name, text, field, divisor in _COUNTERS:
        value = getattr(found, field)
        out.add(name, "counter", text, None if value is None else value / divisor, labels, time_ms=now_ms)
    for name, text, field in _GAUGES:
        out.add(name, "gauge", text, getattr(found, field), labels, time_ms=now_ms)
    for kind, field in _FAULTS:
        failures = {**labels, "failure_type": kind, "scope": "hierarchy"}
        text = "Cumulative count of memory allocation failures."
        out.add("container_memory_failures_total", "counter", text, getattr(found, field), failures)
    out.add("container_last_seen", "gauge", "Last time a container was seen by the exporter", now_ms / 1000, labels)
    for resource, pressure in (
        ("cpu", found.cpu_pressure), ("memory", found.memory_pressure), ("io", found.io_pressure)
    ):  # fmt: skip
        _pressure(out, resource, pressure, labels)


def _pressure(out: Exposition, resource: str, pressure: Pressure | None, labels: Labels) -> None:
    for kind, name in (("some", "waiting"), ("full", "stalled")):
        averages = (pressure or {}).get(kind)
        if averages is not None:
            text = f"Total time duration tasks in the container have {name} due to {resource} congestion."
            full_name = f"container_pressure_{resource}_{name}_seconds_total"
            out.add(full_name, "counter", text, averages["total"] / 1e6, labels)


def _interfaces(out: Exposition, labels: Labels, interfaces: Iterable[InterfaceUsage]) -> None:
    for interface in interfaces:
        for name, text, field in _NETWORK:
            out.add(name, "counter", text, getattr(interface, field), {**labels, "interface": interface.name})


def _disks(out: Exposition, labels: Labels, disks: Iterable[DiskIO]) -> None:
    for disk in disks:
        for name, text, field in _DISKS:
            out.add(name, "counter", text, getattr(disk, field), {**labels, "device": disk.device})
