"""A connection that was taken over after an upgrade, and the copying of bytes between two of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable

from steersman.meta.wire import Connection

READ_BUFFER_BYTES = 256 * 1024
"""Received bytes that may wait for the reader; beyond that the peer is told to pause."""


class TransportConnection(asyncio.Protocol):
    """A ``Connection`` over an asyncio transport whose protocol it replaces."""

    def __init__(
        self, transport: asyncio.Transport, *, on_lost: Callable[[BaseException | None], None] | None = None
    ) -> None:
        self._transport = transport
        self._on_lost = on_lost
        self._received: deque[bytes] = deque()
        self._size_bytes = 0
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._paused_reading = False
        self._paused_writing = False
        self._ended = False
        self._lost = False

    def take_over(self) -> None:
        """From now on the transport's bytes come here."""
        self._transport.set_protocol(self)
        if not self._transport.is_reading():
            self._transport.resume_reading()

    def unread(self, data: bytes) -> None:
        """Put bytes back, to be read first."""
        if data:
            self._received.appendleft(data)
            self._size_bytes += len(data)

    # -- asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        self._received.append(data)
        self._size_bytes += len(data)
        if self._size_bytes > READ_BUFFER_BYTES and not self._paused_reading:
            self._paused_reading = True
            self._transport.pause_reading()
        _wake(self._reader)

    def eof_received(self) -> bool:
        self._ended = True
        _wake(self._reader)
        return not self._transport.get_extra_info("sslcontext")

    def pause_writing(self) -> None:
        self._paused_writing = True

    def resume_writing(self) -> None:
        self._paused_writing = False
        _wake(self._writer)

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = self._lost = True
        _wake(self._reader)
        _wake(self._writer)
        if self._on_lost is not None:
            self._on_lost(exc)

    # -- Connection

    async def read(self) -> bytes:
        while not self._received:
            if self._ended:
                return b""
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        data = self._received.popleft()
        self._size_bytes -= len(data)
        if self._paused_reading and self._size_bytes <= READ_BUFFER_BYTES // 2 and not self._lost:
            self._paused_reading = False
            self._transport.resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        if self._lost or self._transport.is_closing():
            raise ConnectionResetError("the peer has gone")
        self._transport.write(data)
        while self._paused_writing:
            if self._lost:
                raise ConnectionResetError("the peer has gone")
            self._writer = asyncio.get_running_loop().create_future()
            await self._writer

    async def close(self) -> None:
        if not self._transport.is_closing():
            self._transport.close()


def _conforms(transport: asyncio.Transport) -> Connection:
    return TransportConnection(transport)


def _wake(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)


async def relay(left: Connection, right: Connection) -> None:
    """Copy bytes both ways until either side ends; then close both."""

    async def copy(source: Connection, target: Connection) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read():
                await target.write(data)

    tasks = [asyncio.ensure_future(copy(left, right)), asyncio.ensure_future(copy(right, left))]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await right.close()
        await left.close()
