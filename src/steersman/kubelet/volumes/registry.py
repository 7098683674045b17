"""The volume types that this kubelet has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from steersman.aio.clock import Clock
from steersman.kubelet.volumes.api import VolumeError, VolumePlugin
from steersman.kubelet.volumes.claim import EphemeralClaim, PersistentClaim
from steersman.kubelet.volumes.config_map import ConfigMapVolume
from steersman.kubelet.volumes.downward_api import DownwardAPIVolume
from steersman.kubelet.volumes.empty_dir import EmptyDir
from steersman.kubelet.volumes.host_path import HostPath
from steersman.kubelet.volumes.image import ImageVolume
from steersman.kubelet.volumes.projected import ProjectedVolume
from steersman.kubelet.volumes.secret import SecretVolume


def registry(clock: Clock) -> tuple[VolumePlugin, ...]:
    """Every volume type. To add one: its file, its test and its row here."""
    return (
        ConfigMapVolume(clock),
        DownwardAPIVolume(clock),
        EmptyDir(),
        EphemeralClaim(),
        HostPath(),
        ImageVolume(),
        PersistentClaim(),
        ProjectedVolume(clock),
        SecretVolume(clock),
    )


def plugin_for(plugins: tuple[VolumePlugin, ...], volume: Mapping[str, Any]) -> VolumePlugin:
    """The plugin of ``volume``. Raises ``VolumeError`` naming a type that is not supported."""
    for plugin in plugins:
        if plugin.field in volume:
            return plugin
    kinds = ", ".join(sorted(set(volume) - {"name"})) or "none"
    raise VolumeError(f"volume type {kinds} is not supported by this kubelet")
