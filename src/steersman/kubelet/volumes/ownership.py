"""fsGroup: the pod's group owns its volumes and may read and write them (or read, where the volume is read-only).

Another pod that shares the volume may put a link in a file's place at any moment, so that nothing is changed by name: each
entry is opened without following links, looked at, and changed through what was opened.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from steersman.kubelet.volumes.trees import entries

READ_WRITE, READ_ONLY, FOLDER = 0o660, 0o440, 0o110 | stat.S_ISGID


def set_ownership(path: Path, gid: int, *, read_only: bool = False, on_root_mismatch: bool = False) -> None:
    """Give ``path`` and all below it to group ``gid``. ``on_root_mismatch``: skip it where the top is right already.

    Raises ``OSError``.
    """
    if on_root_mismatch and _is_right(path, gid, read_only):
        return
    for folder, name, _ in entries(path):
        with contextlib.suppress(FileNotFoundError):
            _own(folder, name, gid, read_only)
    root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _own(root, ".", gid, read_only)
    finally:
        os.close(root)


def _is_right(path: Path, gid: int, read_only: bool) -> bool:
    info = path.stat()
    needed = (READ_ONLY if read_only else READ_WRITE) | FOLDER
    return info.st_gid == gid and stat.S_IMODE(info.st_mode) & needed == needed


def _own(folder: int, name: str, gid: int, read_only: bool) -> None:
    handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        info = os.fstat(handle)
        if stat.S_ISLNK(info.st_mode):
            os.chown(name, -1, gid, dir_fd=folder, follow_symlinks=False)
            return
        opened = f"/proc/self/fd/{handle}"
        os.chown(opened, -1, gid)
        mode = stat.S_IMODE(info.st_mode) | (READ_ONLY if read_only else READ_WRITE)
        os.chmod(opened, mode | FOLDER if stat.S_ISDIR(info.st_mode) else mode)
    finally:
        os.close(handle)
