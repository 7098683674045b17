"""Exec's and attach's streams over SPDY/3.1: one SPDY stream each, named by its header ``streamType``.

What client-go's executors and kubectl before 1.30 speak. The client opens all streams before the process starts.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from aiohttp import web

from steersman.aio.spdy import UPGRADE, SPDYConnection, SPDYError, SPDYStream
from steersman.kubelet.server.remotecommand import (
    MAX_RESIZE_BYTES,
    V1,
    V2,
    V3,
    V4,
    RemoteStreams,
    StreamName,
    StreamOptions,
    TerminalSize,
)
from steersman.kubelet.server.upgrade import SwitchingProtocols
from steersman.meta.errors import BadRequest, Forbidden

HEADER: Final = "X-Stream-Protocol-Version"
ACCEPTED_HEADER: Final = "X-Accepted-Stream-Protocol-Versions"
STREAM_CREATION_S: Final = 30.0
"""How long a client may take to open its streams; ``streamCreationTimeout``'s default upstream."""
CLOSE_S: Final = 5.0
"""How long what was written may take to be read by the client before the connection is cut."""
REMOTE_COMMAND_PROTOCOLS: Final = (V4, V3, V2, V1)


def negotiated(request: web.Request, accepted: tuple[str, ...]) -> str:
    """The client's first protocol that is accepted; the oldest for a client that names none. Raises ``Forbidden``."""
    offered = [
        protocol.strip() for value in request.headers.getall(HEADER, ()) for protocol in value.split(",") if protocol
    ]
    if not offered:
        return accepted[-1]
    for protocol in offered:
        if protocol in accepted:
            return protocol
    raise Forbidden(
        f"unable to upgrade: unable to negotiate protocol: client supports [{' '.join(offered)}], "
        f"server accepts [{' '.join(accepted)}]"
    )


def require_spdy(request: web.Request) -> None:
    """Raises ``BadRequest`` where a request asks for no upgrade that this server knows."""
    if "upgrade" not in request.headers.get("Connection", "").lower():
        raise BadRequest(f"unable to upgrade: missing upgrade headers in request: {dict(request.headers)!r}")
    if UPGRADE.lower() not in request.headers.get("Upgrade", "").lower():
        raise BadRequest("unable to upgrade: SPDY/3.1 and WebSocket are supported")


class SPDYStreams:
    """The client's streams on one connection."""

    def __init__(self, connection: SPDYConnection, reader: asyncio.Task[None], protocol: str) -> None:
        self._connection = connection
        self._reader = reader
        self._streams: dict[str, SPDYStream] = {}
        self._resize_text = b""
        self.writes_status = protocol == V4

    async def accept(self, expected: set[str]) -> None:
        """Until the client has opened every expected stream. Raises ``SPDYError`` when it goes instead."""
        while expected - self._streams.keys():
            stream = await self._connection.accept()
            if stream is None:
                raise SPDYError("client is gone")
            name = stream.headers.get("streamtype", "")
            if name in expected and name not in self._streams:
                self._streams[name] = stream
            else:
                await stream.reset()

    async def read_stdin(self) -> bytes:
        stream = self._streams.get("stdin")
        return await stream.read() if stream else b""

    async def read_resize(self) -> TerminalSize | None:
        stream = self._streams.get("resize")
        while stream is not None:
            text, brace, rest = self._resize_text.partition(b"}")
            if brace:
                self._resize_text = rest.lstrip()
                if (size := TerminalSize.parse(text + brace)) is not None:
                    return size
                continue
            data = await stream.read()
            if not data or len(self._resize_text) > MAX_RESIZE_BYTES:
                return None
            self._resize_text += data
        return None

    async def write(self, stream: StreamName, data: bytes) -> None:
        target = self._streams.get(stream)
        if target is not None:
            await target.write(data)

    async def wait_closed(self) -> None:
        await asyncio.wait({self._reader})

    async def close(self) -> None:
        """End every stream, and let the client be the one to close: its last bytes are then surely read."""
        with contextlib.suppress(ConnectionError):
            for stream in self._streams.values():
                await stream.close_write()
        await asyncio.wait({self._reader}, timeout=CLOSE_S)
        with contextlib.suppress(ConnectionError):
            await self._connection.close()
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)


async def open_streams(request: web.Request, options: StreamOptions) -> tuple[RemoteStreams, web.StreamResponse]:
    """Accept the upgrade and the client's streams."""
    require_spdy(request)
    protocol = negotiated(request, REMOTE_COMMAND_PROTOCOLS)
    response = SwitchingProtocols(UPGRADE, {HEADER: protocol})
    connection = SPDYConnection(await response.take_over(request), server=True)
    streams = SPDYStreams(connection, asyncio.create_task(run_quietly(connection), name="spdy"), protocol)
    wanted = {"stdin": options.stdin, "stdout": options.stdout, "stderr": options.stderr}
    expected = {"error", *(name for name, is_wanted in wanted.items() if is_wanted)}
    if options.tty and protocol in (V4, V3):
        expected.add("resize")
    try:
        async with asyncio.timeout(STREAM_CREATION_S):
            await streams.accept(expected)
    except BaseException as error:
        await streams.close()
        if isinstance(error, TimeoutError):
            raise ConnectionResetError("client did not open its streams") from error
        raise
    return streams, response


async def run_quietly(connection: SPDYConnection) -> None:
    """Read the connection to its end; a client that breaks the protocol is one that is gone."""
    with contextlib.suppress(ConnectionError):
        await connection.run()


def _conforms(streams: SPDYStreams) -> RemoteStreams:
    return streams
