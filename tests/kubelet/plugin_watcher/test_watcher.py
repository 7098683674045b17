"""Plugins that are found by their sockets."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from steersman.aio.clock import FakeClock
from steersman.kubelet.plugin_watcher.handlers import PluginRefused
from steersman.kubelet.plugin_watcher.v1 import pluginregistration_pb2 as pb
from steersman.kubelet.plugin_watcher.watcher import FIRST_RETRY_S, PluginWatcher

PATIENCE_S = 20.0


class Handler:
    """Takes what is called ``good…``, in version 1."""

    def __init__(self) -> None:
        self.log: list[str] = []

    def problem(self, name: str, versions: Sequence[str]) -> str:
        return "" if "v1" in versions else "no version"

    async def connect(self, name: str, address: str) -> None:
        self.log.append(f"{name} at {Path(address.removeprefix('unix:')).name}")
        if not name.startswith("good"):
            raise PluginRefused("bad")

    def disconnect(self, name: str) -> None:
        self.log.append(f"{name} gone")


class Plugin:
    """Serves the registration API on a socket."""

    def __init__(self, path: Path, *, answer: bytes | None = None, deaf: bool = False, **info: Any) -> None:
        self.path = path
        self.told: list[tuple[bool, str]] = []
        self._info = pb.PluginInfo(**{"type": "Thing", "name": "good", "supported_versions": ["v1"], **info})
        self._answer = answer
        self._deaf = deaf

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Plugin]:
        async def get_info(request: bytes, context: Any) -> bytes:
            return self._answer or self._info.SerializeToString()

        async def notify(request: bytes, context: Any) -> bytes:
            if self._deaf:
                await context.abort(grpc.StatusCode.INTERNAL, "what?")
            status = pb.RegistrationStatus.FromString(request)
            self.told.append((status.plugin_registered, status.error))
            return b""

        server = grpc.aio.server()
        methods = {
            "GetInfo": grpc.unary_unary_rpc_method_handler(get_info),
            "NotifyRegistrationStatus": grpc.unary_unary_rpc_method_handler(notify),
        }
        service = "pluginregistration.Registration"
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, methods),))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        server.add_insecure_port(f"unix:{self.path}")
        await server.start()
        try:
            yield self
        finally:
            await server.stop(None)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short: the names of sockets are."""
    with tempfile.TemporaryDirectory(prefix="pw-") as name:
        yield Path(name) / "registry"


@pytest.fixture
def handler() -> Handler:
    return Handler()


@pytest.fixture
async def watching(folder: Path, handler: Handler) -> AsyncIterator[FakeClock]:
    clock = FakeClock()
    watcher = PluginWatcher(folder, {"Thing": handler}, clock=clock)
    task = asyncio.create_task(watcher.run())
    await eventually(folder.is_dir)
    yield clock
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def eventually(holds: Callable[[], Any]) -> None:
    """Plugins are other programs: nothing tells when they have done what they do."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if holds():
                return
            await asyncio.sleep(0.01)


@pytest.mark.usefixtures("watching")
async def test_a_plugin_is_taken_told_so_and_let_go_with_its_socket(folder: Path, handler: Handler) -> None:
    async with Plugin(folder / "a.sock").running() as plugin:
        await eventually(lambda: plugin.told)
        assert (plugin.told, handler.log) == ([(True, "")], ["good at a.sock"])
    await eventually(lambda: len(handler.log) == 2)
    assert handler.log[1] == "good gone"
    async with Plugin(folder / "a.sock", name="good again").running() as plugin:
        await eventually(lambda: plugin.told)
    assert handler.log[2] == "good again at a.sock"


@pytest.mark.usefixtures("watching")
async def test_in_folders_below_but_not_where_the_name_begins_with_a_dot(folder: Path, handler: Handler) -> None:
    async with (
        Plugin(folder / ".hidden.sock").running() as hidden,
        Plugin(folder / "deep" / "er" / "a.sock", endpoint="/own.sock").running() as plugin,
    ):
        await eventually(lambda: plugin.told)
        assert (handler.log, hidden.told) == (["good at own.sock"], [])


@pytest.mark.parametrize(
    ("info", "problem"),
    [
        ({"type": "Other"}, "no handler registered for plugin type: Other at socket {path}"),
        ({"supported_versions": ["v2"]}, "plugin validation failed with err: no version"),
        ({"name": "wrong"}, "plugin registration failed with err: bad"),
    ],
)
async def test_a_plugin_that_is_not_taken_is_told_why_and_tried_again(
    folder: Path, watching: FakeClock, info: dict[str, Any], problem: str
) -> None:
    path = folder / "a.sock"
    async with Plugin(path, **info).running() as plugin:
        await eventually(lambda: plugin.told)
        expected = (False, f"RegisterPlugin error -- {problem.format(path=path)}")
        assert plugin.told == [expected]
        async with asyncio.timeout(PATIENCE_S):
            while len(plugin.told) < 2:
                await watching.advance(FIRST_RETRY_S)
                await asyncio.sleep(0.01)
        assert plugin.told[:2] == [expected, expected]


@pytest.mark.usefixtures("watching")
async def test_what_answers_wrongly_keeps_nobody_else_out(folder: Path, handler: Handler) -> None:
    async with (
        Plugin(folder / "a.sock", answer=b"\xff\xff\xff").running(),
        Plugin(folder / "b.sock", deaf=True, name="good but deaf").running(),
        Plugin(folder / "c.sock").running() as plugin,
    ):
        await eventually(lambda: plugin.told and "good but deaf gone" in handler.log)
        assert sorted(handler.log) == ["good at c.sock", "good but deaf at b.sock", "good but deaf gone"]
