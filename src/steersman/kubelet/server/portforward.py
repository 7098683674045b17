"""Port-forward: connections of a client's to ports of a pod.

Over SPDY every connection is a pair of streams, ``data`` and ``error``, of one ``requestID``; over WebSocket (v4) the
ports are given in the query and each has two channels; ``SPDY/3.1+portforward.k8s.io`` is the first inside the second.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Final

import aiohttp
from aiohttp import web

from steersman.aio.spdy import UPGRADE, ByteStream, SPDYConnection, SPDYStream
from steersman.kubelet.runtimes.api import PortConnection, RuntimeServiceError
from steersman.kubelet.server.remotecommand import V4, V4_BASE64
from steersman.kubelet.server.spdy_streams import (
    HEADER,
    STREAM_CREATION_S,
    negotiated,
    require_spdy,
    run_quietly,
)
from steersman.kubelet.server.upgrade import SwitchingProtocols
from steersman.kubelet.server.websocket import HEARTBEAT_S, MAX_MESSAGE_BYTES, ChannelSocket, wants_websocket
from steersman.meta.errors import BadRequest

log = logging.getLogger(__name__)

PROTOCOL: Final = "portforward.k8s.io"
TUNNEL: Final = f"{UPGRADE}+{PROTOCOL}"
MAX_CONNECTIONS: Final = 256
"""Connections at a time of one client; more wait."""

Connect = Callable[[int], Awaitable[PortConnection]]
"""Opens a connection to a port of the pod. Raises ``ConnectionError`` or ``RuntimeServiceError``."""


async def serve(request: web.Request, connect: Connect, *, pod: str) -> web.StreamResponse:
    """Serve the upgraded request to its end. ``pod`` names the pod in error texts."""
    if not wants_websocket(request):
        require_spdy(request)
        protocol = negotiated(request, (PROTOCOL,))
        response = SwitchingProtocols(UPGRADE, {HEADER: protocol})
        await serve_spdy(await response.take_over(request), connect, pod=pod)
        return response
    offered = [name.strip() for name in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
    ports = [] if TUNNEL in offered else _ports(request)
    socket = web.WebSocketResponse(
        protocols=(TUNNEL, V4, V4_BASE64), max_msg_size=MAX_MESSAGE_BYTES, heartbeat=HEARTBEAT_S, timeout=1.0
    )
    await socket.prepare(request)
    if socket.ws_protocol == TUNNEL:
        await serve_spdy(_Tunnel(socket), connect, pod=pod)
    else:
        channels = ChannelSocket(
            socket, channels=2 * len(ports), base64_text=socket.ws_protocol == V4_BASE64, half_close=False
        )
        await serve_channels(channels, ports, connect, pod=pod)
    return socket


async def serve_spdy(transport: ByteStream, connect: Connect, *, pod: str) -> None:
    """Every pair of streams is a connection, until the client goes."""
    connection = SPDYConnection(transport, server=True)
    reader = asyncio.create_task(run_quietly(connection), name="spdy")
    limit = asyncio.Semaphore(MAX_CONNECTIONS)
    halves: dict[str, dict[str, SPDYStream]] = {}
    tasks: set[asyncio.Task[None]] = set()

    async def carry(data: SPDYStream, error: SPDYStream) -> None:
        async with limit:
            await _carry_streams(data, error, connect, pod)

    async def expire(request_id: str) -> None:
        await asyncio.sleep(STREAM_CREATION_S)
        for stream in halves.pop(request_id, {}).values():
            with contextlib.suppress(ConnectionError):
                await stream.reset()

    def spawn(task: asyncio.Task[None]) -> None:
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    try:
        while (stream := await connection.accept()) is not None:
            kind = stream.headers.get("streamtype", "")
            request_id = _request_id(stream)
            pair = halves.setdefault(request_id, {})
            if kind not in ("data", "error") or kind in pair:
                await stream.reset()
                continue
            pair[kind] = stream
            if len(pair) == 2:
                del halves[request_id]
                spawn(asyncio.create_task(carry(pair["data"], pair["error"]), name=f"port-forward/{request_id}"))
            else:
                spawn(asyncio.create_task(expire(request_id), name=f"port-forward/expire/{request_id}"))
    except ConnectionError:
        pass
    finally:
        pending = [*tasks, reader]
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        with contextlib.suppress(ConnectionError):
            await connection.close()


async def serve_channels(channels: ChannelSocket, ports: list[int], connect: Connect, *, pod: str) -> None:
    """One connection a port, on channels 2n (data) and 2n+1 (error); each begins with the port, little-endian."""
    tasks = []
    try:
        for number, port in enumerate(ports):
            for channel in (2 * number, 2 * number + 1):
                await channels.write(channel, port.to_bytes(2, "little"))
            carry = _carry_channel(channels, 2 * number, port, connect, pod)
            tasks.append(asyncio.create_task(carry, name=f"port-forward/{port}"))
        closed = asyncio.create_task(channels.wait_closed(), name="port-forward/client")
        tasks.append(closed)
        await asyncio.wait({closed})
    except ConnectionError:
        pass
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await channels.close()


async def _carry_streams(data: SPDYStream, error: SPDYStream, connect: Connect, pod: str) -> None:
    try:
        port = int(data.headers.get("port", ""))
        connection = await connect(port)
    except (ValueError, ConnectionError, RuntimeServiceError) as failure:
        with contextlib.suppress(ConnectionError):
            await error.write(f"error forwarding port {data.headers.get('port')} to pod {pod}: {failure}".encode())
            await error.close_write()
            await data.reset()
        return

    async def send() -> None:
        with contextlib.suppress(ConnectionError):
            while piece := await data.read():
                await connection.write(piece)
            await connection.write_eof()

    async def receive() -> None:
        while piece := await connection.read():
            await data.write(piece)
        await data.close_write()

    sending = asyncio.create_task(send(), name="port-forward/send")
    try:
        await receive()
        await error.close_write()
    except ConnectionError:
        log.debug("port-forward client went away", exc_info=True)
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        await connection.close()


async def _carry_channel(channels: ChannelSocket, channel: int, port: int, connect: Connect, pod: str) -> None:
    try:
        connection = await connect(port)
    except (ConnectionError, RuntimeServiceError) as failure:
        with contextlib.suppress(ConnectionError):
            await channels.write(channel + 1, f"error forwarding port {port} to pod {pod}: {failure}".encode())
        return

    async def send() -> None:
        with contextlib.suppress(ConnectionError):
            while piece := await channels.read(channel):
                await connection.write(piece)

    sending = asyncio.create_task(send(), name="port-forward/send")
    try:
        while piece := await connection.read():
            await channels.write(channel, piece)
    except ConnectionError:
        log.debug("port-forward client went away", exc_info=True)
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        await connection.close()


def _request_id(stream: SPDYStream) -> str:
    """Clients before 1.3 send no id: their error stream comes first and its data stream is the next."""
    if "requestid" in stream.headers:
        return stream.headers["requestid"]
    return str(stream.id if stream.headers.get("streamtype") == "error" else stream.id - 2)


def _ports(request: web.Request) -> list[int]:
    """``port=80&port=81`` or ``port=80,81``. Raises ``BadRequest``."""
    texts = [text for value in request.query.getall("port", ()) for text in value.split(",")]
    if not texts:
        raise BadRequest('query parameter "port" is required')
    ports = []
    for text in texts:
        if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
            raise BadRequest(f"unable to parse {text!r} as a port")
        ports.append(int(text))
    return ports


class _Tunnel:
    """A WebSocket's binary messages as one byte stream."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket

    async def read(self) -> bytes:
        while True:
            message = await self._socket.receive()
            if message.type is aiohttp.WSMsgType.BINARY:
                if message.data:
                    return bytes(message.data)
            elif message.type is not aiohttp.WSMsgType.TEXT:
                return b""

    async def write(self, data: bytes) -> None:
        try:
            await self._socket.send_bytes(data)
        except (RuntimeError, aiohttp.ClientConnectionError) as error:
            raise ConnectionResetError("client is gone") from error

    async def close(self) -> None:
        await self._socket.close()
