"""What is observed of the node and its pods to decide about eviction."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct, field

from steersman.kubelet.disk_usage import TreeUsage
from steersman.kubelet.eviction import thresholds as signals
from steersman.kubelet.image_gc import Space
from steersman.kubelet.node_usage import DiskUsage
from steersman.kubelet.stats import PodUsage, RuntimeFilesystems, StatsProvider
from steersman.kubelet.summary import ephemeral_usage


class Observation(Struct, frozen=True, kw_only=True):
    """In the unit of the signal: bytes, inodes, processes."""

    available: int
    capacity: int


Observations = Mapping[str, Observation]


class Filesystems(Struct, frozen=True, kw_only=True):
    """Which file systems the node has besides its own."""

    image: bool = False
    """Images are on another one."""
    container: bool = False
    """Containers' writable layers are not where images are."""


class ContainerDisk(Struct, frozen=True, kw_only=True):
    rootfs: TreeUsage | None = None
    logs: TreeUsage | None = None
    memory_bytes: int | None = None


class PodConsumption(Struct, frozen=True, kw_only=True):
    """What one pod uses of what a node can run short of."""

    memory_bytes: int | None = None
    processes: int = 0
    containers: Mapping[str, ContainerDisk] = field(default_factory=dict)
    volumes: Mapping[str, TreeUsage] = field(default_factory=dict)
    ephemeral_bytes: int = 0
    """All that counts against its limit of ephemeral storage."""


class Observer(Protocol):
    """Looks at a node."""

    async def filesystems(self) -> Filesystems: ...

    async def observe(self) -> Observations:
        """What cannot be measured is left out. Raises ``OSError`` or ``RuntimeServiceError``."""

    async def consumption(self) -> Mapping[str, PodConsumption]:
        """By pod uid. Raises ``RuntimeServiceError``."""


class StatsObserver:
    """Observes through the same statistics that the Summary API shows."""

    def __init__(self, stats: StatsProvider) -> None:
        self._stats = stats

    async def filesystems(self) -> Filesystems:
        """By their devices, as upstream tells them apart by their mount points' labels."""
        found = await self._stats.runtime_filesystems()
        return await asyncio.to_thread(self._compare, found)

    def _compare(self, found: RuntimeFilesystems) -> Filesystems:
        node = _device(self._stats.places.root_dir)
        image = _device(found.image.mountpoint) if found.image is not None else node
        container = _device(found.container.mountpoint) if found.container is not None else image
        return Filesystems(image=image != node, container=container != image)

    async def observe(self) -> Observations:
        node = self._stats.node()
        memory = node.memory()
        running, maximum = node.processes()
        observations = {
            signals.MEMORY: Observation(
                available=memory.available_bytes, capacity=memory.available_bytes + memory.working_set_bytes
            ),
            signals.PIDS: Observation(available=maximum - running, capacity=maximum),
        }
        pods = self._stats.cgroup(self._stats.places.pods_cgroup)
        if pods is not None and pods.available_bytes is not None and pods.working_set_bytes is not None:
            observations[signals.ALLOCATABLE_MEMORY] = Observation(
                available=pods.available_bytes, capacity=pods.available_bytes + pods.working_set_bytes
            )
        disk = await asyncio.to_thread(self._stats.node_disk)
        observations |= _of_disk(disk, signals.NODE_FS, signals.NODE_INODES)
        filesystems = await self._stats.runtime_filesystems()
        if filesystems.image is not None:
            observations |= _of_disk(filesystems.image.disk, signals.IMAGE_FS, signals.IMAGE_INODES)
        if filesystems.container is not None:
            observations |= _of_disk(filesystems.container.disk, signals.CONTAINER_FS, signals.CONTAINER_INODES)
        return observations

    async def consumption(self) -> Mapping[str, PodConsumption]:
        pods = await self._stats.pods(with_disk=True)
        return {pod.uid: consumption_of(pod) for pod in pods}

    async def image_filesystem(self) -> Space:
        """For image garbage collection. Raises ``RuntimeServiceError``."""
        image = (await self._stats.runtime_filesystems()).image
        if image is None:
            return Space(capacity_bytes=0, available_bytes=0)
        return Space(capacity_bytes=image.disk.capacity_bytes, available_bytes=image.disk.available_bytes)


def consumption_of(pod: PodUsage) -> PodConsumption:
    containers = {}
    for item in pod.containers:
        layer, memory = item.stats.writable_layer, item.stats.memory
        containers[item.container.metadata.name] = ContainerDisk(
            rootfs=TreeUsage(used_bytes=layer.used_bytes, inodes=layer.inodes_used) if layer is not None else None,
            logs=item.logs,
            memory_bytes=memory.working_set_bytes if memory is not None else None,
        )
    return PodConsumption(
        memory_bytes=pod.working_set_bytes,
        processes=pod.processes or 0,
        containers=containers,
        volumes={
            item.name: TreeUsage(used_bytes=item.disk.used_bytes, inodes=item.disk.inodes_used) for item in pod.volumes
        },
        ephemeral_bytes=ephemeral_usage(pod).used_bytes,
    )


def _of_disk(disk: DiskUsage, space: str, inodes: str) -> dict[str, Observation]:
    found = {space: Observation(available=disk.available_bytes, capacity=disk.capacity_bytes)}
    if disk.inodes:
        found[inodes] = Observation(available=disk.inodes_free, capacity=disk.inodes)
    return found


def _device(path: object) -> int:
    import os

    return os.stat(str(path)).st_dev


def _conforms(stats: StatsProvider) -> Observer:
    return StatsObserver(stats)
