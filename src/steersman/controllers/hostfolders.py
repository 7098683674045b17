"""Folders of this machine, behind hostPath volumes that are made and deleted for claims. For one node and development only."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from steersman.controllers.volumeplugins import HostPaths


class HostFolders:
    """The real ones, handled in threads."""

    async def make(self, path: str) -> None:
        await asyncio.to_thread(Path(path).mkdir, mode=0o750, parents=True)

    async def remove(self, path: str) -> None:
        await asyncio.to_thread(_remove, Path(path))


def _remove(path: Path) -> None:
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    except FileNotFoundError:
        return


def _conforms() -> HostPaths:
    return HostFolders()
