"""Mounting and unmounting through the kernel, and which mounts exist."""

from __future__ import annotations

import ctypes
import errno
import os
import tempfile
from pathlib import Path

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_BIND, MS_REC = 1, 2, 4, 4096, 16384
MNT_DETACH, UMOUNT_NOFOLLOW = 2, 8
NOSWAP = "noswap"
"""An option of tmpfs: secrets are not to be found on a disk later."""
MOUNTINFO = Path("/proc/self/mountinfo")

_libc = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2). Raises ``OSError``."""
    failed = _libc.mount(
        source.encode(), target.encode(), kind.encode() or None, ctypes.c_ulong(flags), data.encode() or None
    )
    if failed:
        code = ctypes.get_errno()
        raise OSError(code, f"mount {source} on {target}: {os.strerror(code)}")


def unmount(target: str, *, lazy: bool = False) -> None:
    """umount2(2), never following a symbolic link. What is not mounted stays so. Raises ``OSError``."""
    flags = UMOUNT_NOFOLLOW | (MNT_DETACH if lazy else 0)
    if _libc.umount2(target.encode(), flags):
        code = ctypes.get_errno()
        if target in mount_points():
            raise OSError(code, f"unmount {target}: {os.strerror(code)}")


def mount_points() -> list[str]:
    """Every mount point of this mount namespace, in order of mounting."""
    return [_unescape(line.split(" ", 5)[4]) for line in MOUNTINFO.read_text().splitlines()]


def is_mount_point(path: Path) -> bool:
    return str(path) in mount_points()


def unmount_below(folder: Path) -> None:
    """Unmount everything at or below ``folder``, the deepest first. Raises ``OSError`` for what is still in use."""
    prefix = f"{folder}/"
    for point in reversed([point for point in mount_points() if point == str(folder) or point.startswith(prefix)]):
        unmount(point)


def mount_tmpfs(path: Path, *, size_bytes: int = 0, mode: int = 0o755) -> None:
    """A memory file system at ``path``, unless one is there already."""
    path.mkdir(parents=True, exist_ok=True)
    if is_mount_point(path):
        return
    options = [f"mode={mode:o}", *([f"size={size_bytes}"] if size_bytes else [])]
    flags = MS_NOSUID | MS_NODEV
    try:
        mount("tmpfs", str(path), "tmpfs", flags, ",".join([*options, NOSWAP]))
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        mount("tmpfs", str(path), "tmpfs", flags, ",".join(options))


def keeps_memory_off_disk() -> bool:
    """Whether the kernel (6.4 and later) never swaps what is in a memory file system; found out with one."""
    with tempfile.TemporaryDirectory(prefix="tmpfs-noswap-test-") as trial:
        try:
            mount("tmpfs", trial, "tmpfs", 0, NOSWAP)
        except OSError:
            return False
        unmount(trial)
    return True


def mount_hugetlbfs(path: Path, *, page_bytes: int) -> None:
    """A file system of huge pages at ``path``, unless one is there already."""
    path.mkdir(parents=True, exist_ok=True)
    if not is_mount_point(path):
        mount("nodev", str(path), "hugetlbfs", 0, f"pagesize={page_bytes},mode=777")


def _unescape(text: str) -> str:
    """mountinfo writes space, tab, newline and backslash as octal."""
    if "\\" not in text:
        return text
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, char)
    return text
