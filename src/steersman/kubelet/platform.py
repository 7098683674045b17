"""What a kubelet stands on: this machine with its files, cgroups and volumes, or nothing at all (simulated)."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from steersman.aio.clock import Clock
from steersman.client.api import Client
from steersman.kubelet import apparmor, node_object
from steersman.kubelet.cgroup_hierarchies import counts_swap, find_hierarchies
from steersman.kubelet.cgroup_usage import CgroupUsage
from steersman.kubelet.cgroups import CgroupFS, Cgroups, NoCgroups, pod_cgroup
from steersman.kubelet.configuration import KubeletConfig
from steersman.kubelet.container_builder import NodeSettings
from steersman.kubelet.handlers import Handlers, RuntimeHandlers
from steersman.kubelet.linux_resources import HUGEPAGES, ResourcePolicy
from steersman.kubelet.machine_facts import MachineFacts, machine_facts, primary_address
from steersman.kubelet.node_cgroups import NodeCgroups
from steersman.kubelet.node_resources.machine_topology import MachineTopology, read_topology
from steersman.kubelet.object_source import ObjectSource
from steersman.kubelet.oom_watcher import open_kernel_log
from steersman.kubelet.pod_dns import parse_resolv_conf
from steersman.kubelet.pod_paths import PodPaths
from steersman.kubelet.registry_credentials.docker_config import NodeFiles, node_files
from steersman.kubelet.runtimes.api import Runtime, RuntimeHandler
from steersman.kubelet.runtimes.image_mounts import ImageMounter
from steersman.kubelet.runtimes.sandboxes import DNSConfig
from steersman.kubelet.runtimes.simulated import SimulatedRuntime
from steersman.kubelet.service_account_tokens import ServiceAccountTokens
from steersman.kubelet.shutdown.manager import Connect
from steersman.kubelet.simulated_handlers import SimulatedHandlers
from steersman.kubelet.swap import SwapPolicy
from steersman.kubelet.user_namespaces import subordinate_ids
from steersman.kubelet.volume_manager import NodeValues, NoVolumes, PodVolumes, Timed, VolumeManager
from steersman.kubelet.volumes.mounts import keeps_memory_off_disk
from steersman.kubelet.volumes.registry import registry
from steersman.meta.objects import Object
from steersman.meta.quantities import to_int

LEAST_SANDBOXES_AT_ONCE = 4
SIMULATED = MachineFacts(
    cpus=32,
    memory_bytes=256 * 1024**3,
    disk_bytes=1024 * 1024**3,
    machine_id="simulated",
    system_uuid="simulated",
    boot_id="simulated",
    kernel="simulated",
    os_image="simulated",
)


class MachineWarning(Struct, frozen=True, kw_only=True):
    """An event of the node's."""

    reason: str
    message: str


CGROUP_V1 = MachineWarning(
    reason="CgroupV1",
    message=(
        "cgroup v1 detected. cgroup v1 support is deprecated and will be removed in a future release. Please migrate to"
        " cgroup v2. More information at https://git.k8s.io/enhancements/keps/sig-node/5573-remove-cgroup-v1"
    ),
)
MEMORY_MAY_BE_ON_DISK = MachineWarning(
    reason="PossibleMemoryBackedVolumesOnDisk",
    message=(
        "The tmpfs noswap option is not supported. Memory-backed volumes (e.g. secrets, emptyDirs, etc.) might be swapped"
        " to disk and should no longer be considered secure."
    ),
)


