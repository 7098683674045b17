"""What a volume type is: one plugin that makes a pod's volume ready on the node and takes it away again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct

from steersman.kubelet.object_source import ObjectSource
from steersman.kubelet.pod_paths import PodPaths
from steersman.meta import objects
from steersman.meta.objects import Object


class VolumeError(Exception):
    """The volume cannot be made ready now; the message goes into the pod's FailedMount event."""


class Tokens(Protocol):
    """Service account tokens for pods."""

    async def token(self, pod: Mapping[str, Any], *, audience: str, expiration_s: int) -> str:
        """A token bound to ``pod``, renewed well before it expires. Raises ``APIError``."""


class VolumeContext(Struct, frozen=True, kw_only=True):
    """One volume of one pod, and what its plugin may use."""

    pod: Object
    volume: Mapping[str, Any]
    paths: PodPaths
    source: ObjectSource
    tokens: Tokens
    host_ips: tuple[str, ...] = ()
    pod_ips: tuple[str, ...] = ()
    allocatable: Mapping[str, Any]
    node: Object | None = None
    """None: not known yet."""

    @property
    def name(self) -> str:
        return str(self.volume["name"])

    @property
    def namespace(self) -> str:
        return objects.namespace(self.pod)

    @property
    def fs_group(self) -> int | None:
        group = (self.pod["spec"].get("securityContext") or {}).get("fsGroup")
        return None if group is None else int(group)

    def path(self, plugin: str) -> Path:
        """Where a plugin that keeps files of its own has them."""
        return self.paths.volume(objects.uid(self.pod), plugin, self.name)


class MountedVolume(Struct, frozen=True, kw_only=True):
    """A volume that containers can be given."""

    name: str
    path: Path
    read_only: bool = False


class VolumePlugin(Protocol):
    """One volume type. Calls for the same volume never overlap."""

    @property
    def field(self) -> str:
        """The key of ``spec.volumes[]`` that selects it: ``emptyDir``."""

    @property
    def refreshes(self) -> bool:
        """Its content follows the API: ``set_up`` is repeated while the pod lives."""

    async def set_up(self, context: VolumeContext) -> MountedVolume:
        """Make it ready, or bring it up to date; repeating it is harmless. Raises ``VolumeError`` or ``APIError``."""
