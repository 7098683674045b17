"""Container logs kept within bounds: a log that has grown too large is moved aside, old ones are packed, the oldest go.

Of ``0.log`` the older parts are ``0.log.20060102-150405`` (the newest of them, still plain) and
``0.log.20060102-150405.gz``, as upstream's kubelet leaves them for log agents.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import logging
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from steersman.aio.clock import Clock
from steersman.kubelet.runtimes.api import RuntimeService, RuntimeServiceError
from steersman.kubelet.runtimes.containers import ContainerFilter

log = logging.getLogger(__name__)

PACKED: Final = ".gz"
UNFINISHED: Final = ".tmp"


class LogLimits(Struct, frozen=True, kw_only=True):
    """``containerLogMaxSize``, ``containerLogMaxFiles`` and ``containerLogMonitorInterval``."""

    max_bytes: int = 10 * 1024 * 1024
    max_files: int = 5
    """With the one being written; at least 2."""
    check_s: float = 10.0

    def __post_init__(self) -> None:
        if self.max_files < 2:
            raise ValueError(f"invalid container log max files {self.max_files}: must be at least 2")


class LogRotator:
    """Looks at the logs of all running containers, every ``check_s``."""

    def __init__(
        self,
        runtime: RuntimeService,
        *,
        clock: Clock,
        limits: LogLimits | None = None,
        known: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        """``known``: logs' paths by container id, for those of which the runtime need not be asked."""
        self._runtime = runtime
        self._known = known
        self._clock = clock
        self._limits = limits or LogLimits()
        self._paths: dict[str, Path | None] = {}
        """Of the running containers' logs: a container's never changes."""

    async def run(self) -> None:
        """Until cancelled. What fails for one container is logged and tried again the next time."""
        while True:
            await self._clock.sleep(self._limits.check_s)
            try:
                await self.rotate_all()
            except RuntimeServiceError as error:
                log.warning("container logs are not rotated: %s", error)

    async def rotate_all(self) -> None:
        running = [row.id for row in await self._runtime.list_containers(ContainerFilter(state="RUNNING"))]
        self._paths = {key: self._paths[key] for key in running if key in self._paths}
        if len(self._paths) < len(running):
            known = self._known()
            self._paths |= {key: Path(known[key]) for key in running if key not in self._paths and known.get(key)}
        for container_id in running:
            try:
                path = await self._path(container_id)
                if path is not None:
                    await self._rotate(container_id, path)
            except (RuntimeServiceError, OSError) as error:
                log.warning("log of container %s is not rotated: %s", container_id, error)

    async def _path(self, container_id: str) -> Path | None:
        if container_id not in self._paths:
            log_path = (await self._runtime.container_status(container_id)).log_path
            self._paths[container_id] = Path(log_path) if log_path else None
        return self._paths[container_id]

    async def _rotate(self, container_id: str, path: Path) -> None:
        try:
            size_bytes = os.stat(path).st_size
        except FileNotFoundError:
            await self._runtime.reopen_container_log(container_id)  # a rotation that was cut off, or a hand
            return
        if size_bytes < self._limits.max_bytes:
            return
        await asyncio.to_thread(self._make_room, path)
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(self._clock.now()))
        moved = path.with_name(f"{path.name}.{stamp}")
        os.rename(path, moved)
        try:
            await self._runtime.reopen_container_log(container_id)
        except RuntimeServiceError:
            os.rename(moved, path)
            raise

    def _make_room(self, path: Path) -> None:
        """Before one more is moved aside: drop what is unfinished or one too many, pack the rest."""
        for unfinished in _parts(path, UNFINISHED):
            unfinished.unlink(missing_ok=True)
        packed = {part.name.removesuffix(PACKED) for part in _parts(path, PACKED)}
        parts = []
        for part in rotated(path):
            if not part.name.endswith(PACKED) and part.name in packed:
                part.unlink(missing_ok=True)  # packed already; the plain one was not removed in time
            else:
                parts.append(part)
        keep = self._limits.max_files - 2
        for excess in parts[: max(0, len(parts) - keep)]:
            excess.unlink(missing_ok=True)
        for part in parts[max(0, len(parts) - keep) :]:
            if not part.name.endswith(PACKED):
                _pack(part)


def rotated(path: Path) -> Sequence[Path]:
    """The older parts of a log, the oldest first."""
    return [part for part in _parts(path, "") if not part.name.endswith(UNFINISHED)]


def remove(path: Path) -> None:
    """The log and all its parts."""
    for part in (*_parts(path, ""), path):
        part.unlink(missing_ok=True)


def _parts(path: Path, suffix: str) -> list[Path]:
    prefix = f"{path.name}."
    with contextlib.suppress(FileNotFoundError):
        names = sorted(entry.name for entry in os.scandir(path.parent))
        return [path.with_name(name) for name in names if name.startswith(prefix) and name.endswith(suffix)]
    return []


def _pack(part: Path) -> None:
    unfinished = part.with_name(part.name + UNFINISHED)
    with part.open("rb") as source, gzip.open(unfinished, "wb") as target:
        shutil.copyfileobj(source, target)
    unfinished.rename(part.with_name(part.name + PACKED))
    part.unlink()
