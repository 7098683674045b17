"""Processes of this machine that nobody here is the parent of: found by their command lines, ended by their ids."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from steersman.aio.clock import Clock
from steersman.cluster.machines import HostError

POLL_S: Final = 0.02
STOP_S: Final = 10.0


def start_ticks(pid: int) -> int:
    """When the process started, in ticks since boot; 0 when it is gone or only waits to be reaped."""
    fields = read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    if len(fields) < 20 or fields[0] in ("Z", "X"):
        return 0
    return int(fields[19])


def words(pid: int) -> list[str]:
    """The process's command line."""
    return read(Path(f"/proc/{pid}/cmdline")).split("\0")


def processes_with(flag: str, value: str) -> Iterator[int]:
    """Processes whose command line has ``flag value``."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and any(pair == (flag, value) for pair in itertools.pairwise(words(int(entry.name)))):
            yield int(entry.name)


def listening_sockets(pid: int) -> list[Path]:
    """Files of the Unix sockets that the process listens on."""
    inodes = set()
    with contextlib.suppress(OSError):
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                inodes.add(os.readlink(fd).removeprefix("socket:[").removesuffix("]"))
    rows = (line.split() for line in read(Path(f"/proc/{pid}/net/unix")).splitlines()[1:])
    listens = "00010000"
    return [
        Path(row[7]) for row in rows if len(row) == 8 and row[6] in inodes and row[3] == listens and row[7][0] == "/"
    ]


async def end(pid: int, clock: Clock, *, signals: Iterable[int] = (signal.SIGTERM, signal.SIGKILL)) -> None:
    """Send the signals, ``STOP_S`` apart. Returns when the process is gone; raises ``HostError`` when it stays."""
    ticks = start_ticks(pid)
    deadline_s = clock.monotonic() + STOP_S
    remaining = iter(signals)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, next(remaining))
    while ticks and start_ticks(pid) == ticks:
        if clock.monotonic() >= deadline_s:
            deadline_s = clock.monotonic() + STOP_S
            number = next(remaining, None)
            if number is None:
                raise HostError(f"process {pid} does not end")
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        await clock.sleep(POLL_S)


def read(path: Path) -> str:
    """The file's text; nothing where it cannot be read."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
