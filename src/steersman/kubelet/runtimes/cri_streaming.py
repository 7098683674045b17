"""Exec and attach through a CRI runtime's streaming server.

``Exec`` and ``Attach`` answer with the address of an HTTP server inside the runtime. It is asked for SPDY/3.1 rather
than WebSocket: the runtimes' WebSocket (v4.channel.k8s.io) cannot say that standard input has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Coroutine
from typing import Any, Final
from urllib.parse import urlsplit

from steersman.aio.clock import Clock
from steersman.aio.spdy import UPGRADE, SPDYConnection, SPDYError, SPDYStream
from steersman.kubelet.runtimes.api import (
    AttachRequest,
    ExecRequest,
    NotFound,
    Output,
    RuntimeServiceError,
    Session,
    Unavailable,
)

PROTOCOL: Final = "v4.channel.k8s.io"
READ_BYTES: Final = 64 * 1024
MAX_HEAD_BYTES: Final = 64 * 1024
CONNECT_TIMEOUT_S: Final = 30.0
OUTPUT_ITEMS: Final = 16
"""Outputs read ahead; a caller that reads no further stops the streams, and through them the process."""
CLOSE_TIMEOUT_S: Final = 1.0


class StreamSession:
    """A ``Session`` on the streams of a SPDY connection."""

    def __init__(self, connection: SPDYConnection, reader: asyncio.Task[None], clock: Clock) -> None:
        self._connection = connection
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = {reader}
        self._outputs: asyncio.Queue[Output | None] = asyncio.Queue(OUTPUT_ITEMS)
        self._stdin: SPDYStream | None = None
        self._resize: SPDYStream | None = None
        self._exit: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._ended = False

    async def open(self, request: ExecRequest | AttachRequest) -> None:
        """Open the streams that ``request`` wants; the runtime waits for exactly these before it begins."""
        error = await self._connection.open_stream({"streamtype": "error"})
        if request.stdin:
            self._stdin = await self._connection.open_stream({"streamtype": "stdin"})
        stdout = await self._connection.open_stream({"streamtype": "stdout"}) if request.stdout else None
        stderr = None
        if request.stderr and not request.tty:
            stderr = await self._connection.open_stream({"streamtype": "stderr"})
        if request.tty:
            self._resize = await self._connection.open_stream({"streamtype": "resize"})
        self._spawn(self._read_outputs(stdout, stderr), "outputs")
        self._spawn(self._read_exit(error), "exit")

    async def read(self) -> Output | None:
        if self._ended:
            return None
        output = await self._outputs.get()
        self._ended = output is None
        return output

    async def write_stdin(self, data: bytes) -> None:
        if self._stdin is None:
            return
        with contextlib.suppress(ConnectionError):
            await self._stdin.write(data)

    async def close_stdin(self) -> None:
        if self._stdin is not None:
            with contextlib.suppress(ConnectionError):
                await self._stdin.close_write()

    async def resize(self, *, width: int, height: int) -> None:
        if self._resize is not None:
            with contextlib.suppress(ConnectionError):
                await self._resize.write(json.dumps({"Width": width, "Height": height}).encode() + b"\n")

    async def wait(self) -> int:
        return await asyncio.shield(self._exit)

    async def close(self) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError):
            await self._clock.wait_for(self._connection.close(), CLOSE_TIMEOUT_S)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if not self._exit.done():
            self._exit.set_exception(RuntimeServiceError("session is closed"))
        self._exit.exception()  # seen, whether or not anybody waited

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self._tasks.add(asyncio.create_task(work, name=f"cri-session/{name}"))

    async def _read_outputs(self, stdout: SPDYStream | None, stderr: SPDYStream | None) -> None:
        await asyncio.gather(
            *(self._read_output(name, stream) for name, stream in (("stdout", stdout), ("stderr", stderr)) if stream)
        )
        await self._outputs.put(None)

    async def _read_output(self, name: str, stream: SPDYStream) -> None:
        with contextlib.suppress(SPDYError):
            while data := await stream.read():
                await self._outputs.put(Output(stream="stderr" if name == "stderr" else "stdout", data=data))

    async def _read_exit(self, error: SPDYStream) -> None:
        report = bytearray()
        try:
            while data := await error.read():
                report += data
        except SPDYError as failure:
            if not report:
                self._exit.set_exception(Unavailable(f"connection to the runtime was lost: {failure}"))
                return
        try:
            self._exit.set_result(exit_code(bytes(report)))
        except RuntimeServiceError as failure:
            self._exit.set_exception(failure)


def exit_code(report: bytes) -> int:
    """The exit code that the error stream's ``v1.Status`` tells. Raises ``RuntimeServiceError`` for a failure."""
    if not report:
        return 0
    try:
        status = json.loads(report)
    except ValueError as error:
        raise RuntimeServiceError(report.decode("utf-8", "replace")) from error
    if status.get("status") == "Success":
        return 0
    for cause in (status.get("details") or {}).get("causes") or ():
        if cause.get("reason") == "ExitCode":
            return int(cause["message"])
    message = str(status.get("message") or status.get("reason") or "unknown failure")
    raise NotFound(message) if status.get("code") == 404 else RuntimeServiceError(message)


class _Socket:
    """An asyncio stream pair as SPDY's byte stream."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def read(self) -> bytes:
        return await self._reader.read(READ_BYTES)

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()


async def open_session(url: str, request: ExecRequest | AttachRequest, *, clock: Clock) -> Session:
    """Connect to the streaming server at ``url`` and open the streams that ``request`` wants."""
    try:
        transport = await clock.wait_for(_upgrade(url), CONNECT_TIMEOUT_S)
    except (OSError, TimeoutError) as error:
        raise Unavailable(f"the runtime's streaming server does not answer: {error}") from error
    connection = SPDYConnection(transport, server=False)
    session = StreamSession(connection, asyncio.create_task(_run(connection), name="cri-session/reader"), clock)
    try:
        await session.open(request)
    except BaseException as error:
        await session.close()
        if isinstance(error, ConnectionError):
            raise Unavailable(f"the runtime's streaming server went away: {error}") from error
        raise
    return session


async def _run(connection: SPDYConnection) -> None:
    with contextlib.suppress(ConnectionError):
        await connection.run()


async def _upgrade(url: str) -> _Socket:
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise RuntimeServiceError(f"streaming address {parts.scheme}://{parts.netloc} is not supported: only http is")
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80, limit=MAX_HEAD_BYTES)
    try:
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        writer.write(
            f"POST {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: Upgrade\r\nUpgrade: {UPGRADE}\r\n"
            f"X-Stream-Protocol-Version: {PROTOCOL}\r\nContent-Length: 0\r\n\r\n".encode()
        )
        await writer.drain()
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            raise ConnectionError("no answer to the upgrade") from error
        status = head.split(b"\r\n", 1)[0].split(b" ", 2)
        if len(status) < 2 or status[1] != b"101":
            body = (await reader.read(4096)).decode("utf-8", "replace").strip()
            raise RuntimeServiceError(f"the runtime refused the stream: {body or status[-1].decode()}")
        return _Socket(reader, writer)
    except BaseException:
        writer.close()
        raise


def _conforms(session: StreamSession) -> Session:
    return session
