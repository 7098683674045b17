"""Cgroups of version 1 that somebody began to freeze and did not finish.

runc freezes a container's cgroup to kill all of it at once. Where runc is killed itself in the middle, as it is when its
runtime is, and a process of the container just executes another program and so waits for its threads, which are frozen already,
the state stays ``FREEZING``. Every runc after that waits for the state to become ``FROZEN`` or ``THAWED`` first
(the kernel's documentation calls ``FREEZING`` transient), the runtime waits for runc, and the pod would never end.
With version 2 a frozen process can be killed, so nothing has to be done there.
"""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path

from steersman.kubelet.cgroup_hierarchies import find_hierarchies

STATE_FILE = "freezer.state"
FREEZING = "FREEZING"
FROZEN = "FROZEN"
log = logging.getLogger(__name__)


def pods_freezer(cgroup_root: str) -> Path | None:
    """Where the freezer's cgroups of pods are; None on a machine that has no such hierarchy."""
    for hierarchy in find_hierarchies(Path("/proc/self/mountinfo").read_text()):
        if "freezer" in hierarchy.controllers:
            return hierarchy.mount / cgroup_root.strip("/") / "kubepods"
    return None


def in_state(folder: Path, *states: str) -> set[Path]:
    """The cgroups at and below ``folder`` whose freezer is in one of ``states``."""
    return {Path(base) for base, _, files in os.walk(folder) if STATE_FILE in files and _state(base) in states}


def thaw(cgroup: Path) -> None:
    """Let what is in it run on, or die. A cgroup that is gone is fine."""
    log.warning("cgroup %s was left frozen by a runtime that ended; thawed", cgroup)
    with contextlib.suppress(OSError):
        (cgroup / STATE_FILE).write_text("THAWED")


class StuckFreezers:
    """Thaws what stays half frozen: one look may meet a runc at work, two in a row do not."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._before: set[Path] = set()

    def look(self) -> None:
        found = in_state(self._folder, FREEZING)
        for cgroup in found & self._before:
            thaw(cgroup)
        self._before = found


def _state(folder: str) -> str:
    try:
        return Path(folder, STATE_FILE).read_text().strip()
    except OSError:
        return ""
