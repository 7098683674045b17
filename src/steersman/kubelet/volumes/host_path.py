"""``hostPath``: a path of the node itself."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from steersman.kubelet.volumes.api import MountedVolume, VolumeContext, VolumeError, VolumePlugin

_CHECKS: Mapping[str, tuple[Callable[[int], bool], str]] = {
    "Directory": (stat.S_ISDIR, "is not a directory"),
    "DirectoryOrCreate": (stat.S_ISDIR, "is not a directory"),
    "File": (stat.S_ISREG, "is not a file"),
    "FileOrCreate": (stat.S_ISREG, "is not a file"),
    "Socket": (stat.S_ISSOCK, "is not a socket file"),
    "CharDevice": (stat.S_ISCHR, "is not a character device"),
    "BlockDevice": (stat.S_ISBLK, "is not a block device"),
}


class HostPath:
    field = "hostPath"
    refreshes = False

    async def set_up(self, context: VolumeContext) -> MountedVolume:
        spec = context.volume[self.field]
        path = Path(spec["path"])
        await asyncio.to_thread(check_host_path, path, spec.get("type") or "")
        return MountedVolume(name=context.name, path=path)


def check_host_path(path: Path, kind: str) -> None:
    """That ``path`` is what ``type`` says, made first where it says so. Raises ``VolumeError`` in upstream's words."""
    if not kind:
        return
    if kind not in _CHECKS:
        raise VolumeError(f"{kind} is an invalid volume type")
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        mode = _create(path, kind)
    matches, complaint = _CHECKS[kind]
    if not matches(mode):
        raise VolumeError(f"hostPath type check failed: {path} {complaint}")


def _create(path: Path, kind: str) -> int:
    if kind == "DirectoryOrCreate":
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o755)
    elif kind == "FileOrCreate":
        path.touch()
        path.chmod(0o644)
    else:
        raise VolumeError(f"hostPath type check failed: {path} {_CHECKS[kind][1]}")
    return path.stat().st_mode


def _conforms() -> VolumePlugin:
    return HostPath()
