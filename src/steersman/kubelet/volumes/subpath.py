"""subPath: a folder or file inside a volume, given to a container without trusting what is in the volume.

A pod that writes to the volume may swap any part of the path for a symbolic link to the node's own files while the
path is being mounted. So it is resolved once, by the kernel, beneath the volume's root (openat2, RESOLVE_BENEATH), and
what was resolved is mounted through its descriptor onto a path of the kubelet's own: nothing is looked up by name twice.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat
from pathlib import Path, PurePosixPath

from steersman.kubelet.volumes.api import VolumeError
from steersman.kubelet.volumes.mounts import MS_BIND, MS_REC, mount, mount_points, unmount

_OPENAT2 = 437
_RESOLVE_NO_MAGICLINKS, _RESOLVE_BENEATH, _RESOLVE_IN_ROOT = 0x02, 0x08, 0x10
_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_beneath(root: int, path: str) -> int:
    """A descriptor (O_PATH) of ``path`` below the open folder ``root``, links followed only as far as they stay below.

    Raises ``OSError``: EXDEV for a path that leaves ``root``, ENOENT for one that does not exist.
    """
    return _open(root, path, _RESOLVE_BENEATH)


def open_in_root(root: int, path: str) -> int:
    """As ``open_beneath``, but as a process would see it whose root is ``root``: links may be absolute."""
    return _open(root, path, _RESOLVE_IN_ROOT)


def _open(root: int, path: str, resolve: int) -> int:
    how = _OpenHow(os.O_PATH | os.O_CLOEXEC, 0, resolve | _RESOLVE_NO_MAGICLINKS)
    handle = int(_libc.syscall(_OPENAT2, root, path.encode(), ctypes.byref(how), ctypes.c_size_t(ctypes.sizeof(how))))
    if handle >= 0:
        return handle
    code = ctypes.get_errno()
    if code == errno.ENOSYS:
        return _walk(root, path)
    raise OSError(code, os.strerror(code), path)


def _walk(root: int, path: str) -> int:
    """For kernels before 5.6: step by step, refusing every link."""
    handle = os.dup(root)
    for part in PurePosixPath(path).parts:
        try:
            below = os.open(part, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=handle)
        finally:
            os.close(handle)
        if stat.S_ISLNK(os.fstat(below).st_mode):
            os.close(below)
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)
        handle = below
    return handle


def make_beneath(root: int, path: str, mode: int) -> None:
    """Make the folders of ``path`` that are missing below ``root``, each with ``mode``. Raises ``OSError``."""
    done = ""
    for part in PurePosixPath(path).parts:
        current = f"{done}/{part}" if done else part
        with contextlib.suppress(FileNotFoundError):
            os.close(open_beneath(root, current))
            done = current
            continue
        parent = open_beneath(root, done or ".")
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, mode, dir_fd=parent)
            made = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY, dir_fd=parent)
            try:
                os.fchmod(made, mode)
            finally:
                os.close(made)
        finally:
            os.close(parent)
        done = current


def check_subpath(path: str) -> None:
    """Raises ``VolumeError`` for a path that is absolute or steps back."""
    if path.startswith("/"):
        raise VolumeError(f"error SubPath `{path}` must not be an absolute path")
    if ".." in path.split("/"):
        raise VolumeError(f"unable to provision SubPath `{path}`: must not contain '..'")


def bind_subpath(volume: Path, path: str, target: Path) -> None:
    """Mount ``path`` inside ``volume`` on ``target``, making the folder first where it does not exist.

    Raises ``VolumeError`` for a path that leaves the volume and ``OSError``.
    """
    check_subpath(path)
    root = os.open(volume, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        handle = _open_or_make(root, path, stat.S_IMODE(os.stat(volume).st_mode))
        try:
            _prepare_target(target, stat.S_ISDIR(os.fstat(handle).st_mode))
            mount(f"/proc/{os.getpid()}/fd/{handle}", str(target), flags=MS_BIND | MS_REC)
        finally:
            os.close(handle)
    finally:
        os.close(root)


def _open_or_make(root: int, path: str, mode: int) -> int:
    try:
        try:
            return open_beneath(root, path)
        except FileNotFoundError:
            make_beneath(root, path, mode)
            return open_beneath(root, path)
    except OSError as error:
        if error.errno in (errno.EXDEV, errno.ELOOP):
            raise VolumeError(f"subPath `{path}` not within volume path") from error
        raise


def _prepare_target(target: Path, is_folder: bool) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if str(target) in mount_points():
        unmount(str(target), lazy=True)
    if target.is_dir() != is_folder and target.exists():
        target.rmdir() if target.is_dir() else target.unlink()
    if is_folder:
        target.mkdir(exist_ok=True)
    else:
        target.touch()
