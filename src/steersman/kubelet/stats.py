"""What the node, its pods and their containers use, gathered when asked: the Summary API and metrics are made of it.

Usage of containers is the runtime's; of pods the kernel's, from their cgroups, and else the runtime's; of the node the
kernel's. Volumes are measured in the background (``volume_stats``).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct, field

from steersman.aio.clock import Clock
from steersman.kubelet.cgroup_usage import CgroupStats, CgroupUsage
from steersman.kubelet.cpu_rates import CPURates
from steersman.kubelet.disk_io import DiskIO
from steersman.kubelet.disk_usage import TreeUsage, tree_usage
from steersman.kubelet.machine_facts import MachineFacts
from steersman.kubelet.node_resources.machine_topology import CPUTopology
from steersman.kubelet.node_usage import DiskUsage, NodeUsage
from steersman.kubelet.pod_paths import PodPaths
from steersman.kubelet.runtimes.api import Runtime, Unimplemented
from steersman.kubelet.runtimes.containers import Container, ContainerFilter
from steersman.kubelet.runtimes.images import FilesystemUsage
from steersman.kubelet.runtimes.sandboxes import PodSandbox, PodSandboxFilter
from steersman.kubelet.runtimes.stats import ContainerStats, InterfaceUsage, PodSandboxStats
from steersman.kubelet.volume_stats import VolumeUsage

NODE_KEY = "node"
NOTHING = TreeUsage()


class ContainerUsage(Struct, frozen=True, kw_only=True):
    """A running container with what the runtime says of it."""

    container: Container
    stats: ContainerStats
    nano_cores: int | None = None
    logs: TreeUsage | None = None


class PodUsage(Struct, frozen=True, kw_only=True):
    """A pod whose sandbox runs."""

    sandbox: PodSandbox
    stats: PodSandboxStats | None = None
    cgroup: CgroupStats | None = None
    nano_cores: int | None = None
    containers: tuple[ContainerUsage, ...] = ()
    volumes: tuple[VolumeUsage, ...] = ()
    own_files: TreeUsage = NOTHING
    """Its log folder and its hosts file, without its containers' logs."""

    @property
    def uid(self) -> str:
        return self.sandbox.metadata.uid

    @property
    def working_set_bytes(self) -> int | None:
        if self.cgroup is not None and self.cgroup.working_set_bytes is not None:
            return self.cgroup.working_set_bytes
        if self.stats is not None and self.stats.memory is not None and self.stats.memory.working_set_bytes:
            return self.stats.memory.working_set_bytes
        known = [item.stats.memory.working_set_bytes for item in self.containers if item.stats.memory is not None]
        return sum(amount or 0 for amount in known) if known else None

    @property
    def cpu_core_nano_seconds(self) -> int | None:
        if self.cgroup is not None and self.cgroup.cpu_ns is not None:
            return self.cgroup.cpu_ns
        return self.stats.cpu.usage_core_nano_seconds if self.stats is not None and self.stats.cpu else None

    @property
    def processes(self) -> int | None:
        if self.cgroup is not None and self.cgroup.processes is not None:
            return self.cgroup.processes
        return self.stats.process_count if self.stats is not None else None


class RuntimeFilesystem(Struct, frozen=True, kw_only=True):
    """One that the runtime keeps images or containers on."""

    mountpoint: Path
    disk: DiskUsage
    usage: FilesystemUsage
    """By the runtime's own things on it."""


class RuntimeFilesystems(Struct, frozen=True, kw_only=True):
    image: RuntimeFilesystem | None = None
    container: RuntimeFilesystem | None = None


class StatsPlaces(Struct, frozen=True, kw_only=True):
    """Where the kubelet's own things are. What is empty is not told of."""

    root_dir: Path
    pod_paths: PodPaths | None = None
    pods_cgroup: str = ""
    kubelet_cgroup: str = ""
    runtime_cgroup: str = ""
    pod_cgroup: Callable[[str], str] = lambda uid: ""
    """By pod uid."""
    volumes: Callable[[str], tuple[VolumeUsage, ...]] = lambda uid: ()
    extra: Mapping[str, str] = field(default_factory=dict)


