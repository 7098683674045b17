"""Static pods from a directory of manifests, or a single one: run without an API server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from steersman.aio.clock import Clock
from steersman.kubelet.static_manifests import ManifestError, static_pod
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.times import format_micro_time

log = logging.getLogger(__name__)


class StaticPods:
    """Follows a directory or a file, by inotify and, for what that may miss, every so often."""

    def __init__(
        self,
        folder: Path,
        *,
        node_name: str,
        clock: Clock,
        check_s: float,
        changed: Callable[[Mapping[str, Object]], None],
    ) -> None:
        """``changed`` is given all pods by uid whenever they differ from before."""
        self._folder = folder
        self._node_name = node_name
        self._clock = clock
        self._check_s = check_s
        self._changed = changed
        self._pods: dict[str, Object] | None = None
        self._woken = asyncio.Event()

    async def run(self) -> None:
        """Follow until cancelled."""
        stop = self._watch()
        try:
            while True:
                self._woken.clear()
                self._read()
                try:
                    await self._clock.wait_for(self._woken.wait(), self._check_s)
                except TimeoutError:
                    continue
        finally:
            stop()

    def _watch(self) -> Callable[[], None]:
        from inotify_simple import INotify, flags

        loop = asyncio.get_running_loop()
        inotify = INotify(nonblocking=True)
        watched = self._folder
        if watched.is_file():
            watched = watched.parent  # files are replaced rather than written
        else:
            watched.mkdir(parents=True, exist_ok=True)
        inotify.add_watch(watched, flags.CLOSE_WRITE | flags.MOVED_TO | flags.MOVED_FROM | flags.DELETE | flags.CREATE)

        def on_change() -> None:
            inotify.read(timeout=0)
            self._woken.set()

        loop.add_reader(inotify.fileno(), on_change)

        def stop() -> None:
            loop.remove_reader(inotify.fileno())
            inotify.close()

        return stop

    def _read(self) -> None:
        before = self._pods or {}
        found: dict[str, Object] = {}
        for path in self._files():
            try:
                pod = static_pod(
                    path.read_text(),
                    origin=str(path),
                    node_name=self._node_name,
                    seen=format_micro_time(self._clock.now()),
                )
            except (OSError, ManifestError, UnicodeDecodeError) as error:
                log.error("static pod %s: %s", path, error)
                continue
            uid = objects.uid(pod)
            found[uid] = before.get(uid) or pod
        if self._pods is None or found.keys() != before.keys():
            self._pods = found
            self._changed(found)

    def _files(self) -> list[Path]:
        if self._folder.is_file():
            return [self._folder]
        entries = sorted(self._folder.glob("*")) if self._folder.is_dir() else []
        return [path for path in entries if not path.name.startswith(".") and path.is_file()]
