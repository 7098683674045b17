"""``/metrics/resource``: what metrics-server reads, few series with the time they were taken at."""

from __future__ import annotations

from steersman.kubelet.exposition import Exposition
from steersman.kubelet.stats import PodUsage, StatsProvider


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
    memory = stats.node().memory()
    out.add(
        "node_swap_usage_bytes",
        "gauge",
        "[STABLE] Current swap usage of the node in bytes. Reported only on non-windows systems",
        memory.swap_total_bytes - memory.swap_free_bytes,
        time_ms=now_ms,
    )
    for pod in pods:
        _container_resources(out, pod)
        _pod_resources(out, pod, now_ms)
    for name in ("resource_scrape_error", "scrape_error"):
        text = "1 if there was an error while getting container metrics, 0 otherwise"
        out.add(name, "gauge", f"[{'STABLE' if name[0] == 'r' else 'ALPHA'}] {text}", 0)
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
                "[STABLE] Current amount of the container swap usage in bytes. Reported only on non-windows systems",
                usage.swap.usage_bytes,
                labels,
                time_ms=usage.swap.timestamp_ns // 1_000_000,
            )


def _pod_resources(out: Exposition, pod: PodUsage, now_ms: int) -> None:
    labels = {"namespace": pod.sandbox.metadata.namespace, "pod": pod.sandbox.metadata.name}
    cpu = pod.cpu_core_nano_seconds
    out.add(
        "pod_cpu_usage_seconds_total",
        "counter",
        "[STABLE] Cumulative cpu time consumed by the pod in core-seconds",
        None if cpu is None else cpu / 1e9,
        labels,
        time_ms=now_ms,
    )
    out.add(
        "pod_memory_working_set_bytes",
        "gauge",
        "[STABLE] Current working set of the pod in bytes",
        pod.working_set_bytes,
        labels,
        time_ms=now_ms,
    )
    out.add(
        "pod_swap_usage_bytes",
        "gauge",
        "[STABLE] Current amount of the pod swap usage in bytes. Reported only on non-windows systems",
        pod.cgroup.swap_usage_bytes if pod.cgroup is not None else None,
        labels,
        time_ms=now_ms,
    )
