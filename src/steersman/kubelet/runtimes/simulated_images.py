"""Images of a node without containers: names that take as long to pull as a pod's behaviour says."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from steersman.aio.clock import Clock
from steersman.kubelet.runtimes.api import ImagePullError, ImageService, InvalidArgument
from steersman.kubelet.runtimes.behaviour import Behaviour, BehaviourError, Stage, behaviour_of
from steersman.kubelet.runtimes.images import AuthConfig, FilesystemUsage, Image, ImageFsInfo, ImageSpec
from steersman.kubelet.runtimes.sandboxes import PodSandboxConfig

IMAGE_BYTES = 700_000


class SimulatedImages:
    """The half of ``SimulatedRuntime`` that CRI calls ImageService."""

    def __init__(self, *, clock: Clock, rng: random.Random, default: Behaviour, images_present: bool) -> None:
        """``images_present``: every image is on the node already, so that nothing is ever pulled."""
        self._clock = clock
        self._rng = rng
        self._default = default
        self._images_present = images_present
        self._images: dict[str, Image] = {}

    async def list_images(self, image: str = "") -> Sequence[Image]:
        return [found for name, found in self._images.items() if not image or name == image]

    async def image_status(self, image: ImageSpec) -> Image | None:
        if self._images_present and image.image not in self._images:
            self._add_image(image.image)
        return self._find_image(image.image)

    async def pull_image(
        self, image: ImageSpec, *, auth: AuthConfig | None = None, sandbox_config: PodSandboxConfig | None = None
    ) -> str:
        annotations = sandbox_config.annotations if sandbox_config is not None else {}
        behaviour = self._behaviour_of(annotations, "")
        await self._pause(behaviour.pull_s)
        if behaviour.pull_error:
            raise ImagePullError(behaviour.pull_error)
        return self._add_image(image.image).id

    async def remove_image(self, image: ImageSpec) -> None:
        found = self._find_image(image.image)
        self._images = {name: item for name, item in self._images.items() if item is not found}

    async def image_fs_info(self) -> ImageFsInfo:
        used_bytes = sum({image.id: image.size_bytes for image in self._images.values()}.values())
        usage = FilesystemUsage(timestamp_ns=self._now_ns(), used_bytes=used_bytes)
        return ImageFsInfo(image_filesystems=(usage,))

    def add_image(self, image: Image) -> None:
        """As if it had been pulled, or loaded by hand."""
        for name in image.repo_tags or (image.id,):
            self._images[name] = image

    def _find_image(self, name: str) -> Image | None:
        """By reference or id."""
        if name in self._images:
            return self._images[name]
        return next((image for image in self._images.values() if image.id == name), None)

    def _add_image(self, name: str) -> Image:
        found = self._images.get(name)
        if found is None:
            found = Image(id=name, repo_tags=(name,), size_bytes=IMAGE_BYTES)
            self._images[name] = found
        return found

    def _behaviour_of(self, annotations: Mapping[str, str], container: str) -> Behaviour:
        try:
            return behaviour_of(annotations, container, self._default)
        except BehaviourError as error:
            raise InvalidArgument(str(error)) from error

    async def _pause(self, stage: Stage) -> None:
        delay_s = stage.draw(self._rng)
        if delay_s > 0:
            await self._clock.sleep(delay_s)

    def _now_ns(self) -> int:
        return int(self._clock.now() * 1e9)


def _conforms(images: SimulatedImages) -> ImageService:
    return images
