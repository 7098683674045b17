"""``image``: the files of an OCI image, read-only. It is pulled and mounted when a container that uses it starts."""

from __future__ import annotations

from steersman.kubelet.volumes.api import MountedVolume, VolumeContext, VolumePlugin

NAME = "kubernetes.io/image"


class ImageVolume:
    field = "image"
    refreshes = False

    async def set_up(self, context: VolumeContext) -> MountedVolume:
        return MountedVolume(name=context.name, path=context.path(NAME), read_only=True)


def _conforms() -> VolumePlugin:
    return ImageVolume()
