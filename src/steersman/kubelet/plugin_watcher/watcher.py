"""Follows the sockets below ``plugins_registry``: each is asked what plugin it is, and the plugin is told what became of it.

A socket that is made anew is another plugin; one that cannot be used is tried again, less and less often. Source: the
documentation's "Device Plugins" and upstream's plugin manager.
"""

from __future__ import annotations

import asyncio
import logging
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from google.protobuf.message import Message
from msgspec import Struct

from steersman.aio.backoff import ItemBackoff
from steersman.aio.clock import Clock
from steersman.aio.rpc import grpc
from steersman.kubelet.plugin_watcher.handlers import PluginHandler, PluginRefused
from steersman.kubelet.plugin_watcher.v1 import pluginregistration_pb2 as pb

FOLDER: Final = "plugins_registry"
CHECK_S: Final = 10.0
"""How often the folder is read where nothing tells that it has changed."""
CONNECT_S: Final = 10.0
NOTIFY_S: Final = 5.0
FIRST_RETRY_S, LONGEST_RETRY_S = 0.5, 122.0
_OPTIONS: Final = (("grpc.default_authority", "localhost"), ("grpc.enable_http_proxy", 0))
log = logging.getLogger(__name__)

Identity = tuple[int, int]
"""Inode and time of change: a socket of the same name that was made anew has another one."""


class _Registered(Struct, frozen=True, kw_only=True):
    identity: Identity
    handler: PluginHandler
    name: str


class _Failed(Struct, frozen=True, kw_only=True):
    identity: Identity
    retry_at_s: float


