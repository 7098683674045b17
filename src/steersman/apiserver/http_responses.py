"""Responses as bytes on a connection, at the pace of the client: whole bodies, streams, watches."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import HttpVersion10

from steersman.apiserver.watching import Watch
from steersman.meta.wire import Response, WatchFrame

log = logging.getLogger(__name__)

DRAIN_TIMEOUT_S = 60.0
"""A client that takes nothing for so long while something waits for it is cut."""
WRITE_BUFFER_BYTES = 256 * 1024
"""What may wait in a connection's buffer before its response is held up."""
_SLICE_BYTES = 64 * 1024
_CHUNKED_END = b"0\r\n\r\n"
_UNSAFE = ("\r", "\n", "\0")
_PHRASES: Mapping[int, str] = {status.value: status.phrase for status in HTTPStatus}


class _Written(web.StreamResponse):
    """Tells aiohttp that the response is written already."""

    def __init__(self, *, keep_alive: bool) -> None:
        super().__init__()
        self._reusable = keep_alive

    @property
    def keep_alive(self) -> bool:
        return self._reusable

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        return None


KEEP = _Written(keep_alive=True)
CLOSE = _Written(keep_alive=False)
"""What aiohttp is to do with the connection of a response that is written."""


def write_head(transport: asyncio.WriteTransport, status: int, headers: Mapping[str, str]) -> None:
    transport.write(head(status, headers, ""))


def head(status: int, headers: Mapping[str, str], more: str, repeated: tuple[tuple[str, str], ...] = ()) -> bytes:
    """The status line and headers; ``more`` is lines of headers as they go out, ``repeated`` those of names that come again."""
    lines = [f"HTTP/1.1 {status} {_PHRASES.get(status, 'Unknown')}"]
    for name, value in (*headers.items(), *repeated) if repeated else headers.items():
        if "\n" in value or "\r" in value or "\0" in value:
            for character in _UNSAFE:
                value = value.replace(character, " ")
        lines.append(f"{name}: {value}")
    lines.append(f"{more}\r\n")
    return "\r\n".join(lines).encode("utf-8", errors="replace")


