"""Images mounted on folders of the node, for runtimes that cannot mount an image into a container themselves.

CRI has image mounts since containerd 2.1 and CRI-O 1.31. An older containerd has the layers all the same, and its own tool
puts them on a folder, from where they are mounted into containers like any other volume.
"""

from __future__ import annotations

import asyncio
import re
import shutil
from pathlib import Path
from typing import Final, Protocol

from steersman.kubelet.runtimes.api import RuntimeServiceError, Unimplemented, Version

FIRST_WITH_IMAGE_MOUNTS: Final = {"containerd": (2, 1), "cri-o": (1, 31)}
NAMESPACE: Final = "k8s.io"
"""Of containerd, where CRI's images are."""


def mounts_images(version: Version) -> bool:
    """The runtime mounts images into containers; of one that is not known here it is assumed."""
    first = FIRST_WITH_IMAGE_MOUNTS.get(version.runtime_name)
    numbers = re.match(r"v?(\d+)\.(\d+)", version.runtime_version)
    return first is None or numbers is None or (int(numbers[1]), int(numbers[2])) >= first


class ImageMounter(Protocol):
    """Mounts images, read-only."""

    async def mount(self, image_id: str, target: Path) -> None:
        """On ``target``, a folder. Raises ``RuntimeServiceError``, ``Unimplemented`` where this node cannot at all."""

    async def unmount(self, target: Path) -> None:
        """Raises ``RuntimeServiceError``; what is not mounted is fine."""


class ContainerdImageMounter:
    """With containerd's command-line tool, which is installed with it."""

    def __init__(self, endpoint: str) -> None:
        self._address = endpoint.removeprefix("unix://")

    async def mount(self, image_id: str, target: Path) -> None:
        await self._run("images", "mount", image_id, str(target))

    async def unmount(self, target: Path) -> None:
        await self._run("images", "unmount", "--rm", str(target))

    async def _run(self, *words: str) -> None:
        program = shutil.which("ctr")
        if program is None:
            raise Unimplemented("the container runtime cannot mount images, and its tool ctr is not installed")
        process = await asyncio.create_subprocess_exec(
            program, "--address", self._address, "--namespace", NAMESPACE, *words,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        output, _ = await process.communicate()
        if process.returncode:
            raise RuntimeServiceError(output.decode(errors="replace").strip() or f"ctr ended with {process.returncode}")


def _conforms() -> ImageMounter:
    return ContainerdImageMounter("")
