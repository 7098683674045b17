"""Resource usage as CRI v1 reports it. None means: the runtime does not say."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from steersman.kubelet.runtimes.containers import ContainerMetadata
from steersman.kubelet.runtimes.images import FilesystemUsage
from steersman.kubelet.runtimes.sandboxes import PodSandboxMetadata


class CPUUsage(Struct, frozen=True, kw_only=True):
    timestamp_ns: int
    usage_core_nano_seconds: int | None = None
    """Since the container's start, over all cores."""
    usage_nano_cores: int | None = None


class MemoryUsage(Struct, frozen=True, kw_only=True):
    timestamp_ns: int
    working_set_bytes: int | None = None
    available_bytes: int | None = None
    usage_bytes: int | None = None
    rss_bytes: int | None = None
    page_faults: int | None = None
    major_page_faults: int | None = None


class SwapUsage(Struct, frozen=True, kw_only=True):
    timestamp_ns: int
    available_bytes: int | None = None
    usage_bytes: int | None = None


class ContainerStats(Struct, frozen=True, kw_only=True):
    id: str
    metadata: ContainerMetadata
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    cpu: CPUUsage | None = None
    memory: MemoryUsage | None = None
    swap: SwapUsage | None = None
    writable_layer: FilesystemUsage | None = None


class InterfaceUsage(Struct, frozen=True, kw_only=True):
    name: str
    rx_bytes: int | None = None
    rx_errors: int | None = None
    tx_bytes: int | None = None
    tx_errors: int | None = None
    rx_packets: int | None = None
    rx_dropped: int | None = None
    tx_packets: int | None = None
    tx_dropped: int | None = None
    """Packets are what the kernel says; runtimes do not."""


class NetworkUsage(Struct, frozen=True, kw_only=True):
    timestamp_ns: int
    default_interface: InterfaceUsage | None = None
    interfaces: tuple[InterfaceUsage, ...] = ()


class PodSandboxStats(Struct, frozen=True, kw_only=True):
    id: str
    metadata: PodSandboxMetadata
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    cpu: CPUUsage | None = None
    memory: MemoryUsage | None = None
    network: NetworkUsage | None = None
    process_count: int | None = None
    containers: tuple[ContainerStats, ...] = ()


class StatsFilter(Struct, frozen=True, kw_only=True):
    """Everything that is set has to match. ``id`` is a container's or a sandbox's, by what is listed."""

    id: str = ""
    sandbox_id: str = ""
    """Containers only."""
    labels: Mapping[str, str] = field(default_factory=dict)
