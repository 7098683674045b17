"""containerd's shims that wait for a reader of what a command writes.

A shim opens the pipes of a command after the command has started, and waits up to half a minute for the other end. Where
the kubelet that had asked for the command was killed meanwhile, containerd has given the pipes up and removed them; where
containerd was killed, nobody has opened them. All that time the shim answers nothing else about the pod: no probe, no status.
A reader that comes and goes lets it go on.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

PROGRAM = "containerd-shim"
GONE = " (deleted)"
log = logging.getLogger(__name__)


def shims(address: str) -> Iterator[int]:
    """Processes of the shims of the containerd that listens at ``address``."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            words = _words(int(entry))
            if Path(words[0]).name.startswith(PROGRAM) and address in words[1:]:
                yield int(entry)


def release(pid: int, *, removed_only: bool) -> int:
    """Be a reader, for a moment, of every pipe that the shim waits for; how many there were. ``removed_only``: not of those
    that somebody may yet open."""
    count = 0
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            file = f"/proc/{pid}/fd/{name}"
            with contextlib.suppress(OSError):
                if (not removed_only or os.readlink(file).endswith(GONE)) and _is_awaited_pipe(pid, name):
                    os.close(os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
                    count += 1
    return count


def release_removed(address: str) -> None:
    """Of all shims of that containerd."""
    for pid in shims(address):
        if release(pid, removed_only=True):
            log.warning("shim %d waited for one who had asked for a command and was gone; released", pid)


def _is_awaited_pipe(pid: int, name: str) -> bool:
    """Go's fifo package holds a pipe by a path (``O_PATH``) while it waits for the other end."""
    if not stat.S_ISFIFO(os.stat(f"/proc/{pid}/fd/{name}").st_mode):
        return False
    lines = Path(f"/proc/{pid}/fdinfo/{name}").read_text().splitlines()
    flags = next(int(line.split()[1], 8) for line in lines if line.startswith("flags:"))
    return bool(flags & os.O_PATH)


def _words(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")
    except OSError:
        return [""]