class PluginWatcher:
    """``run`` it. Bounded by the number of sockets."""

    def __init__(self, folder: Path, handlers: Mapping[str, PluginHandler], *, clock: Clock) -> None:
        """``handlers``: by type of plugin."""
        self._folder = folder
        self._handlers = handlers
        self._clock = clock
        self._backoff = ItemBackoff(base_s=FIRST_RETRY_S, cap_s=LONGEST_RETRY_S)
        self._registered: dict[Path, _Registered] = {}
        self._failed: dict[Path, _Failed] = {}
        self._woken = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled. Raises ``OSError`` where the folder cannot be made."""
        self._folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        watch = _Watch(self._woken.set)
        try:
            while True:
                self._woken.clear()
                folders, sockets = _read(self._folder)
                watch.follow(folders)
                await self._settle(sockets)
                try:
                    await self._clock.wait_for(self._woken.wait(), self._pause_s())
                except TimeoutError:
                    continue
        finally:
            watch.close()

    def _pause_s(self) -> float:
        now_s = self._clock.monotonic()
        return min([CHECK_S, *(max(failed.retry_at_s - now_s, 0) for failed in self._failed.values())])

    async def _settle(self, sockets: Mapping[Path, Identity]) -> None:
        for path, known in list(self._registered.items()):
            if sockets.get(path) != known.identity:
                del self._registered[path]
                known.handler.disconnect(known.name)
        for path in self._failed.keys() - sockets.keys():
            del self._failed[path]
            self._backoff.forget(path)
        await asyncio.gather(*(self._try(path, sockets[path]) for path in sockets if self._is_due(path, sockets[path])))

    def _is_due(self, path: Path, identity: Identity) -> bool:
        failed = self._failed.get(path)
        if failed is not None and failed.identity == identity:
            return self._clock.monotonic() >= failed.retry_at_s
        return path not in self._registered

    async def _try(self, path: Path, identity: Identity) -> None:
        try:
            handler, name = await _register(path, self._handlers)
        except PluginRefused as error:
            log.warning("plugin %s: %s", path, error)
            retry_at_s = self._clock.monotonic() + self._backoff.when(path)
            self._failed[path] = _Failed(identity=identity, retry_at_s=retry_at_s)
        else:
            self._registered[path] = _Registered(identity=identity, handler=handler, name=name)
            self._failed.pop(path, None)
            self._backoff.forget(path)


async def _register(path: Path, handlers: Mapping[str, PluginHandler]) -> tuple[PluginHandler, str]:
    """Its handler and its name. Raises ``PluginRefused``, which the plugin has been told where that was possible."""
    async with grpc.aio.insecure_channel(f"unix:{path}", options=_OPTIONS) as channel:
        try:
            info = await _call(channel, "GetInfo", pb.InfoRequest(), pb.PluginInfo, timeout_s=CONNECT_S)
        except grpc.aio.AioRpcError as error:
            raise PluginRefused(f"RegisterPlugin error -- failed to get plugin info: {error.details()}") from error
        if info is None:  # what gRPC gives for what it cannot decode
            raise PluginRefused("RegisterPlugin error -- failed to get plugin info: cannot read the answer")
        handler = handlers.get(info.type)
        try:
            if handler is None:
                problem = f"no handler registered for plugin type: {info.type} at socket {path}"
                raise PluginRefused(f"RegisterPlugin error -- {problem}")
            problem = handler.problem(info.name, list(info.supported_versions))
            if problem:
                raise PluginRefused(f"RegisterPlugin error -- plugin validation failed with err: {problem}")
            try:
                await handler.connect(info.name, f"unix:{info.endpoint or path}")
            except PluginRefused as error:
                text = f"RegisterPlugin error -- plugin registration failed with err: {error}"
                raise PluginRefused(text) from error
        except PluginRefused as refused:
            await _tell(channel, str(refused))
            raise
        if not await _tell(channel, ""):
            handler.disconnect(info.name)
            raise PluginRefused("RegisterPlugin error -- failed to send registration status")
        return handler, info.name


async def _tell(channel: grpc.aio.Channel, problem: str) -> bool:
    """True when the plugin has heard it."""
    status = pb.RegistrationStatus(plugin_registered=not problem, error=problem)
    try:
        await _call(channel, "NotifyRegistrationStatus", status, pb.RegistrationStatusResponse, timeout_s=NOTIFY_S)
    except grpc.aio.AioRpcError:
        return False
    return True


async def _call(channel: grpc.aio.Channel, method: str, request: Message, answer: Any, *, timeout_s: float) -> Any:
    call = channel.unary_unary(
        f"/pluginregistration.Registration/{method}",
        request_serializer=type(request).SerializeToString,
        response_deserializer=answer.FromString,
    )
    return await call(request, timeout=timeout_s)


def _read(folder: Path) -> tuple[list[Path], dict[Path, Identity]]:
    """Folders, itself and those below, and sockets. Names that begin with a dot do not count."""
    folders: list[Path] = [folder]
    sockets: dict[Path, Identity] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        try:
            found = path.lstat()
            if stat.S_ISDIR(found.st_mode):
                inner, more = _read(path)
                folders += inner
                sockets |= more
            elif stat.S_ISSOCK(found.st_mode):
                sockets[path] = (found.st_ino, found.st_ctime_ns)
        except (FileNotFoundError, NotADirectoryError):
            continue
    return folders, sockets


class _Watch:
    """Calls back when something in the folders changes."""

    def __init__(self, changed: Callable[[], None]) -> None:
        from inotify_simple import INotify

        self._inotify = INotify(nonblocking=True)
        self._folders: dict[Path, int] = {}
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._inotify.fileno(), self._on_change)

    def follow(self, folders: list[Path]) -> None:
        from inotify_simple import flags

        self._folders = {path: number for path, number in self._folders.items() if path in folders}
        for path in folders:
            try:
                wanted = flags.CREATE | flags.DELETE | flags.MOVED_TO | flags.MOVED_FROM
                self._folders[path] = self._inotify.add_watch(path, wanted)
            except FileNotFoundError:
                continue

    def _on_change(self) -> None:
        self._inotify.read(timeout=0)
        self._changed()

    def close(self) -> None:
        self._loop.remove_reader(self._inotify.fileno())
        self._inotify.close()
