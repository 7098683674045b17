"""Files that change all at once under a running pod.

The layout is the one pods know from Kubernetes: a time-stamped folder ``..2026_01_02_03_04_05.000000006`` holds the
files, ``..data`` is a symbolic link to it, and each top-level name is a link into ``..data``. Renaming a new ``..data``
over the old one changes every file in one step.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from msgspec import Struct

from steersman.kubelet.volumes.trees import remove_tree

DATA = "..data"
NEW_DATA = "..data_tmp"


class File(Struct, frozen=True, kw_only=True):
    data: bytes
    mode: int = 0o644
    uid: int | None = None


def check_path(path: str) -> str:
    """``path`` as it may stand in a volume: relative, without ``..``. Raises ``ValueError``."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts:
        raise ValueError(f"invalid path: {path!r} must be a relative path without '..'")
    if parts[0].startswith(".."):
        raise ValueError(f"invalid path: {path!r} must not start with '..'")
    return "/".join(parts)


def write_files(folder: Path, files: Mapping[str, File], *, now_s: float, gid: int | None = None) -> bool:
    """Make ``folder`` hold exactly ``files``, by relative path; whether anything changed.

    ``gid``: the pod's fsGroup, which then owns the files and may read them.
    """
    wanted = {check_path(path): file for path, file in files.items()}
    current = _current(folder)
    if current is not None and dict(_read(current)) == {path: _facts(file, gid) for path, file in wanted.items()}:
        _link_names(folder, wanted)
        return False
    stamp = datetime.fromtimestamp(now_s, UTC).strftime("..%Y_%m_%d_%H_%M_%S.")
    fresh = folder / f"{stamp}{secrets.randbelow(10**10)}"
    fresh.mkdir(mode=0o755)
    for path, file in wanted.items():
        _write(fresh, path, file, gid)
    _own_folders(fresh, gid)
    pending = folder / NEW_DATA
    pending.unlink(missing_ok=True)
    pending.symlink_to(fresh.name)
    pending.rename(folder / DATA)
    _link_names(folder, wanted)
    for entry in list(os.scandir(folder)):
        if entry.is_dir(follow_symlinks=False) and entry.name.startswith("..") and entry.name != fresh.name:
            remove_tree(Path(entry.path))
    return True


def _current(folder: Path) -> Path | None:
    link = folder / DATA
    return folder / os.readlink(link) if link.is_symlink() else None


def _facts(file: File, gid: int | None) -> tuple[bytes, int, int | None, int | None]:
    return file.data, _mode(file, gid), file.uid or 0, gid


def _mode(file: File, gid: int | None) -> int:
    return file.mode | 0o440 if gid is not None else file.mode


def _read(folder: Path) -> Iterator[tuple[str, tuple[bytes, int, int | None, int | None]]]:
    """What is there, in the terms of ``_facts``; the group counts only where it is not root's."""
    for base, _, names in os.walk(folder):
        for name in names:
            path = Path(base) / name
            info = path.lstat()
            facts = (path.read_bytes(), stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid or None)
            yield str(path.relative_to(folder)), facts


def _write(folder: Path, path: str, file: File, gid: int | None) -> None:
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(file.data)
    if file.uid is not None or gid is not None:
        os.chown(target, -1 if file.uid is None else file.uid, -1 if gid is None else gid)
    target.chmod(_mode(file, gid))


def _own_folders(folder: Path, gid: int | None) -> None:
    """Modes as given whatever the umask is; with an fsGroup, its and setgid."""
    for base, _, _ in os.walk(folder):
        if gid is not None:
            os.chown(base, -1, gid)
        os.chmod(base, 0o2755 if gid is not None else 0o755)


def _link_names(folder: Path, wanted: Mapping[str, File]) -> None:
    tops = {path.split("/", 1)[0] for path in wanted}
    for entry in list(os.scandir(folder)):
        if not entry.name.startswith("..") and entry.name not in tops:
            if entry.is_dir(follow_symlinks=False):
                remove_tree(Path(entry.path))
            else:
                os.unlink(entry.path)
    for top in tops:
        link, destination = folder / top, f"{DATA}/{top}"
        if link.is_symlink() and os.readlink(link) == destination:
            continue
        link.unlink(missing_ok=True)
        link.symlink_to(destination)