class ResponseWriter:
    """Writes one response."""

    def __init__(self, request: web.BaseRequest, transport: asyncio.Transport, *, keep_alive: bool) -> None:
        self._transport = transport
        self._drain = request.writer.drain
        self._is_head = request.method == "HEAD"
        self._can_chunk = request.version > HttpVersion10
        self._keep_alive = keep_alive

    async def write(self, response: Response) -> web.StreamResponse:
        transport = self._transport
        if transport.is_closing():
            await _close_source(response)
            return CLOSE
        if response.watch is not None:
            return await self._write_watch(response)
        if response.stream is not None:
            return await self._write_stream(response)
        body = response.body or b"".join(response.slices)
        has_body = response.status != 204 and response.status != 304
        more = f"content-length: {len(body)}\r\n" if has_body else ""
        start = head(response.status, response.headers, more + self._connection(), response.repeated_headers)
        if self._is_head or not body:
            transport.write(start)
        elif len(body) <= _SLICE_BYTES:
            transport.write(start + body)
        else:
            transport.write(start)
            for offset in range(0, len(body), _SLICE_BYTES):
                transport.write(body[offset : offset + _SLICE_BYTES])
                await self._flow()
        return self._outcome()

    def _connection(self) -> str:
        if self._keep_alive:
            return "" if self._can_chunk else "connection: keep-alive\r\n"
        return "connection: close\r\n"

    def _outcome(self) -> web.StreamResponse:
        return KEEP if self._keep_alive else CLOSE

    async def _flow(self) -> None:
        """Wait while the client is slow. Raises ``TimeoutError`` when it is too slow, ``ConnectionError`` when it is gone."""
        if self._transport.is_closing():
            raise ConnectionResetError("the client has gone")
        if self._is_slow():
            async with asyncio.timeout(DRAIN_TIMEOUT_S):
                await self._drain()
        else:
            await asyncio.sleep(0)

    def _is_slow(self) -> bool:
        """The client has yet to take much of what was written. One that has gone is not asked: its buffer went with it."""
        transport = self._transport
        return not transport.is_closing() and transport.get_write_buffer_size() >= WRITE_BUFFER_BYTES

    async def _write_stream(self, response: Response) -> web.StreamResponse:
        transport, stream = self._transport, response.stream
        if stream is None:
            return CLOSE
        has_body = response.status not in (204, 304)
        is_sized = "content-length" in response.headers or not has_body
        chunked = not is_sized and self._can_chunk
        if not is_sized and not self._can_chunk:
            self._keep_alive = False
        more = "transfer-encoding: chunked\r\n" if chunked else ""
        start = head(response.status, response.headers, more + self._connection(), response.repeated_headers)
        transport.write(start)
        try:
            if has_body and not self._is_head:
                async for data in stream:
                    if data:
                        transport.write(b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)
                        await self._flow()
                if chunked:
                    transport.write(_CHUNKED_END)
        except (ConnectionError, TimeoutError):
            raise
        except Exception:
            log.exception("a streamed response broke off")
            transport.abort()
            return CLOSE
        finally:
            await _close(stream)
        return self._outcome()

    async def _write_watch(self, response: Response) -> web.StreamResponse:
        transport, watch = self._transport, response.watch
        if watch is None:
            return CLOSE
        chunked = self._can_chunk
        if not chunked:
            self._keep_alive = False
        more = "transfer-encoding: chunked\r\n" if chunked else ""
        transport.write(head(response.status, response.headers, more + self._connection()))
        try:
            if isinstance(watch, Watch):
                await self._push(watch, chunked=chunked)
            else:
                async for frames in watch:
                    self._send(frames, chunked=chunked)
                    if transport.is_closing():
                        return CLOSE
                    if self._is_slow():
                        await self._flow()
            if chunked and not transport.is_closing():
                transport.write(_CHUNKED_END)
        finally:
            await _close(watch)
        return self._outcome()

    async def _push(self, watch: Watch, *, chunked: bool) -> None:
        """Write what the watch says as it comes, without a task between; while the client is slow, at its pace."""
        transport = self._transport
        while True:
            while not watch.is_live:
                try:
                    frames = await watch.__anext__()
                except StopAsyncIteration:
                    return
                self._send(frames, chunked=chunked)
                await self._flow()
            paused: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

            def ready(paused: asyncio.Future[bool] = paused) -> None:
                frames = None if transport.is_closing() else watch.take()  # who has hung up is told nothing more
                if frames:
                    self._send(frames, chunked=chunked)
                if frames is None or self._is_slow():
                    watch.listen(None)
                    if not paused.done():
                        paused.set_result(frames is None)

            watch.listen(ready)
            if await paused:
                return
            await self._flow()

    def _send(self, frames: list[WatchFrame], *, chunked: bool) -> None:
        if self._transport.is_closing():
            return
        write = self._transport.write
        for data in _joined(frames):
            write(b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)


def _joined(frames: list[WatchFrame]) -> list[bytes]:
    """The frames' bytes in pieces that are worth a chunk each."""
    if len(frames) == 1:
        return [frames[0].data]
    pieces: list[bytes] = []
    group: list[bytes] = []
    size_bytes = 0
    for frame in frames:
        group.append(frame.data)
        size_bytes += len(frame.data)
        if size_bytes >= _SLICE_BYTES:
            pieces.append(b"".join(group))
            group, size_bytes = [], 0
    if group:
        pieces.append(b"".join(group))
    return pieces


async def _close_source(response: Response) -> None:
    for source in (response.stream, response.watch):
        if source is not None:
            await _close(source)


async def _close(source: Any) -> None:
    close = getattr(source, "aclose", None)
    if close is not None:
        await close()
