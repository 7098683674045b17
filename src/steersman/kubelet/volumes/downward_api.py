"""``downwardAPI``: the pod's own fields as files."""

from __future__ import annotations

from steersman.aio.clock import Clock, SystemClock
from steersman.kubelet.volumes.api import MountedVolume, VolumeContext, VolumePlugin
from steersman.kubelet.volumes.api_files import default_mode, publish
from steersman.kubelet.volumes.sources import downward_files

NAME = "kubernetes.io/downward-api"


class DownwardAPIVolume:
    field = "downwardAPI"
    refreshes = True

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def set_up(self, context: VolumeContext) -> MountedVolume:
        source = context.volume[self.field]
        files = downward_files(context, source, default_mode(source))
        return await publish(context, NAME, files, clock=self._clock, in_memory=True)


def _conforms() -> VolumePlugin:
    return DownwardAPIVolume(SystemClock())
