"""Image volumes (KEP-4639): pulled like a container's image, and mounted by the runtime or, where it cannot, on the node."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from steersman.kubelet.images import Announce, CannotStart, ImageManager
from steersman.kubelet.pod_paths import PodPaths
from steersman.kubelet.podspec import PodContainer
from steersman.kubelet.runtimes.api import RuntimeServiceError
from steersman.kubelet.runtimes.image_mounts import ImageMounter
from steersman.kubelet.runtimes.images import ImageSpec
from steersman.kubelet.runtimes.sandboxes import PodSandboxConfig
from steersman.kubelet.volumes.image import NAME
from steersman.kubelet.volumes.mounts import is_mount_point
from steersman.meta import objects
from steersman.meta.objects import Object

MOUNT_FAILED = "ImageVolumeMountFailed"


class PullContext(Struct, frozen=True, kw_only=True):
    """What pulling an image for a pod takes."""

    secrets: Sequence[Mapping[str, Any]]
    sandbox: PodSandboxConfig
    runtime_handler: str


class ImageVolumes:
    """One for all pods of a kubelet; keeps nothing about any of them."""

    def __init__(
        self,
        images: ImageManager,
        *,
        paths: PodPaths | None,
        mounter: ImageMounter | None,
        runtime_mounts: Callable[[], bool],
        prepared: Callable[[bool], None] = lambda failed: None,
    ) -> None:
        """``runtime_mounts``: the runtime does the mounting; else ``mounter`` does. ``paths``: None without files.
        ``prepared`` is told of each volume, and whether it failed."""
        self._images = images
        self._paths = paths
        self._mounter = mounter
        self._runtime_mounts = runtime_mounts
        self._prepared = prepared

    async def prepare(
        self, pod: Object, container: PodContainer, pull: PullContext, announce: Announce
    ) -> dict[str, ImageSpec]:
        """The image volumes that ``container`` mounts: by volume name, those that the runtime mounts; the others are
        mounted on the node when this returns. Raises ``CannotStart``."""
        names = {entry["name"] for entry in container.spec.get("volumeMounts") or ()}
        specs: dict[str, ImageSpec] = {}
        for volume in pod["spec"].get("volumes") or ():
            source = volume.get("image")
            if source is None or volume["name"] not in names:
                continue
            try:
                spec = await self._prepare_one(pod, volume["name"], source, pull, announce)
            except BaseException:
                self._prepared(True)
                raise
            self._prepared(False)
            if spec is not None:
                specs[volume["name"]] = spec
        return specs

    async def _prepare_one(
        self, pod: Object, name: str, source: Mapping[str, Any], pull: PullContext, announce: Announce
    ) -> ImageSpec | None:
        """None where it is mounted on the node."""
        reference = str(source.get("reference") or "")
        found = await self._images.ensure_image(
            pod,
            reference,
            source.get("pullPolicy"),
            secrets=pull.secrets,
            sandbox=pull.sandbox,
            runtime_handler=pull.runtime_handler,
            announce=announce,
        )
        if self._paths is None or self._runtime_mounts():
            return ImageSpec(
                image=found.ref,
                user_specified_image=reference,
                runtime_handler=pull.runtime_handler,
                annotations=dict(objects.annotations(pod)),
            )
        image_id = found.image.id if found.image is not None else found.ref
        await self._mount(image_id, self._paths.volume(objects.uid(pod), NAME, name))
        return None

    async def _mount(self, image_id: str, target: Path) -> None:
        if self._mounter is None:
            raise CannotStart(MOUNT_FAILED, "the container runtime cannot mount images")
        if await asyncio.to_thread(is_mount_point, target):
            return
        try:
            await asyncio.to_thread(target.mkdir, parents=True, exist_ok=True)
            await self._mounter.mount(image_id, target)
        except (RuntimeServiceError, OSError) as error:
            raise CannotStart(MOUNT_FAILED, str(error)) from error

    async def release(self, uid: str) -> None:
        """Take away what is mounted on the node for the pod. Raises ``OSError``; repeat it then."""
        if self._paths is None or self._mounter is None:
            return
        folder = self._paths.volume(uid, NAME, "")
        try:
            names = os.listdir(folder)
        except FileNotFoundError:
            return
        for name in names:
            try:
                await self._mounter.unmount(folder / name)
            except RuntimeServiceError as error:
                raise OSError(f"cannot unmount image volume {name}: {error}") from error
