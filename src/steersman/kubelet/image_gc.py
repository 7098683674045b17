"""Image garbage collection: unused images go when the disk fills up, or when nobody has used them for long.

Source: the documentation's "Garbage Collection"; wordings are upstream's ``image_gc_manager``.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, Literal, Protocol

from msgspec import Struct

from steersman.aio.clock import Clock
from steersman.kubelet.runtimes.api import Runtime, RuntimeServiceError
from steersman.kubelet.runtimes.containers import Container
from steersman.kubelet.runtimes.images import Image, ImageSpec

PERIOD_S: Final = 300.0
EVERYTHING: Final = 2**63 - 1
log = logging.getLogger(__name__)

Announce = Callable[[str, str], None]
"""A warning about the node: reason, message."""
Reason = Literal["space", "age"]


class ImageGCFailed(Exception):
    """Not everything that should have been freed was."""


class ImageGCConfig(Struct, frozen=True, kw_only=True):
    """``imageGCHighThresholdPercent`` and its siblings."""

    high_percent: int = 85
    """100 with no ``max_age_s``: never."""
    low_percent: int = 80
    min_age_s: float = 120.0
    max_age_s: float = 0.0
    """0: unused images may stay."""

    @property
    def is_off(self) -> bool:
        return self.high_percent == 100 and self.max_age_s == 0


class Space(Struct, frozen=True, kw_only=True):
    """Of the filesystem that images are on, in bytes."""

    capacity_bytes: int
    available_bytes: int


class ImageSpace(Protocol):
    async def image_filesystem(self) -> Space:
        """Measured now."""


class _Seen(Struct):
    first_s: float
    used_s: float = 0.0
    """0: never since this kubelet looks."""


class ImageGC:
    """One for a kubelet. Knows since when it sees each image and when it last saw it used; nothing survives a restart."""

    def __init__(
        self,
        runtime: Runtime,
        space: ImageSpace,
        *,
        clock: Clock,
        config: ImageGCConfig,
        announce: Announce,
        removed: Callable[[Reason], None] = lambda reason: None,
        after: Callable[[Sequence[str], float], Awaitable[None]] | None = None,
    ) -> None:
        """``removed`` counts; ``after`` is told the ids of the images that are left after images were removed,
        and when that began."""
        self._runtime = runtime
        self._space = space
        self._clock = clock
        self._config = config
        self._announce = announce
        self._removed = removed
        self._after = after
        self._began_s = clock.now()
        self._seen: dict[str, _Seen] = {}

    async def run(self) -> None:
        """Every five minutes, until cancelled. The first failure is only logged: statistics may not be there yet."""
        failed = False
        while True:
            try:
                await self.collect()
                failed = False
            except (ImageGCFailed, RuntimeServiceError, OSError) as error:
                log.warning("image garbage collection failed: %s", error)
                if failed:
                    self._announce("ImageGCFailed", str(error))
                failed = True
            await self._clock.sleep(PERIOD_S)

    async def collect(self) -> None:
        """Remove what is too old, and enough of the rest when the disk is too full. Raises ``ImageGCFailed``."""
        now_s = self._clock.now()
        unused, used = await self._look(now_s)
        unused = await self._remove_old(unused, now_s)
        space = await self._space.image_filesystem()
        capacity, available = space.capacity_bytes, min(space.available_bytes, space.capacity_bytes)
        if capacity == 0:
            message = "invalid capacity 0 on image filesystem"
            self._announce("InvalidDiskCapacity", message)
            raise ImageGCFailed(message)
        usage_percent = 100 - available * 100 // capacity
        if usage_percent < self._config.high_percent:
            return
        wanted = capacity * (100 - self._config.low_percent) // 100 - available
        log.info("image filesystem is %d%% full: freeing %d bytes", usage_percent, wanted)
        freed = await self._free(wanted, unused, used, now_s)
        if freed < wanted:
            message = (
                f"Insufficient free disk space on the node's image filesystem ({usage_percent}% of"
                f" {format_size(capacity)} used). Failed to free sufficient space by deleting unused images (freed"
                f" {freed} bytes). Investigate disk usage, as it could be used by active images, logs, volumes, or other"
                " data."
            )
            self._announce("FreeDiskSpaceFailed", message)
            raise ImageGCFailed(message)

    async def remove_unused(self) -> None:
        """Every image that is not in use and not new. Raises ``ImageGCFailed``."""
        now_s = self._clock.now()
        unused, used = await self._look(now_s)
        await self._free(EVERYTHING, unused, used, now_s)

    async def _look(self, now_s: float) -> tuple[list[Image], list[str]]:
        """Unused images, the longest unused first, and the ids of the others."""
        images = await self._runtime.list_images()
        names = await self._names_in_use()
        names.add((await self._runtime.status(verbose=True)).sandbox_image)  # which containerd pins from 1.7 on only
        self._seen = {image.id: self._seen.get(image.id) or _Seen(now_s) for image in images}
        unused, used = [], []
        for image in images:
            if image.id in names or not names.isdisjoint((*image.repo_digests, *image.repo_tags)):
                self._seen[image.id].used_s = now_s
                used.append(image.id)
            elif image.pinned:
                used.append(image.id)
            else:
                unused.append(image)
        unused.sort(key=lambda image: (self._seen[image.id].used_s, self._seen[image.id].first_s, image.id))
        return unused, used

    async def _names_in_use(self) -> set[str]:
        """How containers, running or not, name their images and those they mount."""
        names: set[str] = set()
        for container in await self._runtime.list_containers():
            names.update(_names(container))
            try:
                status = await self._runtime.container_status(container.id)
            except RuntimeServiceError as error:
                raise ImageGCFailed(f"get container status: {error}") from error
            names.update(mount.image.image for mount in status.mounts if mount.image is not None)
        return names

    async def _remove_old(self, unused: Sequence[Image], now_s: float) -> list[Image]:
        """Those that are left. Not before this kubelet has looked for as long as an image may be unused."""
        max_age_s = self._config.max_age_s
        if max_age_s == 0 or now_s - self._began_s <= max_age_s:
            return list(unused)
        left, errors = [], []
        for image in unused:
            if now_s - self._seen[image.id].used_s <= max_age_s:
                left.append(image)
                continue
            try:
                await self._remove(image, "age")
            except RuntimeServiceError as error:
                errors.append(str(error))
                left.append(image)
        if errors:
            raise ImageGCFailed(
                f"wanted to free images older than {max_age_s:g}s, encountered errors in image deletion:"
                f" {', '.join(errors)}"
            )
        return left

    async def _free(self, wanted: int, unused: Sequence[Image], used: Iterable[str], now_s: float) -> int:
        freed, errors = 0, []
        left = [*used]
        for image in unused:
            if freed >= wanted or now_s - self._seen[image.id].first_s < self._config.min_age_s:
                left.append(image.id)
                continue
            try:
                await self._remove(image, "space")
                freed += image.size_bytes
            except RuntimeServiceError as error:
                errors.append(str(error))
                left.append(image.id)
        if errors:
            raise ImageGCFailed(
                f"wanted to free {wanted} bytes, but freed {freed} bytes space with errors in image deletion:"
                f" {', '.join(errors)}"
            )
        if self._after is not None:
            await self._after(left, now_s)
        return freed

    async def _remove(self, image: Image, reason: Reason) -> None:
        log.info("removing image %s (%d bytes): %s", image.id, image.size_bytes, reason)
        await self._runtime.remove_image(ImageSpec(image=image.id))
        self._seen.pop(image.id, None)
        self._removed(reason)


def _names(container: Container) -> set[str]:
    return {name for name in (container.image_id, container.image_ref, container.image.image) if name}


def format_size(size_bytes: int) -> str:
    """As upstream prints it: ``1.5 GiB``."""
    size = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size_bytes} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
