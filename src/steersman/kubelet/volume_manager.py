"""The volumes of the pods of one node: made ready before containers start, kept up to date, removed at the end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct

from steersman.client.transport import Unreachable
from steersman.kubelet import podspec
from steersman.kubelet.object_source import ObjectSource
from steersman.kubelet.pod_paths import PodPaths
from steersman.kubelet.volumes.api import MountedVolume, Tokens, VolumeContext, VolumeError, VolumePlugin
from steersman.kubelet.volumes.mounts import unmount_below
from steersman.kubelet.volumes.registry import plugin_for
from steersman.kubelet.volumes.subpath import bind_subpath
from steersman.kubelet.volumes.trees import remove_tree
from steersman.meta import objects
from steersman.meta.errors import APIError
from steersman.meta.objects import Object

log = logging.getLogger(__name__)


class NodeValues(Struct, frozen=True, kw_only=True):
    """What volumes may show of the node."""

    host_ips: tuple[str, ...]
    allocatable: Mapping[str, Any]
    node: Callable[[], Object | None] = lambda: None
    """The Node as the API has it, once it is known."""


class MountFailed(Exception):
    """Some volumes of a pod are not ready; one message each, as for FailedMount events."""

    def __init__(self, messages: list[str]) -> None:
        super().__init__("; ".join(messages))
        self.messages = messages


class PodVolumes(Protocol):
    """Volumes as the pod worker sees them."""

    async def mount(self, pod: Object, pod_ips: tuple[str, ...] = ()) -> Mapping[str, MountedVolume]:
        """Every volume of ``pod``, ready. Raises ``MountFailed``."""

    def mounted(self, uid: str) -> Mapping[str, MountedVolume]:
        """What ``mount`` made ready last."""

    def refreshes(self, pod: Object) -> bool:
        """Some volume's content follows the API, so that ``mount`` should be repeated while the pod runs."""

    async def subpath(self, pod: Object, container: str, index: int, volume: MountedVolume, path: str) -> Path:
        """``path`` inside ``volume``, safe to mount into ``container`` as its mount number ``index``."""

    async def unmount(self, uid: str) -> None:
        """Take away the pod's volumes. Its logs and its containers' last words stay. Raises ``OSError``."""

    async def remove(self, uid: str) -> None:
        """Take away everything the pod had on disk except its log files. Raises ``OSError``."""


class NoVolumes:
    """For a runtime without containers: every volume is ready and nowhere."""

    async def mount(self, pod: Object, pod_ips: tuple[str, ...] = ()) -> Mapping[str, MountedVolume]:
        return {
            volume["name"]: MountedVolume(name=volume["name"], path=Path("/"))
            for volume in pod["spec"].get("volumes") or ()
        }

    def mounted(self, uid: str) -> Mapping[str, MountedVolume]:
        return {}

    def refreshes(self, pod: Object) -> bool:
        return False

    async def subpath(self, pod: Object, container: str, index: int, volume: MountedVolume, path: str) -> Path:
        return volume.path

    async def unmount(self, uid: str) -> None:
        pass

    async def remove(self, uid: str) -> None:
        pass


Timed = Callable[[str], AbstractContextManager[None]]


class VolumeManager:
    """Volumes on this machine's file system."""

    def __init__(
        self,
        *,
        plugins: tuple[VolumePlugin, ...],
        paths: PodPaths,
        source: ObjectSource,
        tokens: Tokens,
        node: NodeValues,
        timed: Timed = lambda field: nullcontext(),
    ) -> None:
        """``timed``: as ``StorageTimes.mounting``."""
        self._timed = timed
        self._plugins = plugins
        self._paths = paths
        self._source = source
        self._tokens = tokens
        self._node = node
        self._mounted: dict[str, Mapping[str, MountedVolume]] = {}

    def mounted(self, uid: str) -> Mapping[str, MountedVolume]:
        return self._mounted.get(uid, {})

    async def mount(self, pod: Object, pod_ips: tuple[str, ...] = ()) -> Mapping[str, MountedVolume]:
        mounted: dict[str, MountedVolume] = {}
        failures: list[str] = []
        for volume in pod["spec"].get("volumes") or ():
            context = VolumeContext(
                pod=pod,
                volume=volume,
                paths=self._paths,
                source=self._source,
                tokens=self._tokens,
                host_ips=self._node.host_ips,
                pod_ips=pod_ips,
                allocatable=self._node.allocatable,
                node=self._node.node(),
            )
            try:
                plugin = plugin_for(self._plugins, volume)
                with self._timed(plugin.field):
                    mounted[volume["name"]] = await plugin.set_up(context)
            except (VolumeError, APIError, Unreachable, OSError) as error:
                failures.append(f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error}')
        if failures:
            raise MountFailed(failures)
        self._mounted[objects.uid(pod)] = mounted
        return mounted

    def refreshes(self, pod: Object) -> bool:
        return any(
            plugin.refreshes and plugin.field in volume
            for volume in pod["spec"].get("volumes") or ()
            for plugin in self._plugins
        )

    async def subpath(self, pod: Object, container: str, index: int, volume: MountedVolume, path: str) -> Path:
        target = self._paths.subpaths(objects.uid(pod)) / volume.name / container / str(index)
        try:
            await asyncio.to_thread(bind_subpath, volume.path, path, target)
        except OSError as error:
            log.warning("subPath %s of volume %s in %s: %s", path, volume.name, podspec.full_name(pod), error)
            raise VolumeError(
                f'failed to prepare subPath for volumeMount "{volume.name}" of container "{container}"'
            ) from error
        return target

    async def unmount(self, uid: str) -> None:
        self._mounted.pop(uid, None)
        await asyncio.to_thread(self._unmount, uid)

    async def remove(self, uid: str) -> None:
        await self.unmount(uid)
        await asyncio.to_thread(remove_tree, self._paths.pod(uid))

    def _unmount(self, uid: str) -> None:
        folder, kept = self._paths.pod(uid), self._paths.containers(uid)
        try:
            entries = [entry for entry in folder.iterdir() if entry != kept]
        except FileNotFoundError:
            return
        if entries:  # looking for mounts is dear where there are many
            unmount_below(folder)
        for entry in entries:
            remove_tree(entry)


def _conforms(manager: VolumeManager) -> list[PodVolumes]:
    return [manager, NoVolumes()]
