"""Puts a container's configuration together: environment, mounts, files of its own on the node."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from steersman.client.transport import Unreachable
from steersman.kubelet import podspec
from steersman.kubelet.container_config import ContainerInputs, container_config, mount_of, wants_mount_at
from steersman.kubelet.environment import EnvironmentContext, EnvironmentFailed, environment
from steersman.kubelet.expansion import expand_strictly
from steersman.kubelet.images import LocalImage
from steersman.kubelet.instructions import StartContainer
from steersman.kubelet.linux_resources import ResourcePolicy
from steersman.kubelet.node_resolver import NodeResolver
from steersman.kubelet.object_source import ObjectSource
from steersman.kubelet.own_resources import Owners, OwnResourcesFailed, policy_for
from steersman.kubelet.pod_hostname import hosts_file, pod_hostname
from steersman.kubelet.pod_paths import PodPaths
from steersman.kubelet.podspec import PodContainer
from steersman.kubelet.records import PodRecord
from steersman.kubelet.runtimes.api import RuntimeHandler
from steersman.kubelet.runtimes.containers import ContainerConfig, Mount
from steersman.kubelet.runtimes.images import ImageSpec
from steersman.kubelet.runtimes.sandboxes import UserNamespace
from steersman.kubelet.security_context import SecurityContextError
from steersman.kubelet.volume_manager import PodVolumes
from steersman.kubelet.volumes.api import MountedVolume, VolumeError
from steersman.meta import objects
from steersman.meta.errors import APIError
from steersman.meta.objects import Object

ETC_HOSTS = "/etc/hosts"
CONFIG_ERRORS = (
    APIError, Unreachable, EnvironmentFailed, SecurityContextError, VolumeError, OwnResourcesFailed, ValueError, OSError
)  # fmt: skip
"""What keeps a container from being configured: its Waiting state is CreateContainerConfigError."""


class NodeSettings(Struct, frozen=True, kw_only=True):
    """What of the node goes into every pod's containers."""

    host_ips: tuple[str, ...]
    allocatable: Mapping[str, Any]
    cluster_dns: tuple[str, ...] = ()
    cluster_domain: str = "cluster.local"
    resolver: NodeResolver = field(default_factory=lambda: NodeResolver(None))
    policy: ResourcePolicy
    seccomp_default: bool = False
    allowed_unsafe_sysctls: tuple[str, ...] = ()
    handlers: tuple[RuntimeHandler, ...] = ()
    """What the runtime says its handlers can do; empty where it does not say."""
    runtime_mounts_images: bool = False

    def mounts_read_only_recursively(self, handler: str) -> bool:
        return any(item.recursive_read_only_mounts for item in self.handlers if item.name == handler)


