"""Kubernetes' channels over WebSocket: the first byte of a message says which stream the rest belongs to.

``v5`` adds one message, 255 and a channel, by which a client ends that channel. The ``base64`` variants carry text: a
digit and base64. Source: the subprotocols as kube-apiserver and client-go speak them (KEP-4006).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
from collections.abc import Sequence
from typing import Final

import aiohttp
from aiohttp import web

from steersman.kubelet.server.remotecommand import (
    MAX_RESIZE_BYTES,
    V1,
    V1_BASE64,
    V4,
    V4_BASE64,
    V5,
    RemoteStreams,
    StreamName,
    StreamOptions,
    TerminalSize,
)

CLOSE_SIGNAL: Final = 255
MAX_MESSAGE_BYTES: Final = 32 * 1024 * 1024
BUFFERED_MESSAGES: Final = 16
"""Unread messages of a channel before the connection is no longer read."""
HEARTBEAT_S: Final = 30.0
REMOTE_COMMAND_PROTOCOLS: Final = (V5, V4, V4_BASE64, V1, V1_BASE64)
_CHANNELS: Final[Sequence[StreamName]] = ("stdin", "stdout", "stderr", "error", "resize")


def wants_websocket(request: web.BaseRequest) -> bool:
    return "websocket" in request.headers.get("Upgrade", "").lower()


class ChannelSocket:
    """Numbered channels on a WebSocket."""

    def __init__(self, socket: web.WebSocketResponse, *, channels: int, base64_text: bool, half_close: bool) -> None:
        self._socket = socket
        self._base64 = base64_text
        self._half_close = half_close
        self._inboxes: list[asyncio.Queue[bytes]] = [asyncio.Queue(BUFFERED_MESSAGES) for _ in range(channels)]
        self._ended = [False] * channels
        self._closed = asyncio.Event()
        self._reader = asyncio.create_task(self._read_messages(), name="channels")

    async def read(self, channel: int) -> bytes:
        """The next message of a channel; empty at its end. Raises ``ConnectionError`` when the client is gone."""
        inbox = self._inboxes[channel]
        if inbox.empty():
            if self._ended[channel]:
                return b""
            if self._closed.is_set():
                raise ConnectionResetError("client is gone")
        arrival = asyncio.ensure_future(inbox.get())
        closing = asyncio.ensure_future(self._closed.wait())
        try:
            await asyncio.wait({arrival, closing}, return_when=asyncio.FIRST_COMPLETED)
            if arrival.done():
                data = arrival.result()
                if not data:
                    self._ended[channel] = True
                return data
            raise ConnectionResetError("client is gone")
        finally:
            arrival.cancel()
            closing.cancel()

    async def write(self, channel: int, data: bytes) -> None:
        try:
            if self._base64:
                await self._socket.send_str(f"{channel}{base64.b64encode(data).decode()}")
            else:
                await self._socket.send_bytes(bytes((channel,)) + data)
        except (RuntimeError, aiohttp.ClientConnectionError) as error:
            raise ConnectionResetError("client is gone") from error

    async def wait_closed(self) -> None:
        await self._closed.wait()

    async def close(self) -> None:
        with contextlib.suppress(RuntimeError, ConnectionError):
            await self._socket.close()
        self._reader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reader

    async def _read_messages(self) -> None:
        try:
            async for message in self._socket:
                channel, data = self._parsed(message)
                if channel == CLOSE_SIGNAL and self._half_close:
                    if len(data) == 1 and data[0] < len(self._inboxes):
                        await self._inboxes[data[0]].put(b"")
                elif 0 <= channel < len(self._inboxes) and data:
                    await self._inboxes[channel].put(data)
        finally:
            self._closed.set()

    def _parsed(self, message: aiohttp.WSMessage) -> tuple[int, bytes]:
        """Channel and content; -1 for what is neither."""
        if message.type is aiohttp.WSMsgType.BINARY and not self._base64:
            content: bytes = message.data
            return (content[0], content[1:]) if content else (-1, b"")
        if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
            text = message.data if isinstance(message.data, str) else message.data.decode("latin-1")
            with contextlib.suppress(binascii.Error, ValueError):
                if self._base64:
                    return int(text[:1]), base64.b64decode(text[1:])
                raw = text.encode()
                return raw[0], raw[1:]
        return -1, b""


class WebSocketStreams:
    """Exec's and attach's streams as channels 0 to 4."""

    def __init__(self, channels: ChannelSocket, *, writes_status: bool) -> None:
        self._channels = channels
        self.writes_status = writes_status

    async def read_stdin(self) -> bytes:
        return await self._channels.read(_CHANNELS.index("stdin"))

    async def read_resize(self) -> TerminalSize | None:
        while data := await self._channels.read(_CHANNELS.index("resize")):
            if (size := TerminalSize.parse(data[:MAX_RESIZE_BYTES])) is not None:
                return size
        return None

    async def write(self, stream: StreamName, data: bytes) -> None:
        await self._channels.write(_CHANNELS.index(stream), data)

    async def wait_closed(self) -> None:
        await self._channels.wait_closed()

    async def close(self) -> None:
        await self._channels.close()


async def open_streams(request: web.Request, options: StreamOptions) -> tuple[RemoteStreams, web.StreamResponse]:
    """Accept the WebSocket. The first message, an empty one, tells the client that the streams are open."""
    socket = web.WebSocketResponse(
        protocols=REMOTE_COMMAND_PROTOCOLS, max_msg_size=MAX_MESSAGE_BYTES, heartbeat=HEARTBEAT_S, timeout=1.0
    )
    await socket.prepare(request)
    protocol = socket.ws_protocol or V1
    channels = ChannelSocket(
        socket, channels=len(_CHANNELS), base64_text="base64" in protocol, half_close=protocol == V5
    )
    streams = WebSocketStreams(channels, writes_status=protocol in (V5, V4, V4_BASE64))
    first: StreamName = "stdout" if options.stdout else "stderr" if options.stderr else "error"
    await streams.write(first, b"")
    return streams, socket


def _conforms(streams: WebSocketStreams) -> RemoteStreams:
    return streams