class Platform(Struct, frozen=True, kw_only=True):
    """One node's means."""

    facts: MachineFacts
    addresses: tuple[str, ...]
    handlers: Handlers
    cgroups: Cgroups
    paths: PodPaths | None
    """None: there are no files."""
    sandboxes_at_once: int = sys.maxsize
    """As many as the machine makes without each taking longer."""
    image_mounter: ImageMounter | None = None
    """For a runtime that does not mount images itself."""
    is_cgroup_v2: bool = False
    has_apparmor: bool = True
    counts_swap: bool = False
    """The kernel limits swap by cgroup."""
    cgroup_usage: CgroupUsage | None = None
    """None: nothing is counted by cgroups."""
    node_cgroups: NodeCgroups | None = None
    resolv_conf: DNSConfig = field(default_factory=DNSConfig)
    subordinate_ids: tuple[int, int] | None = None
    """First and number of the user and group ids that pods' user namespaces may have; None: all but the lowest."""
    environ: Mapping[str, str] = field(default_factory=dict)
    """Of the kubelet's process, for programs that it starts."""
    node_credentials: NodeFiles | None = None
    """An administrator's, for registries."""
    shutdown_bus: Connect | None = None
    """None: nothing tells of a shutdown, or nobody wants to know."""
    open_kernel_log: Callable[[], int] | None = None
    """None: the kernel has nothing to tell of this node."""
    topology: MachineTopology | None = None
    """None: containers share whatever CPUs and memory there are."""
    warnings: tuple[MachineWarning, ...] = ()
    """What an administrator should know of the machine when a kubelet starts on it."""
    sockets: Path | None = None
    """Folder below which device plugins register and monitoring agents ask; None: there are none."""

    @property
    def cgroup_version(self) -> int:
        """0: pods have no cgroups."""
        return 0 if self.cgroup_usage is None else 2 if self.is_cgroup_v2 else 1

    def volumes(
        self,
        client: Client,
        source: ObjectSource,
        config: KubeletConfig,
        *,
        node: Callable[[], Object | None],
        clock: Clock,
        rng: random.Random,
        timed: Timed,
    ) -> tuple[PodVolumes, ServiceAccountTokens | None]:
        """The volumes of this node's pods, and the tokens that some of them hold."""
        if self.paths is None:
            return NoVolumes(), None
        tokens = ServiceAccountTokens(client, clock=clock, rng=rng)
        manager = VolumeManager(
            plugins=registry(clock),
            paths=self.paths,
            source=source,
            tokens=tokens,
            node=NodeValues(host_ips=self.addresses, allocatable=self.allocatable(config), node=node),
            timed=timed,
        )
        return manager, tokens

    def pods_cgroup(self, config: KubeletConfig) -> str:
        """The one that holds all pods'; empty where there is none."""
        return "/" + "/".join(filter(None, (config.cgroup_root.strip("/"), "kubepods"))) if self.cgroup_usage else ""

    def pod_cgroup(self, pod: Mapping[str, Any], config: KubeletConfig) -> str:
        return pod_cgroup(pod, config.cgroup_root) if self.cgroup_usage is not None else ""

    def allocatable(self, config: KubeletConfig) -> Mapping[str, Any]:
        return node_object.allocatable(config, node_object.capacity(config, self.facts))

    def settings(self, config: KubeletConfig, *, handlers: tuple[RuntimeHandler, ...]) -> NodeSettings:
        total = node_object.capacity(config, self.facts)
        kill_one = config.single_process_oom_kill
        return NodeSettings(
            host_ips=self.addresses,
            allocatable=node_object.allocatable(config, total),
            cluster_dns=config.cluster_dns,
            cluster_domain=config.cluster_domain,
            resolv_conf=self.resolv_conf,
            policy=ResourcePolicy(
                memory_capacity_bytes=max(to_int(total["memory"]), 1),
                cpu_quota=config.cpu_cfs_quota,
                cpu_period_us=config.cpu_cfs_period_us,
                cgroup_v2=self.is_cgroup_v2,
                pod_pids=max(config.pod_pids_limit, 0),
                swap=self._swap(config) if self.counts_swap else None,
                single_process_oom_kill=kill_one if kill_one is not None else not self.is_cgroup_v2,
                hugepage_sizes_bytes=tuple(to_int(name.removeprefix(HUGEPAGES)) for name, _ in self.facts.hugepages),
            ),
            seccomp_default=config.seccomp_default,
            allowed_unsafe_sysctls=config.allowed_unsafe_sysctls,
            handlers=handlers,
        )

    def _swap(self, config: KubeletConfig) -> SwapPolicy:
        return SwapPolicy(
            cgroup_v2=self.is_cgroup_v2,
            limited=config.swap_behavior == "LimitedSwap",
            memory_bytes=self.facts.memory_bytes,
            swap_bytes=self.facts.swap_bytes,
        )


def machine_platform(
    config: KubeletConfig, runtime: Runtime, *, clock: Clock, image_mounter: ImageMounter | None = None
) -> Platform:
    """This machine. Reads /proc, /sys and the node's resolv.conf once; raises ``OSError`` where they cannot be read."""
    cgroups = CgroupFS(root=config.cgroup_root)
    hierarchies = find_hierarchies(Path("/proc/self/mountinfo").read_text())
    resolv_conf = DNSConfig()
    if config.resolv_conf is not None and config.resolv_conf.exists():
        resolv_conf = parse_resolv_conf(config.resolv_conf.read_text())
    facts = machine_facts(config.root_dir)
    pages = {to_int(name.removeprefix(HUGEPAGES)): size for name, size in facts.hugepages}
    return Platform(
        facts=facts,
        sandboxes_at_once=max(LEAST_SANDBOXES_AT_ONCE, 2 * facts.cpus),
        addresses=config.node_ips or (primary_address(),),
        handlers=RuntimeHandlers(runtime, clock=clock),
        cgroups=cgroups,
        paths=PodPaths(root=Path(config.root_dir), logs=config.pod_logs_dir, container_logs=config.container_logs_dir),
        image_mounter=image_mounter,
        is_cgroup_v2=cgroups.is_v2,
        has_apparmor=apparmor.is_enabled(),
        counts_swap=counts_swap(hierarchies, Path("/proc/self/cgroup").read_text()),
        cgroup_usage=CgroupUsage(hierarchies),
        node_cgroups=NodeCgroups(hierarchies, root=config.cgroup_root),
        resolv_conf=resolv_conf,
        subordinate_ids=subordinate_ids(),
        environ=dict(os.environ),
        node_credentials=node_files(config.root_dir, working_dir=Path.cwd(), home=Path.home(), clock=clock),
        shutdown_bus=_shutdown_bus() if config.shutdown else None,
        open_kernel_log=open_kernel_log,
        topology=read_topology(
            memory_bytes=facts.memory_bytes, hugepages={size: total // size for size, total in pages.items()}
        ),
        warnings=_warnings(is_cgroup_v2=cgroups.is_v2, has_swap=facts.swap_bytes > 0),
        sockets=Path(config.root_dir),
    )


def _warnings(*, is_cgroup_v2: bool, has_swap: bool) -> tuple[MachineWarning, ...]:
    swaps_memory = has_swap and not keeps_memory_off_disk()
    return (*(() if is_cgroup_v2 else (CGROUP_V1,)), *((MEMORY_MAY_BE_ON_DISK,) if swaps_memory else ()))


def _shutdown_bus() -> Connect:
    from steersman.kubelet.shutdown.logind import system_logind  # and with it D-Bus, which few nodes need

    return system_logind


def simulated_platform(config: KubeletConfig, runtime: SimulatedRuntime, *, clock: Clock) -> Platform:
    """No machine: nothing is read or written."""
    return Platform(
        facts=SIMULATED,
        addresses=config.node_ips or ("192.0.2.1",),
        handlers=SimulatedHandlers(runtime, clock=clock),
        cgroups=NoCgroups(),
        paths=None,
    )
