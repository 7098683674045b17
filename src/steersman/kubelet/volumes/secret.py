"""``secret``: the keys of a Secret as files, in memory only."""

from __future__ import annotations

from steersman.aio.clock import Clock, SystemClock
from steersman.kubelet.volumes.api import MountedVolume, VolumeContext, VolumePlugin
from steersman.kubelet.volumes.api_files import default_mode, publish
from steersman.kubelet.volumes.sources import secret_files

NAME = "kubernetes.io/secret"


class SecretVolume:
    field = "secret"
    refreshes = True

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def set_up(self, context: VolumeContext) -> MountedVolume:
        source = context.volume[self.field]
        files = await secret_files(context, source, source.get("secretName") or "", default_mode(source))
        return await publish(context, NAME, files, clock=self._clock, in_memory=True)


def _conforms() -> VolumePlugin:
    return SecretVolume(SystemClock())