class StatsProvider:
    """Keeps nothing but readings that rates are made of."""

    def __init__(
        self,
        runtime: Runtime,
        *,
        node_name: str,
        places: StatsPlaces,
        clock: Clock,
        node: NodeUsage | None = None,
        cgroups: CgroupUsage | None = None,
        facts: MachineFacts | None = None,
        processors: CPUTopology | None = None,
    ) -> None:
        """``facts`` and ``processors``: of the machine, where the node is one."""
        self._runtime = runtime
        self.node_name = node_name
        self.places = places
        self._clock = clock
        self._node = node or NodeUsage()
        self._cgroups = cgroups
        self.facts = facts
        self.processors = processors
        self._rates = CPURates()

    def now_s(self) -> float:
        return self._clock.now()

    def node(self) -> NodeUsage:
        return self._node

    def node_disk(self) -> DiskUsage:
        """Of the file system with the kubelet's root. Raises ``OSError``."""
        return self._node.disk(self.places.root_dir)

    def node_nano_cores(self) -> int | None:
        return self._rates.update(NODE_KEY, self._node.cpu_core_nano_seconds(), self._clock.now())

    def node_cpu_core_nano_seconds(self) -> int:
        return self._node.cpu_core_nano_seconds()

    def cgroup(self, path: str, *, processes: bool = False) -> CgroupStats | None:
        return self._cgroups.read(path, processes=processes) if self._cgroups is not None and path else None

    def container_cgroup(self, parent: str, container_id: str) -> CgroupStats | None:
        """Of a container in the pod's cgroup ``parent``."""
        paths = _container_cgroups(parent, container_id)
        return next((found for path in paths if (found := self.cgroup(path, processes=True)) is not None), None)

    def container_disk_io(self, parent: str, container_id: str) -> tuple[DiskIO, ...]:
        """By disk, of a container in the pod's cgroup ``parent``."""
        paths = _container_cgroups(parent, container_id)
        return next((found for path in paths if (found := self.disk_io(path))), ())

    def disk_io(self, path: str) -> tuple[DiskIO, ...]:
        """By disk, of the cgroup ``path``."""
        return self._cgroups.disk_io(path) if self._cgroups is not None and path else ()

    def interfaces(self, pod: PodUsage) -> Sequence[InterfaceUsage]:
        """Those that the pod sees, as the kernel has them for its sandbox; else as the runtime has."""
        if self._cgroups is not None:
            for path in _container_cgroups(self.places.pod_cgroup(pod.uid), pod.sandbox.id):
                pid = self._cgroups.first_process(path)
                if pid is not None and (found := self._node.interfaces_of(pid)):
                    return found
        network = pod.stats.network if pod.stats is not None else None
        if network is None:
            return ()
        return [*([network.default_interface] if network.default_interface else []), *network.interfaces]

    def rate(self, key: str, total_ns: int | None) -> int | None:
        return self._rates.update(key, total_ns, self._clock.now())

    async def pods(self, *, with_disk: bool = False) -> list[PodUsage]:
        """Every pod whose sandbox runs, in the runtime's order. ``with_disk``: logs and volumes too."""
        sandboxes, containers, stats, sandbox_stats = await asyncio.gather(
            self._runtime.list_pod_sandboxes(PodSandboxFilter(state="READY")),
            self._runtime.list_containers(ContainerFilter(state="RUNNING")),
            self._runtime.list_container_stats(),
            self._sandbox_stats(),
        )
        by_container = {entry.id: entry for entry in stats}
        by_sandbox = {entry.id: entry for entry in sandbox_stats}
        members: dict[str, list[Container]] = {}
        for container in containers:
            if container.id in by_container:
                members.setdefault(container.sandbox_id, []).append(container)
        found = [
            self._pod(box, by_sandbox.get(box.id), members.get(box.id, ()), by_container, with_disk)
            for box in sandboxes
        ]
        self._rates.keep({NODE_KEY, *self._system_keys(), *(item.uid for item in found), *by_container})
        return found

    def _pod(
        self,
        box: PodSandbox,
        stats: PodSandboxStats | None,
        containers: Sequence[Container],
        by_container: Mapping[str, ContainerStats],
        with_disk: bool,
    ) -> PodUsage:
        uid = box.metadata.uid
        cgroup = self.cgroup(self.places.pod_cgroup(uid), processes=True)
        usage = PodUsage(sandbox=box, stats=stats, cgroup=cgroup)
        folder = self._log_folder(box) if with_disk else None
        return PodUsage(
            sandbox=box,
            stats=stats,
            cgroup=cgroup,
            nano_cores=self.rate(uid, usage.cpu_core_nano_seconds),
            containers=tuple(self._container(item, by_container[item.id], folder) for item in containers),
            volumes=self.places.volumes(uid) if with_disk else (),
            own_files=self._own_files(uid, folder) if with_disk else TreeUsage(),
        )

    def _container(self, container: Container, stats: ContainerStats, logs: Path | None) -> ContainerUsage:
        cpu = stats.cpu
        nano_cores = cpu.usage_nano_cores if cpu is not None else None
        if cpu is not None and nano_cores is None:
            nano_cores = self._rates.update(container.id, cpu.usage_core_nano_seconds, cpu.timestamp_ns / 1e9)
        usage = None
        if logs is not None:
            with contextlib.suppress(OSError):
                usage = tree_usage(logs / container.metadata.name)
        return ContainerUsage(container=container, stats=stats, nano_cores=nano_cores, logs=usage)

    def _log_folder(self, box: PodSandbox) -> Path | None:
        paths = self.places.pod_paths
        metadata = box.metadata
        return paths.logs / f"{metadata.namespace}_{metadata.name}_{metadata.uid}" if paths is not None else None

    def _own_files(self, uid: str, folder: Path | None) -> TreeUsage:
        total = TreeUsage()
        paths = self.places.pod_paths
        with contextlib.suppress(OSError):
            if paths is not None:
                total += tree_usage(paths.hosts_file(uid))
        with contextlib.suppress(OSError):
            for entry in os.scandir(folder) if folder is not None else ():
                if entry.is_file(follow_symlinks=False):
                    total += tree_usage(Path(entry.path))
        return total

    def system_cgroups(self) -> dict[str, str]:
        """The Summary API's system containers that this node has."""
        places = self.places
        named = {"pods": places.pods_cgroup, "kubelet": places.kubelet_cgroup, "runtime": places.runtime_cgroup}
        return {name: path for name, path in {**named, **places.extra}.items() if path}

    def _system_keys(self) -> list[str]:
        return [f"system/{name}" for name in self.system_cgroups()]

    async def runtime_filesystems(self) -> RuntimeFilesystems:
        """Where images and containers are; a mountpoint that this machine does not know counts as the kubelet's own."""
        info = await self._runtime.image_fs_info()
        return RuntimeFilesystems(
            image=self._filesystem(info.image_filesystems),
            container=self._filesystem(info.container_filesystems or info.image_filesystems),
        )

    def _filesystem(self, usages: Sequence[FilesystemUsage]) -> RuntimeFilesystem | None:
        if not usages:
            return None
        usage = usages[0]
        path = Path(usage.mountpoint) if usage.mountpoint else self.places.root_dir
        try:
            disk = self._node.disk(path)
        except FileNotFoundError:
            path = self.places.root_dir
            disk = self._node.disk(path)
        return RuntimeFilesystem(mountpoint=path, disk=disk, usage=usage)

    async def _sandbox_stats(self) -> Sequence[PodSandboxStats]:
        try:
            return await self._runtime.list_pod_sandbox_stats()
        except Unimplemented:
            return ()


def _container_cgroups(parent: str, container_id: str) -> tuple[str, ...]:
    """Where a container's may be: containerd names it by id, CRI-O puts its own name before."""
    return (f"{parent}/{container_id}", f"{parent}/crio-{container_id}") if parent else ()