class ContainerBuilder:
    """One for all pods of a kubelet."""

    def __init__(
        self,
        *,
        volumes: PodVolumes,
        paths: PodPaths,
        has_files: bool,
        source: ObjectSource,
        services: Callable[[str, bool], Mapping[str, str]],
        node: Callable[[], NodeSettings],
        owners: Owners,
    ) -> None:
        self._volumes = volumes
        self._paths = paths
        self._has_files = has_files
        self._source = source
        self._services = services
        self._node = node
        self._owners = owners

    async def build(
        self,
        pod: Object,
        record: PodRecord,
        work: StartContainer,
        image: LocalImage,
        image_volumes: Mapping[str, ImageSpec],
        *,
        handler: str,
        users: UserNamespace,
    ) -> ContainerConfig:
        """``image_volumes``: volumes that the runtime itself mounts. ``handler``: of the pod's RuntimeClass. Raises one of
        ``CONFIG_ERRORS``."""
        container = work.container
        node = self._node()
        if container.spec.get("volumeDevices"):
            raise VolumeError("block volumes (volumeDevices) are not supported by this kubelet")
        own = await self._owners.of(pod, container)
        variables = await environment(
            EnvironmentContext(
                pod=pod,
                source=self._source,
                services=self._services(objects.namespace(pod), pod["spec"].get("enableServiceLinks") is not False),
                host_ips=node.host_ips,
                pod_ips=podspec.addresses(pod, record.ips, node.host_ips),
                allocatable=node.allocatable,
                volumes=self._volume_paths(objects.uid(pod)),
            ),
            container.spec,
        )
        recursive = node.mounts_read_only_recursively(handler)
        mounts = await self._mounts(pod, record, container, variables, image_volumes, recursive)
        restart_count = self._restart_count(pod, work)
        return container_config(
            ContainerInputs(
                pod=pod,
                container=container,
                restart_count=restart_count,
                image_ref=image.ref,
                image=image.image,
                environment=variables,
                mounts=mounts,
                own=own,
                termination_message_path=self._termination_message(pod, container.name, restart_count),
                policy=policy_for(node.policy, self._owners, pod, container),
                seccomp_root=str(self._paths.seccomp),
                seccomp_default=node.seccomp_default,
                target_id=self._target(record, container),
                users=users,
            )
        )

    def _volume_paths(self, uid: str) -> Mapping[str, Path] | None:
        if not self._has_files:
            return None
        return {name: volume.path for name, volume in self._volumes.mounted(uid).items()}

    def _target(self, record: PodRecord, container: PodContainer) -> str:
        """The running container whose processes an ephemeral container wants to see."""
        name = container.spec.get("targetContainerName")
        if not name:
            return ""
        found = record.latest(name)
        if found is None or found.state != "RUNNING":
            raise ValueError(f'unable to find target container "{name}"')
        return found.id

    def _restart_count(self, pod: Object, work: StartContainer) -> int:
        """One more than the runtime remembers; where it has forgotten, one more than the log files say."""
        if work.restart_count is not None:
            return work.restart_count
        if not self._has_files:
            return 0
        folder = self._paths.container_logs_of(pod, work.container.name)
        try:
            counts = [int(entry.partition(".")[0]) for entry in os.listdir(folder) if entry.partition(".")[0].isdigit()]
        except FileNotFoundError:
            return 0
        return max(counts, default=-1) + 1

    def _termination_message(self, pod: Object, container: str, restart_count: int) -> str:
        if not self._has_files:
            return ""
        path = self._paths.termination_message(objects.uid(pod), container, f"{restart_count:08x}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.touch()
        path.chmod(0o666)
        return str(path)

    async def _mounts(
        self,
        pod: Object,
        record: PodRecord,
        container: PodContainer,
        variables: Mapping[str, str],
        image_volumes: Mapping[str, ImageSpec],
        recursive_read_only: bool,
    ) -> list[Mount]:
        if not self._has_files:
            return []
        node = self._node()
        volumes = self._volumes.mounted(objects.uid(pod))
        mounts = []
        for index, entry in enumerate(container.spec.get("volumeMounts") or ()):
            volume = volumes.get(entry["name"])
            if volume is None:
                raise VolumeError(f'cannot find volume "{entry["name"]}" to mount into container "{container.name}"')
            subpath = _subpath(entry, variables)
            image = image_volumes.get(entry["name"])
            host_path = "" if image else str(await self._mount_path(pod, container, index, volume, subpath))
            mounts.append(
                mount_of(
                    entry,
                    host_path,
                    volume_read_only=volume.read_only,
                    recursive_read_only=recursive_read_only,
                    image=image,
                    image_sub_path=subpath if image else "",
                )
            )
        if (record.ips or podspec.is_host_network(pod)) and not wants_mount_at(container.spec, ETC_HOSTS):
            path = await asyncio.to_thread(self._write_hosts, pod, record, node)
            mounts.append(Mount(container_path=ETC_HOSTS, host_path=str(path)))
        return mounts

    async def _mount_path(
        self,
        pod: Object,
        container: PodContainer,
        index: int,
        volume: MountedVolume,
        subpath: str,
    ) -> Path:
        if not subpath:
            return volume.path
        return await self._volumes.subpath(pod, container.name, index, volume, subpath)

    def _write_hosts(self, pod: Object, record: PodRecord, node: NodeSettings) -> Path:
        path = self._paths.hosts_file(objects.uid(pod))
        node_hosts = Path(ETC_HOSTS).read_text() if podspec.is_host_network(pod) else ""
        path.write_text(hosts_file(pod, pod_hostname(pod, node.cluster_domain), record.ips, node_hosts))
        path.chmod(0o644)
        return path


def _subpath(entry: Mapping[str, Any], variables: Mapping[str, str]) -> str:
    """Of one volumeMount, expanded. Raises ``ValueError``."""
    if entry.get("subPathExpr"):
        return expand_strictly(entry["subPathExpr"], variables)
    return str(entry.get("subPath") or "")
