"""The volume types whose files come from the API: configMap, secret, downwardAPI, projected.

One folder on disk (configMap) or in memory (the others, which may hold secrets), written atomically and kept up to
date while the pod lives.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from steersman.aio.clock import Clock
from steersman.kubelet.volumes import sources
from steersman.kubelet.volumes.api import MountedVolume, VolumeContext, VolumeError
from steersman.kubelet.volumes.atomic_files import File, write_files
from steersman.kubelet.volumes.mounts import mount_tmpfs


async def publish(
    context: VolumeContext, plugin: str, files: Mapping[str, File], *, clock: Clock, in_memory: bool
) -> MountedVolume:
    """Make the volume hold exactly ``files``. Raises ``VolumeError``."""
    path = context.path(plugin)
    try:
        await asyncio.to_thread(_write, path, files, clock.now(), in_memory, context.fs_group)
    except ValueError as error:
        raise VolumeError(str(error)) from error
    return MountedVolume(name=context.name, path=path, read_only=True)


def _write(path: Path, files: Mapping[str, File], now_s: float, in_memory: bool, gid: int | None) -> None:
    if in_memory:
        mount_tmpfs(path, mode=0o777)
    elif not path.exists():
        path.mkdir(parents=True)
        path.chmod(0o777)
    write_files(path, files, now_s=now_s, gid=gid)


def default_mode(source: Mapping[str, Any]) -> int:
    mode = source.get("defaultMode")
    return sources.DEFAULT_MODE if mode is None else int(mode)
