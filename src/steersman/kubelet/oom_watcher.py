"""Tells of processes that the kernel killed because the machine, not one cgroup, ran out of memory.

Source: upstream's oomWatcher and the kernel's Documentation/ABI/testing/dev-kmsg. What a cgroup's own limit kills is told
by its pod's status. As upstream's, a kubelet that starts tells of what the kernel's log still has.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

KERNEL_LOG: Final = Path("/dev/kmsg")
REASON: Final = "SystemOOM"
MACHINE: Final = "/"
RECORD_BYTES: Final = 8192
"""The longest that the kernel writes."""
TURN: Final = 100
"""Records until others have the event loop."""
_BEGIN: Final = "invoked oom-killer:"
_CGROUP: Final = re.compile(
    r"oom-kill:constraint=.*,nodemask=.*,cpuset=.*,mems_allowed=.*,oom_memcg=(.*),task_memcg=.*,task=(.*),pid=(\d+),uid="
)
_OLD_CGROUP: Final = re.compile(r"Task in .* killed as a result of limit of (.*)")
"""Before Linux 5.0."""
_KILLED: Final = re.compile(r"Killed process (\d+) \((.+)\)")
log = logging.getLogger(__name__)


class OOMKill(Struct, frozen=True, kw_only=True):
    process: str
    pid: int
    cgroup: str = MACHINE
    """Whose limit was reached."""


class OOMMessages:
    """Finds kills in the kernel's messages, which come one by one and are several for each."""

    def __init__(self) -> None:
        self._cgroup: str | None = None
        """While one is being reported."""

    def feed(self, text: str) -> OOMKill | None:
        if self._cgroup is None:
            self._cgroup = MACHINE if _BEGIN in text else None
            return None
        found = self._kill(text, self._cgroup)
        if found is not None:
            self._cgroup = None
        elif old := _OLD_CGROUP.search(text):
            self._cgroup = old[1]
        return found

    def _kill(self, text: str, cgroup: str) -> OOMKill | None:
        if limited := _CGROUP.search(text):
            return OOMKill(process=limited[2], pid=int(limited[3]), cgroup=limited[1])
        if killed := _KILLED.search(text):
            return OOMKill(process=killed[2], pid=int(killed[1]), cgroup=cgroup)
        return None


def open_kernel_log() -> int:
    """A descriptor that reads one record at a time and does not wait. Raises ``OSError``."""
    return os.open(KERNEL_LOG, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)


class OOMWatcher:
    """``run`` until cancelled."""

    def __init__(self, open_log: Callable[[], int], announce: Callable[[str, str], None]) -> None:
        """``announce`` a warning about the node: reason and message."""
        self._open_log = open_log
        self._announce = announce

    async def run(self) -> None:
        """Does nothing where the kernel's log may not be read, as by a kubelet without all of root's rights."""
        try:
            descriptor = self._open_log()
        except OSError as error:
            log.warning("what the kernel kills for want of memory is not told: %s", error)
            await asyncio.get_running_loop().create_future()
            return
        loop, readable, messages = asyncio.get_running_loop(), asyncio.Event(), OOMMessages()
        loop.add_reader(descriptor, readable.set)
        try:
            while True:
                await readable.wait()
                readable.clear()
                for number, record in enumerate(_records(descriptor), 1):
                    self._tell(messages.feed(_text(record)))
                    if number % TURN == 0:
                        await asyncio.sleep(0)
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)

    def _tell(self, kill: OOMKill | None) -> None:
        if kill is not None and kill.cgroup == MACHINE:
            self._announce(REASON, f"System OOM encountered, victim process: {kill.process}, pid: {kill.pid}")


def _records(descriptor: int) -> Iterator[bytes]:
    """All there are now. Raises ``OSError`` or ``EOFError``."""
    while True:
        try:
            record = os.read(descriptor, RECORD_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.EPIPE:  # the kernel has overwritten what was next; what follows is there
                raise
            continue
        if not record:
            raise EOFError("the kernel's log has an end")
        yield record


def _text(record: bytes) -> str:
    """``6,339,5140900,-;message`` and lines of properties: the message."""
    return record.partition(b";")[2].partition(b"\n")[0].decode(errors="replace")
