"""The kubelet's configuration: what the component takes.

``configuration_file`` reads and completes a KubeletConfiguration document, ``configuration_settings`` makes this of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct, field

from steersman.kubelet.api_clients import DEFAULT_LIMIT, RateLimit
from steersman.kubelet.container_gc import ContainerGCPolicy
from steersman.kubelet.eviction.thresholds import DEFAULT_HARD, EvictionConfig, parse_thresholds
from steersman.kubelet.image_gc import ImageGCConfig
from steersman.kubelet.node_resources.policies import CPUManagerConfig, MemoryManagerConfig, TopologyManagerConfig
from steersman.kubelet.reservations import Reservations
from steersman.kubelet.shutdown.periods import ShutdownPeriod

VERSION = "v1.36.0"


class ConfigurationError(ValueError):
    """The configuration cannot be used; the message names the option."""


class KubeletConfig(Struct, frozen=True, kw_only=True):
    """Everything a kubelet is told."""

    node_name: str
    node_ips: tuple[str, ...] = ()
    root_dir: Path = Path("/var/lib/kubelet")
    pod_logs_dir: Path = Path("/var/log/pods")
    container_logs_dir: Path = Path("/var/log/containers")
    port: int = 10250
    register_node: bool = True
    api_limit: RateLimit | None = DEFAULT_LIMIT
    event_limit: RateLimit | None = DEFAULT_LIMIT
    """Of requests to the API server, and of events among them; None: no limit."""
    node_labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Mapping[str, str], ...] = ()
    provider_id: str = ""
    cloud_provider: str = ""
    """``external``: a cloud controller manager knows the node's addresses and initializes it."""
    capacity: Mapping[str, str] = field(default_factory=dict)
    """Overrides and extends what is measured; a simulated node has no other."""
    allocatable_ignores_eviction: bool = False
    reservations: Reservations = field(default_factory=Reservations)
    max_pods: int = 110
    pods_per_core: int = 0
    pod_pids_limit: int = -1
    pod_cidr: str = ""
    cluster_dns: tuple[str, ...] = ()
    cluster_domain: str = "cluster.local"
    resolv_conf: Path | None = Path("/etc/resolv.conf")
    static_pod_path: Path | None = None
    static_pod_check_s: float = 20.0
    static_pod_url: str = ""
    static_pod_url_headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    static_pod_url_check_s: float = 20.0
    status_update_s: float = 10.0
    status_report_s: float = 300.0
    lease_duration_s: int = 40
    sync_s: float = 60.0
    cgroup_root: str = "/"
    kubelet_cgroup: str = ""
    runtime_cgroup: str = ""
    """Of the kubelet's own and of the runtime's processes; empty: not known."""
    cpu_cfs_quota: bool = True
    single_process_oom_kill: bool | None = None
    seccomp_default: bool = False
    allowed_unsafe_sysctls: tuple[str, ...] = ()
    cpu_cfs_period_us: int = 100_000
    max_status_images: int = 50
    max_parallel_image_pulls: int | None = 1
    """None: any number."""
    registry_pull_qps: int = 5
    """0: no limit."""
    registry_burst: int = 10
    image_verification: str = "NeverVerifyPreloadedImages"
    """``imagePullCredentialsVerificationPolicy``; empty: images are nobody's secret."""
    image_verification_allowlist: tuple[str, ...] = ()
    image_credential_provider_config: Path | None = None
    image_credential_provider_bin_dir: Path | None = None
    image_gc: ImageGCConfig = field(default_factory=ImageGCConfig)
    container_gc: ContainerGCPolicy = field(default_factory=ContainerGCPolicy)
    eviction: EvictionConfig = field(
        default_factory=lambda: EvictionConfig(thresholds=parse_thresholds(DEFAULT_HARD, allocatable=True))
    )
    shutdown: tuple[ShutdownPeriod, ...] = ()
    """Empty: pods are not stopped when the node is."""
    cpu_manager: CPUManagerConfig = field(default_factory=CPUManagerConfig)
    memory_manager: MemoryManagerConfig = field(default_factory=MemoryManagerConfig)
    topology_manager: TopologyManagerConfig = field(default_factory=TopologyManagerConfig)
    swap_behavior: str = ""
    """``NoSwap``, ``LimitedSwap``; empty is NoSwap."""
    user_namespace_ids: int = 65536
    """Of each pod."""
    volume_stats_s: float = 60.0
    """How long measured volumes' usage is good; negative: volumes are not measured."""
    max_container_restart_s: float = 300.0
    log_max_bytes: int = 10 * 1024 * 1024
    log_max_files: int = 5
    log_check_s: float = 10.0
    log_workers: int = 1
    runtime_name: str = ""
    """Prefix of container ids in statuses; empty: what the runtime calls itself."""
    version: str = VERSION
