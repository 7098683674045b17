"""How much of a disk a directory takes up: blocks and inodes of everything below it, each inode once (as ``du`` counts)."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

from msgspec import Struct

BLOCK_BYTES: Final = 512


class TreeUsage(Struct, frozen=True, kw_only=True):
    used_bytes: int = 0
    inodes: int = 0

    def __add__(self, other: TreeUsage) -> TreeUsage:
        return TreeUsage(used_bytes=self.used_bytes + other.used_bytes, inodes=self.inodes + other.inodes)


def tree_usage(root: Path) -> TreeUsage:
    """Links are not followed, other file systems not entered; what vanishes meanwhile does not count.

    Raises ``FileNotFoundError`` where there is no ``root``.
    """
    first = os.lstat(root)
    seen = {first.st_ino}
    total_blocks = first.st_blocks
    folders = [os.fspath(root)] if os.path.isdir(root) else []
    while folders:
        with contextlib.suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if status.st_dev != first.st_dev or status.st_ino in seen:
                    continue
                seen.add(status.st_ino)
                total_blocks += status.st_blocks
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
    return TreeUsage(used_bytes=total_blocks * BLOCK_BYTES, inodes=len(seen))
