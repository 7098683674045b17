"""Control groups of a node, on hierarchies of version 1, 2 or both."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


def hierarchies(root: Path = ROOT) -> list[Path]:
    """Where groups are made: the one tree of version 2, or a directory for each controller of version 1."""
    if (root / "cgroup.controllers").exists():
        return [root]
    return [path for path in root.iterdir() if path.is_dir() and not path.is_symlink()]


def processes(name: str) -> set[int]:
    """Every process in the group ``name`` (an absolute cgroup path) or below it, in any hierarchy."""
    found: set[int] = set()
    for hierarchy in hierarchies():
        for directory, _, files in os.walk(hierarchy / name.strip("/")):
            if "cgroup.procs" in files:
                with contextlib.suppress(OSError):
                    found.update(int(line) for line in Path(directory, "cgroup.procs").read_text().split())
    return found


def remove(name: str) -> None:
    """Remove the group ``name``, those below it, and those above it in which nothing else is. A group that still has
    processes stays."""
    if not name.strip("/"):
        raise ValueError("the root group cannot be removed")
    for hierarchy in hierarchies():
        for directory, _, _ in os.walk(hierarchy / name.strip("/"), topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(directory)
        for above in [*Path(name.strip("/")).parents][:-1]:
            with contextlib.suppress(OSError):
                os.rmdir(hierarchy / above)
