"""``configMap``: the keys of a ConfigMap as files."""

from __future__ import annotations

from steersman.aio.clock import Clock, SystemClock
from steersman.kubelet.volumes.api import MountedVolume, VolumeContext, VolumePlugin
from steersman.kubelet.volumes.api_files import default_mode, publish
from steersman.kubelet.volumes.sources import config_map_files

NAME = "kubernetes.io/configmap"


class ConfigMapVolume:
    field = "configMap"
    refreshes = True

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def set_up(self, context: VolumeContext) -> MountedVolume:
        source = context.volume[self.field]
        files = await config_map_files(context, source, source.get("name") or "", default_mode(source))
        return await publish(context, NAME, files, clock=self._clock, in_memory=False)


def _conforms() -> VolumePlugin:
    return ConfigMapVolume(SystemClock())
