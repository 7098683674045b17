"""Cgroups of version 1 that somebody began to freeze and did not finish.

runc freezes a container's cgroup to kill all of it at once. Where runc is killed itself in the middle, as it is when its
runtime is, and a process of the container just executes another program and so waits for its threads, which are frozen already,
the state stays ``FREEZING``. Every runc after that waits for the state to become ``FROZEN`` or ``THAWED`` first
(the kernel's documentation calls ``FREEZING`` transient), the runtime waits for runc, and the pod would never end.
With version 2 a frozen process can be killed, so nothing has to be done there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from steersman.aio.clock import Clock
from steersman.kubelet.cgroup_hierarchies import find_hierarchies

LOOK_S = 2.0
"""How long the runtime may take to end something before the cgroups are looked at, and from one look to the next."""
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


class FreezerWatch:
    """Thaws what stays half frozen while the runtime takes long to end a container. Make it and use it on one event loop."""

    def __init__(self, folder: Path | None, *, clock: Clock) -> None:
        """``folder``: as ``pods_freezer`` has it; nothing is ever done where it is None."""
        self._folder = folder
        self._clock = clock
        self._began_s: dict[object, float] = {}
        self._looking: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def ending(self) -> Iterator[None]:
        """Around a call of the runtime that ends something."""
        if self._folder is None:
            yield
            return
        call = object()
        self._began_s[call] = self._clock.monotonic()
        if self._looking is None:
            self._looking = asyncio.ensure_future(self._look(self._folder))
        try:
            yield
        finally:
            del self._began_s[call]

    def close(self) -> None:
        if self._looking is not None:
            self._looking.cancel()

    async def _look(self, folder: Path) -> None:
        """As long as calls are under way. One look may meet a runc at work; only what two meet is stuck."""
        before: set[Path] = set()
        while True:
            await self._clock.sleep(LOOK_S)
            if not self._began_s:
                break
            oldest_s = next(iter(self._began_s.values()))
            is_slow = self._clock.monotonic() - oldest_s >= LOOK_S
            found = await asyncio.to_thread(in_state, folder, FREEZING) if is_slow else set()
            for cgroup in found & before:
                thaw(cgroup)
            before = found
        self._looking = None


def _state(folder: str) -> str:
    try:
        return Path(folder, STATE_FILE).read_text().strip()
    except OSError:
        return ""
