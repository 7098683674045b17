"""Keeps a node usable: removes what is dead and unused, and evicts pods where that is not enough."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

from steersman.aio.clock import Clock
from steersman.aio.tasks import TaskGroup
from steersman.kubelet import node_object
from steersman.kubelet.configuration import KubeletConfig
from steersman.kubelet.container_gc import ContainerGC, Fate
from steersman.kubelet.eviction.manager import EvictionManager
from steersman.kubelet.eviction.signals import StatsObserver
from steersman.kubelet.image_gc import ImageGC
from steersman.kubelet.metrics import KubeletMetrics
from steersman.kubelet.node_cgroups import NodeCgroupKeeper, pods_limits
from steersman.kubelet.oom_watcher import OOMWatcher
from steersman.kubelet.platform import Platform
from steersman.kubelet.pod_ends import PodEnds
from steersman.kubelet.pod_worker import PodWorker
from steersman.kubelet.runtimes.api import Runtime
from steersman.kubelet.stats import StatsPlaces, StatsProvider
from steersman.kubelet.status import Verdict
from steersman.kubelet.volume_manager import PodVolumes
from steersman.kubelet.volume_stats import VolumeStats
from steersman.meta.objects import Object

AnnounceNode = Callable[[str, str, str], None]
"""An event about the node: type, reason, message."""


class NodeUpkeep:
    """Of a node with files; a simulated one has nothing to keep and is never short of anything."""

    def __init__(
        self,
        *,
        config: KubeletConfig,
        runtime: Runtime,
        platform: Platform,
        clock: Clock,
        workers: Mapping[str, PodWorker],
        volumes: PodVolumes,
        ends: PodEnds,
        sources_ready: Callable[[], bool],
        announce: AnnounceNode,
        changed: Callable[[], None],
        metrics: KubeletMetrics,
        images_left: Callable[[Sequence[str], float], Awaitable[None]] | None = None,
    ) -> None:
        """``changed`` is called when the node's pressure conditions are others. ``images_left``: as ``ImageGC``'s
        ``after``."""
        self._clock = clock
        self._config = config
        self._workers = workers
        self._has_files = platform.paths is not None
        self.volume_stats = VolumeStats(
            clock=clock, period_s=config.volume_stats_s, pods=self._pods, mounted=volumes.mounted
        )
        self.stats = StatsProvider(
            runtime,
            node_name=config.node_name,
            places=self._places(platform),
            clock=clock,
            cgroups=platform.cgroup_usage,
            facts=platform.facts if self._has_files else None,
            processors=platform.topology.cpus if platform.topology is not None else None,
        )
        observer = StatsObserver(self.stats)

        def warn(reason: str, message: str) -> None:
            announce("Warning", reason, message)

        self.image_gc = ImageGC(
            runtime,
            observer,
            clock=clock,
            config=config.image_gc,
            announce=warn,
            removed=lambda reason: metrics.images_collected.labels(reason).inc(),
            after=images_left,
        )
        self.container_gc = ContainerGC(
            runtime,
            clock=clock,
            paths=platform.paths,
            fate=self._fate,
            sources_ready=sources_ready,
            policy=config.container_gc,
            announce=warn,
        )
        self._cgroups: NodeCgroupKeeper | None = None
        if platform.node_cgroups is not None:
            total = node_object.capacity(config, platform.facts)
            self._cgroups = NodeCgroupKeeper(
                platform.node_cgroups,
                clock=clock,
                reservations=config.reservations,
                limits=pods_limits(total, self.stats.node().processes()[1], config.reservations),
                pods=ends.active_pods,
                announce=announce,
            )
        self.eviction = EvictionManager(
            config=config.eviction,
            observer=observer,
            reclaimer=self,
            evictor=ends,
            clock=clock,
            announce=warn,
            changed=changed,
            counted=lambda signal: metrics.evictions.labels(signal).inc(),
        )

        self._oom_watcher: OOMWatcher | None = None
        if platform.open_kernel_log is not None:
            self._oom_watcher = OOMWatcher(platform.open_kernel_log, warn)

    def pressures(self) -> frozenset[str]:
        """Types of the pressure conditions that hold."""
        return self.eviction.conditions

    def admit(self, pod: Mapping[str, Any]) -> Verdict | None:
        """None when the node is not too short of anything for ``pod`` to start."""
        return self.eviction.admit(pod)

    def supervise(self, group: TaskGroup) -> None:
        """Start everything in ``group``."""
        if not self._has_files:
            return
        if self._cgroups is not None:
            group.supervise(self._cgroups.run, name="node cgroups", clock=self._clock)
        if self._oom_watcher is not None:
            group.supervise(self._oom_watcher.run, name="OOM watcher", clock=self._clock)
        group.supervise(self.volume_stats.run, name="volume stats", clock=self._clock)
        group.supervise(self.container_gc.run, name="container garbage collection", clock=self._clock)
        if not self._config.image_gc.is_off:
            group.supervise(self.image_gc.run, name="image garbage collection", clock=self._clock)
        group.supervise(self.eviction.run, name="eviction", clock=self._clock)

    def enforce_reservations(self) -> None:
        """Raises ``EnforcementError``: then the kubelet must not go on."""
        if self._cgroups is not None:
            self._cgroups.enforce_reserved()

    async def remove_dead_containers(self) -> None:
        await self.container_gc.remove_unused()

    async def remove_unused_images(self) -> None:
        await self.image_gc.remove_unused()

    def _pods(self) -> Iterable[Object]:
        return [worker.pod for worker in self._workers.values()]

    def _fate(self, uid: str) -> Fate:
        worker = self._workers.get(uid)
        if worker is None:
            return "gone"
        return "ended" if worker.machine.state in ("terminated", "finished") else "kept"

    def _places(self, platform: Platform) -> StatsPlaces:
        def pod_cgroup(uid: str) -> str:
            worker = self._workers.get(uid)
            return platform.pod_cgroup(worker.pod, self._config) if worker is not None else ""

        return StatsPlaces(
            root_dir=self._config.root_dir,
            pod_paths=platform.paths,
            pods_cgroup=platform.pods_cgroup(self._config),
            kubelet_cgroup=self._config.kubelet_cgroup,
            runtime_cgroup=self._config.runtime_cgroup,
            pod_cgroup=pod_cgroup,
            volumes=self.volume_stats.of,
        )
