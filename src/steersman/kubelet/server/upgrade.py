"""Taking over an HTTP connection after ``101 Switching Protocols``."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

BUFFER_BYTES: Final = 256 * 1024
"""Received and unread bytes before the peer is no longer read from."""


class UpgradedConnection:
    """The bytes of a connection that no longer speaks HTTP: ``meta.wire.Connection`` and SPDY's ``ByteStream``."""

    def __init__(self, request: web.BaseRequest, writer: Any) -> None:
        self._transport = request.transport
        self._writer = writer
        self._pieces: deque[bytes] = deque()
        self._buffered_bytes = 0
        self._eof = False
        self._arrived = asyncio.Event()

    async def read(self) -> bytes:
        while not self._pieces:
            if self._eof:
                return b""
            self._arrived.clear()
            await self._arrived.wait()
        piece = self._pieces.popleft()
        before, self._buffered_bytes = self._buffered_bytes, self._buffered_bytes - len(piece)
        if before >= BUFFER_BYTES > self._buffered_bytes and self._transport is not None:
            self._transport.resume_reading()
        return piece

    async def write(self, data: bytes) -> None:
        if self._eof or self._transport is None or self._transport.is_closing():
            raise ConnectionResetError("connection is closed")
        await self._writer.write(data)

    async def close(self) -> None:
        """What was written is still sent."""
        if self._transport is not None:
            self._transport.close()

    # aiohttp hands the connection's bytes to a parser with these two methods.

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self._pieces.append(bytes(data))
        before, self._buffered_bytes = self._buffered_bytes, self._buffered_bytes + len(data)
        if before < BUFFER_BYTES <= self._buffered_bytes and self._transport is not None:
            self._transport.pause_reading()
        self._arrived.set()
        return False, b""

    def feed_eof(self) -> None:
        self._eof = True
        self._arrived.set()


class SwitchingProtocols(web.StreamResponse):
    """The 101 after which the connection is no longer HTTP. Return it from the handler when all is done."""

    _length_check = False  # aiohttp: neither a Content-Length nor chunks

    def __init__(self, protocol: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status=101, headers={"Connection": "Upgrade", "Upgrade": protocol, **(headers or {})})

    async def take_over(self, request: web.Request) -> UpgradedConnection:
        """Send the response; from now on the connection's bytes are the caller's."""
        writer = await self.prepare(request)
        connection = UpgradedConnection(request, writer)
        request.protocol.set_parser(connection)  # type: ignore[arg-type]  # any object with the parser's two methods
        return connection

    async def write_eof(self, data: bytes = b"") -> None:
        self.force_close()
        self._eof_sent = True
