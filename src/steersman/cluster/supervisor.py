"""Keeps a cluster's programs running: starts them, restarts those that die, and stops them in order.

Its input is a list of ``ProgramSpec``; on SIGHUP it reads the list again and starts, stops or restarts what differs. Programs
die with it (PR_SET_PDEATHSIG), so that a killed supervisor leaves no half of a cluster behind; containers belong to
containerd, not to it, and go on. How a program comes to be is its launcher's business.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import asdict

from steersman.aio.backoff import Backoff
from steersman.aio.clock import Clock
from steersman.cluster.launching import Launcher, ProgramSpec, RunningProgram

HEALTHY_AFTER_S = 10.0
LOG_LIMIT_BYTES = 50 * 1024 * 1024
log = logging.getLogger(__name__)


class ProgramState(Struct, kw_only=True):
    """What is known of a program, as ``steersman status`` shows it."""

    pid: int = 0
    started_s: float = 0.0
    restarts: int = 0
    last_exit: str = ""


class Supervisor:
    """Runs what ``read_programs`` says until ``stop``; says how it is in ``state_file``."""

    def __init__(
        self,
        read_programs: Callable[[], Sequence[ProgramSpec]],
        *,
        launcher: Launcher,
        state_file: Path,
        clock: Clock,
    ) -> None:
        self._read_programs = read_programs
        self._launcher = launcher
        self._state_file = state_file
        self._clock = clock
        self._states: dict[str, ProgramState] = {}
        self._keepers: dict[str, tuple[ProgramSpec, asyncio.Task[None]]] = {}
        self._stopping = asyncio.Event()
        self._reload = asyncio.Event()
        self._retry = asyncio.Event()

    def stop(self) -> None:
        """Stop every program and end ``run``."""
        self._stopping.set()
        self._reload.set()

    def reload(self) -> None:
        """Read the programs again, and start at once what waits after a failure."""
        self._reload.set()
        self._retry.set()

    async def run(self) -> None:
        while not self._stopping.is_set():
            self._reload.clear()
            self._retry.clear()
            await self._apply({spec.name: spec for spec in self._read_programs()})
            await self._reload.wait()
        await self._apply({})
        self._state_file.unlink(missing_ok=True)

    async def _apply(self, wanted: dict[str, ProgramSpec]) -> None:
        obsolete = [spec for spec, _ in self._keepers.values() if wanted.get(spec.name) != spec]
        for order in sorted({spec.order for spec in obsolete}, reverse=True):
            tasks = [self._keepers[spec.name][1] for spec in obsolete if spec.order == order]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for spec in obsolete:
            del self._keepers[spec.name]
            if spec.name not in wanted:
                self._states.pop(spec.name, None)
        for spec in wanted.values():
            if spec.name not in self._keepers:
                self._states.setdefault(spec.name, ProgramState())
                self._keepers[spec.name] = (spec, asyncio.create_task(self._keep(spec), name=spec.name))
        self._write_state()

    async def _keep(self, spec: ProgramSpec) -> None:
        state = self._states[spec.name]
        backoff = Backoff(initial_s=0.2, cap_s=10.0)
        while True:
            began_s = self._clock.monotonic()
            try:
                process = await self._start(spec)
            except OSError as error:
                state.last_exit = f"not started: {error}"
            else:
                state.pid, state.started_s = process.pid, self._clock.now()
                self._write_state()
                try:
                    code = await process.wait()
                except asyncio.CancelledError:
                    await self._end(process, spec)
                    raise
                state.pid, state.last_exit = 0, describe_exit(code)
            if self._clock.monotonic() - began_s > HEALTHY_AFTER_S:
                backoff.reset()
            state.restarts += 1
            delay_s = backoff.next()
            log.error("%s ended (%s); starting it again in %.1f s", spec.name, state.last_exit, delay_s)
            self._write_state()
            try:
                await self._clock.wait_for(self._retry.wait(), delay_s)
                backoff.reset()
            except TimeoutError:
                continue

    async def _start(self, spec: ProgramSpec) -> RunningProgram:
        spec.log.parent.mkdir(parents=True, exist_ok=True)
        if spec.log.exists() and spec.log.stat().st_size > LOG_LIMIT_BYTES:
            spec.log.replace(spec.log.with_suffix(".log.1"))
        return await self._launcher.start(spec)

    async def _end(self, process: RunningProgram, spec: ProgramSpec) -> None:
        if process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(spec.stop_grace_s):
                await process.wait()
        except TimeoutError:
            log.warning("%s did not end within %.0f s; killing it", spec.name, spec.stop_grace_s)
            process.kill()
            await process.wait()

    def _write_state(self) -> None:
        fresh = self._state_file.with_suffix(".new")
        programs = {name: asdict(state) for name, state in self._states.items()}
        fresh.write_text(json.dumps({"pid": os.getpid(), "programs": programs}))
        fresh.replace(self._state_file)


def describe_exit(code: int) -> str:
    """``exit code 1`` or ``killed by SIGKILL``."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
