"""What a containerd leaves behind that its own books do not have: shims, their folders, runc's containers.

A daemon that is killed while it starts or removes a container may have started a shim that it never wrote down, or
taken down a container that runc was not told of. Nobody would ever end those.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import shutil
import signal
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import Final

from steersman.aio.clock import Clock
from steersman.cluster import mounts, processes
from steersman.kubelet import freezers
from steersman.kubelet.runtimes import shims

NAMESPACE: Final = "k8s.io"
"""containerd's namespace for what CRI makes."""
SHIM_END_S: Final = 10.0
SHIM_POLL_S: Final = 0.1
log = logging.getLogger(__name__)


class Remains:
    """Of the instance with this state directory and socket."""

    def __init__(self, state: Path, socket: Path, runc: str, *, clock: Clock) -> None:
        self._tasks = state / "io.containerd.runtime.v2.task" / NAMESPACE
        self._runc_root = state / "runc" / NAMESPACE
        self._socket = socket
        self._runc = runc
        self._clock = clock

    def unstick(self) -> None:
        """While no daemon runs: end what shims and runc wait for since theirs has ended. One that starts would wait for them,
        and not know afterwards how their containers are."""
        for name in self._containers():
            self._thaw(name)
        for pid in self._shims():
            shims.release(pid, removed_only=False)

    async def remove_unknown(self) -> None:
        """End what is not in the books of the daemon, which has just loaded them. What it begins meanwhile is in the books
        before there is anything to end."""
        await asyncio.to_thread(self._remove_dying_bundles)
        found = {pid: _id_of(pid) for pid in self._shims()}
        containers = self._containers()
        known = self._bundles()
        for name in containers:
            if name not in known:
                log.warning("container %s was left behind by a containerd that ended; removed", name)
                await self._delete(name)
        for pid, name in found.items():
            if name and name not in known:
                log.warning("the shim of container %s was left behind by a containerd that ended; killed", name)
                await self._kill(pid)

    async def remove_forgotten(self, books: Callable[[], Awaitable[Collection[str]]]) -> list[str]:
        """End what the running daemon has removed from its ``books`` (ids of containers) though it still was there:
        containerd 1.6 that is killed while it stops a sandbox takes the sandbox for ended afterwards, and it gives up the shim
        that is just being started for a client that goes away. Everything is in the books before it begins and until it has
        ended, so they are read last. The answer names what was ended."""
        await asyncio.to_thread(self._remove_dying_bundles)
        names = {pid: name for pid in self._shims() if (name := _id_of(pid))}
        containers = self._containers()
        found = {*containers, *names.values(), *self._bundles()}
        forgotten = sorted(found - set(await books())) if found else []
        for name in forgotten:
            log.warning("container %s was forgotten by containerd; removed", name)
            if name in containers:
                await self._delete(name)
        for pid, name in names.items():
            if name in forgotten:
                await self._kill(pid)
        for name in forgotten:
            await asyncio.to_thread(_remove_bundle, self._tasks / name)
        return forgotten

    async def remove_all(self) -> list[str]:
        """End everything, the daemon being gone: shims, their containers' processes, their sockets. The answer says what
        there was."""
        problems: list[str] = []
        containers = self._containers()
        staying = self._shims() if containers else await self._shims_that_stay()
        for name in containers:
            problems.append(f"container {name} was still there")
            await self._delete(name)
        for pid in staying:
            problems.append(f"shim {pid} was still there")
            await self._kill(pid)
        _remove_sockets(self._tasks)
        return problems

    async def _shims_that_stay(self) -> list[int]:
        """A shim whose last container was deleted ends by itself; on a busy machine containerd does not wait for that."""
        deadline_s = self._clock.monotonic() + SHIM_END_S
        while (staying := self._shims()) and self._clock.monotonic() < deadline_s:
            await self._clock.sleep(SHIM_POLL_S)
        return staying

    def _remove_dying_bundles(self) -> None:
        """containerd gives a bundle a hidden name before it removes it, and passes hidden ones over when it starts."""
        for folder in self._tasks.glob(".*") if self._tasks.exists() else ():
            _remove_bundle(folder)

    def _shims(self) -> list[int]:
        return list(shims.shims(str(self._socket)))

    def _bundles(self) -> set[str]:
        """Folders of containers that run, or of which only that is left."""
        folders = self._tasks.iterdir() if self._tasks.exists() else ()
        return {path.name for path in folders if not path.name.startswith(".")}

    def _containers(self) -> list[str]:
        return sorted(path.name for path in self._runc_root.iterdir()) if self._runc_root.exists() else []

    def _thaw(self, name: str) -> None:
        """runc waits for ever for a container of cgroup v1 that stays half frozen. Its state file says where the cgroup is."""
        with contextlib.suppress(OSError, ValueError, KeyError):
            cgroup = Path(json.loads((self._runc_root / name / "state.json").read_text())["cgroup_paths"]["freezer"])
            for stuck in freezers.in_state(cgroup, freezers.FREEZING):
                freezers.thaw(stuck)

    async def _delete(self, name: str) -> None:
        self._thaw(name)
        runc = await asyncio.create_subprocess_exec(
            self._runc, "--root", str(self._runc_root), "delete", "--force", name,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        await runc.wait()

    async def _kill(self, pid: int) -> None:
        """Shims do not mind SIGTERM, and listen outside their instance's state directory."""
        sockets = processes.listening_sockets(pid)
        await processes.end(pid, self._clock, signals=(signal.SIGKILL,))
        for socket in sockets:
            socket.unlink(missing_ok=True)


def _remove_bundle(folder: Path) -> None:
    mounts.unmount_below(folder)
    shutil.rmtree(folder, ignore_errors=True)


def _id_of(pid: int) -> str:
    line = processes.words(pid)
    return line[line.index("-id") + 1] if "-id" in line[:-1] else ""


def _remove_sockets(tasks: Path) -> None:
    for address in tasks.glob("*/address") if tasks.exists() else ():
        socket = processes.read(address).strip().removeprefix("unix://")
        if socket.startswith("/"):
            Path(socket).unlink(missing_ok=True)
