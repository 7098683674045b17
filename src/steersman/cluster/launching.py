"""How the supervisor starts a program: what it asks of a launcher, and the launcher that makes a fresh process."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
from pathlib import Path
from typing import Protocol

from msgspec import Struct

PR_SET_PDEATHSIG = 1


class ProgramSpec(Struct, frozen=True, kw_only=True):
    """One program to keep running."""

    name: str
    argv: tuple[str, ...]
    log: Path
    environment: tuple[tuple[str, str], ...] = ()
    network: str = ""
    """File of the network namespace it runs in; empty for the machine's own."""
    stop_grace_s: float = 30.0
    order: int = 0
    """Programs stop in descending order: what serves others stops last."""


class RunningProgram(Protocol):
    """A process that was started; ``asyncio.subprocess.Process`` is one."""

    @property
    def pid(self) -> int: ...

    @property
    def returncode(self) -> int | None:
        """None while it runs; minus the signal's number where one ended it."""

    async def wait(self) -> int:
        """Its return code, once it has ended."""

    def terminate(self) -> None: ...

    def kill(self) -> None: ...


class Launcher(Protocol):
    """Starts programs: in a session of their own, with their output appended to their log, and killed when the supervisor
    is gone."""

    async def start(self, spec: ProgramSpec) -> RunningProgram:
        """Raises ``OSError`` where the program cannot be started."""


class ExecLauncher:
    """Starts any program, as a new process image."""

    async def start(self, spec: ProgramSpec) -> RunningProgram:
        with spec.log.open("ab") as output:
            return await asyncio.create_subprocess_exec(
                *in_network(spec.network),
                *spec.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **dict(spec.environment)},
                start_new_session=True,
                preexec_fn=die_with_parent,
            )


def in_network(path: str) -> tuple[str, ...]:
    """What to put before a command so that it runs in the network namespace of that file.

    ``ip netns exec`` would mount a fresh /sys and hide the cgroups; ``nsenter`` changes the network only.
    """
    return ("nsenter", f"--net={path}", "--") if path else ()


def steersman() -> tuple[str, ...]:
    """The command of this very installation, whatever PATH says."""
    return (sys.executable, "-m", "steersman.cli")


def die_with_parent() -> None:
    """In a child: receive SIGKILL when the parent is gone."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


_: Launcher = ExecLauncher()
