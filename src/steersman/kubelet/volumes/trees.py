"""Walking and removing trees that a pod has made, which may be deeper than the stack, wider than memory and full of links.

One folder is open at a time, whatever the depth. Links are never followed, other file systems never entered, and the way
back up is checked: a folder that was moved while it was being walked is an error.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final

BATCH: Final = 4096
"""Names of a folder that are read at once before they are removed."""
KEPT_LEVELS: Final = 32
"""Depth below which the names still to be removed are not remembered while deeper folders are."""
_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

Identity = tuple[int, int]


class Descent:
    """A place in a tree: ``handle`` is the open folder."""

    def __init__(self, root: Path) -> None:
        self.handle = os.open(root, _FLAGS)
        self._way: list[tuple[str, Identity]] = []
        self.device = os.fstat(self.handle).st_dev

    def __enter__(self) -> Descent:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self.handle)

    @property
    def depth(self) -> int:
        return len(self._way)

    def down(self, name: str) -> None:
        """Into the folder ``name``. Raises ``OSError``, ELOOP or ENOTDIR where it is none."""
        here = _identity(self.handle)
        below = os.open(name, _FLAGS, dir_fd=self.handle)
        os.close(self.handle)
        self.handle = below
        self._way.append((name, here))

    def up(self) -> str:
        """Back to where the last ``down`` came from; the name of the folder just left. Raises ``OSError``: ESTALE."""
        name, parent = self._way.pop()
        above = os.open("..", _FLAGS, dir_fd=self.handle)
        os.close(self.handle)
        self.handle = above
        if _identity(above) != parent:
            raise OSError(errno.ESTALE, f"folder {name} was moved while it was being walked")
        return name


def _identity(handle: int) -> Identity:
    info = os.fstat(handle)
    return info.st_dev, info.st_ino


def entries(root: Path) -> Iterator[tuple[int, str, os.stat_result]]:
    """Everything below ``root``, what is in a folder before the folder itself: (open folder, name, what it is).

    What vanishes meanwhile is left out. Raises ``OSError``.
    """
    with Descent(root) as place:
        pending = [os.listdir(place.handle)]
        while True:
            if pending[-1]:
                name = pending[-1].pop()
                with contextlib.suppress(FileNotFoundError):
                    info = os.stat(name, dir_fd=place.handle, follow_symlinks=False)
                    if stat.S_ISDIR(info.st_mode) and info.st_dev == place.device:
                        place.down(name)
                        pending.append(os.listdir(place.handle))
                    else:
                        yield place.handle, name, info
                continue
            pending.pop()
            if not pending:
                return
            name = place.up()
            with contextlib.suppress(FileNotFoundError):
                yield place.handle, name, os.stat(name, dir_fd=place.handle, follow_symlinks=False)


def remove_tree(folder: Path) -> None:
    """Delete ``folder`` and all below it; nothing happens when there is none.

    Raises ``OSError``, EBUSY where something is mounted below it: what is mounted is not ours to delete.
    """
    try:
        info = folder.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(info.st_mode):
        folder.unlink()
        return
    if info.st_dev != folder.parent.stat().st_dev:
        raise _mounted(folder.name)
    pending: list[list[str]] = [[]]
    with Descent(folder) as place:
        while True:
            names = pending[-1]
            if not names:
                names.extend(_some_names(place.handle))
            if names:
                name = names.pop()
                if not _removed(place, name):
                    if place.depth >= KEPT_LEVELS:
                        names.clear()  # read anew on the way up
                    place.down(name)
                    pending.append([])
            elif place.depth:
                pending.pop()
                os.rmdir(place.up(), dir_fd=place.handle)
            else:
                break
    folder.rmdir()


def _some_names(handle: int) -> list[str]:
    with os.scandir(handle) as found:
        return [entry.name for entry in itertools.islice(found, BATCH)]


def _removed(place: Descent, name: str) -> bool:
    """``name`` is gone; False for a folder that is not empty."""
    try:
        info = os.stat(name, dir_fd=place.handle, follow_symlinks=False)
        if not stat.S_ISDIR(info.st_mode):
            os.unlink(name, dir_fd=place.handle)
            return True
        if info.st_dev != place.device:
            raise _mounted(name)
        os.rmdir(name, dir_fd=place.handle)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return False
    return True


def _mounted(name: str) -> OSError:
    return OSError(errno.EBUSY, f"{name} is on another file system: something is still mounted there")
