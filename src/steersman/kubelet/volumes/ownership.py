"""fsGroup: the pod's group owns its volumes and may read and write them (or read, where the volume is read-only)."""

from __future__ import annotations

import os
import stat
from pathlib import Path

READ_WRITE, READ_ONLY, FOLDER = 0o660, 0o440, 0o110 | stat.S_ISGID


def set_ownership(path: Path, gid: int, *, read_only: bool = False, on_root_mismatch: bool = False) -> None:
    """Give ``path`` and all below it to group ``gid``. ``on_root_mismatch``: skip it where the top is right already."""
    if on_root_mismatch and _is_right(path, gid, read_only):
        return
    for base, folders, files in os.walk(path, topdown=False):
        for name in (*folders, *files):
            _own(os.path.join(base, name), gid, read_only)
    _own(str(path), gid, read_only)


def _is_right(path: Path, gid: int, read_only: bool) -> bool:
    info = path.stat()
    needed = (READ_ONLY if read_only else READ_WRITE) | FOLDER
    return info.st_gid == gid and stat.S_IMODE(info.st_mode) & needed == needed


def _own(path: str, gid: int, read_only: bool) -> None:
    info = os.lstat(path)
    os.lchown(path, -1, gid)
    if stat.S_ISLNK(info.st_mode):
        return
    mode = stat.S_IMODE(info.st_mode) | (READ_ONLY if read_only else READ_WRITE)
    if stat.S_ISDIR(info.st_mode):
        mode |= FOLDER
    os.chmod(path, mode)
