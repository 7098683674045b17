"""``/metrics/resource`` and ``/metrics/cadvisor`` in the Prometheus text format.

The first is what metrics-server reads: few series with the time they were taken at. The second has cAdvisor's names and
labels for what dashboards and alerts commonly use of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from steersman.kubelet.records import CONTAINER_NAME, POD_NAME, POD_NAMESPACE
from steersman.kubelet.runtimes.stats import InterfaceUsage
from steersman.kubelet.stats import PodUsage, StatsProvider

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class Exposition:
    """Series of one scrape, grouped by metric."""

    def __init__(self) -> None:
        self._families: dict[str, list[str]] = {}

    def add(
        self,
        name: str,
        kind: str,
        help: str,
        value: float | None,
        labels: Mapping[str, str] | None = None,
        *,
        time_ms: int | None = None,
    ) -> None:
        """A sample; nothing happens where the value is not known."""
        if value is None:
            return
        family = self._families.setdefault(name, [f"# HELP {name} {help}", f"# TYPE {name} {kind}"])
        shown = ",".join(f'{key}="{text.translate(_ESCAPES)}"' for key, text in (labels or {}).items())
        stamp = f" {time_ms}" if time_ms is not None else ""
        family.append(f"{name}{{{shown}}} {value}{stamp}" if shown else f"{name} {value}{stamp}")

    def text(self) -> str:
        return "".join("\n".join(lines) + "\n" for lines in self._families.values())


async def resource_metrics(stats: StatsProvider, *, now_s: float) -> str:
    """``/metrics/resource``."""
    out = Exposition()
    pods = await stats.pods()
    now_ms = int(now_s * 1000)
    out.add(
        "node_cpu_usage_seconds_total",
        "counter",
        "[STABLE] Cumulative cpu time consumed by the node in core-seconds",
        stats.node_cpu_core_nano_seconds() / 1e9,
        time_ms=now_ms,
    )
    out.add(
        "node_memory_working_set_bytes",
        "gauge",
        "[STABLE] Current working set of the node in bytes",
        stats.node().memory().working_set_bytes,
        time_ms=now_ms,
    )
    for pod in pods:
        _container_resources(out, pod)
        _pod_resources(out, pod)
    out.add("resource_scrape_error", "gauge", "[STABLE] 1 if there was an error while getting container metrics", 0)
    return out.text()


async def cadvisor_metrics(stats: StatsProvider) -> str:
    """``/metrics/cadvisor``, the essential part."""
    out = Exposition()
    node = stats.node()
    out.add("machine_cpu_cores", "gauge", "Number of logical CPU cores.", node.cores())
    out.add("machine_memory_bytes", "gauge", "Amount of memory installed on the machine.", node.memory().capacity_bytes)
    for pod in await stats.pods():
        _cadvisor_pod(out, pod)
    return out.text()


def _container_resources(out: Exposition, pod: PodUsage) -> None:
    for item in pod.containers:
        container, usage = item.container, item.stats
        labels = {
            "container": container.metadata.name,
            "namespace": pod.sandbox.metadata.namespace,
            "pod": pod.sandbox.metadata.name,
        }
        out.add(
            "container_start_time_seconds",
            "gauge",
            "[STABLE] Start time of the container since unix epoch in seconds",
            container.created_at_ns / 1e9,
            labels,
        )
        if usage.cpu is not None and usage.cpu.usage_core_nano_seconds is not None:
            out.add(
                "container_cpu_usage_seconds_total",
                "counter",
                "[STABLE] Cumulative cpu time consumed by the container in core-seconds",
                usage.cpu.usage_core_nano_seconds / 1e9,
                labels,
                time_ms=usage.cpu.timestamp_ns // 1_000_000,
            )
        if usage.memory is not None:
            out.add(
                "container_memory_working_set_bytes",
                "gauge",
                "[STABLE] Current working set of the container in bytes",
                usage.memory.working_set_bytes,
                labels,
                time_ms=usage.memory.timestamp_ns // 1_000_000,
            )
        if usage.swap is not None:
            out.add(
                "container_swap_usage_bytes",
                "gauge",
                "[ALPHA] Current amount of the container swap usage in bytes",
                usage.swap.usage_bytes,
                labels,
                time_ms=usage.swap.timestamp_ns // 1_000_000,
            )


def _pod_resources(out: Exposition, pod: PodUsage) -> None:
    if pod.stats is None:
        return
    labels = {"namespace": pod.sandbox.metadata.namespace, "pod": pod.sandbox.metadata.name}
    if pod.stats.cpu is not None and pod.stats.cpu.usage_core_nano_seconds is not None:
        out.add(
            "pod_cpu_usage_seconds_total",
            "counter",
            "[STABLE] Cumulative cpu time consumed by the pod in core-seconds",
            pod.stats.cpu.usage_core_nano_seconds / 1e9,
            labels,
            time_ms=pod.stats.cpu.timestamp_ns // 1_000_000,
        )
    if pod.stats.memory is not None:
        out.add(
            "pod_memory_working_set_bytes",
            "gauge",
            "[STABLE] Current working set of the pod in bytes",
            pod.stats.memory.working_set_bytes,
            labels,
            time_ms=pod.stats.memory.timestamp_ns // 1_000_000,
        )


def _cadvisor_pod(out: Exposition, pod: PodUsage) -> None:
    identity = {"namespace": pod.sandbox.metadata.namespace, "pod": pod.sandbox.metadata.name}
    for item in pod.containers:
        container, usage = item.container, item.stats
        labels = {
            "container": container.labels.get(CONTAINER_NAME, container.metadata.name),
            "id": container.id,
            "image": container.image.image,
            "name": container.id,
            "namespace": container.labels.get(POD_NAMESPACE, identity["namespace"]),
            "pod": container.labels.get(POD_NAME, identity["pod"]),
        }
        if usage.cpu is not None and usage.cpu.usage_core_nano_seconds is not None:
            out.add(
                "container_cpu_usage_seconds_total",
                "counter",
                "Cumulative cpu time consumed in seconds.",
                usage.cpu.usage_core_nano_seconds / 1e9,
                {**labels, "cpu": "total"},
                time_ms=usage.cpu.timestamp_ns // 1_000_000,
            )
        memory = usage.memory
        if memory is not None:
            for name, text, value in (
                ("container_memory_usage_bytes", "Current memory usage in bytes.", memory.usage_bytes),
                ("container_memory_working_set_bytes", "Current working set in bytes.", memory.working_set_bytes),
                ("container_memory_rss", "Size of RSS in bytes.", memory.rss_bytes),
            ):
                out.add(name, "gauge", text, value, labels, time_ms=memory.timestamp_ns // 1_000_000)
        if usage.writable_layer is not None:
            out.add(
                "container_fs_usage_bytes",
                "gauge",
                "Number of bytes that are consumed by the container on this filesystem.",
                usage.writable_layer.used_bytes,
                labels,
            )
        out.add(
            "container_start_time_seconds",
            "gauge",
            "Start time of the container since unix epoch in seconds.",
            container.created_at_ns / 1e9,
            labels,
        )
    network = pod.stats.network if pod.stats is not None else None
    if network is not None:
        _cadvisor_network(
            out, identity, [*([network.default_interface] if network.default_interface else []), *network.interfaces]
        )


def _cadvisor_network(out: Exposition, identity: Mapping[str, str], interfaces: Iterable[InterfaceUsage]) -> None:
    names = (
        ("container_network_receive_bytes_total", "Cumulative count of bytes received", "rx_bytes"),
        ("container_network_receive_errors_total", "Cumulative count of errors encountered while receiving", "rx_errors"),
        ("container_network_transmit_bytes_total", "Cumulative count of bytes transmitted", "tx_bytes"),
        ("container_network_transmit_errors_total", "Cumulative count of errors encountered while transmitting", "tx_errors"),
    )  # fmt: skip
    for interface in interfaces:
        for name, text, field in names:
            labels = {"interface": interface.name, **identity}
            out.add(name, "counter", text, getattr(interface, field), labels)
