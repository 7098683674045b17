"""SPDY/3.1: many streams over one byte stream, as clients and container runtimes still use it after an HTTP upgrade.

Source: the published SPDY Protocol Drafts 3 and 3.1. Left out, because its users here (client-go, kubectl, containerd,
CRI-O) neither send nor need it: flow control by WINDOW_UPDATE (accepted and ignored), SETTINGS (likewise), priorities
and server push. In place of flow control a stream that is not read stops the whole connection from being read once
``STREAM_BUFFER_BYTES`` wait in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
import zlib
from collections import deque
from collections.abc import Mapping
from typing import Final, Protocol

UPGRADE: Final = "SPDY/3.1"
STREAM_BUFFER_BYTES = 256 * 1024
"""Received and unread bytes of one stream before the connection is no longer read."""
BACKLOG = 64
"""Streams that the peer opened and nobody has accepted yet; more are refused."""
MAX_CONTROL_BYTES = 256 * 1024
MAX_DATA_BYTES = 32 * 1024
"""Largest data frame sent."""

_SYN_STREAM, _SYN_REPLY, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _HEADERS, _WINDOW_UPDATE = 1, 2, 3, 4, 6, 7, 8, 9
_FLAG_FIN = 0x01
_VERSION = 3
_HEAD = struct.Struct(">IB3s")
_U32 = struct.Struct(">I")
_PROTOCOL_ERROR, _INVALID_STREAM, _REFUSED_STREAM, _CANCEL = 1, 2, 3, 5

_LIKELY = (
    "options,head,post,put,delete,trace,accept,accept-charset,accept-encoding,accept-language,accept-ranges,age,allow,"
    "authorization,cache-control,connection,content-base,content-encoding,content-language,content-length,"
    "content-location,content-md5,content-range,content-type,date,etag,expect,expires,from,host,if-match,"
    "if-modified-since,if-none-match,if-range,if-unmodified-since,last-modified,location,max-forwards,pragma,"
    "proxy-authenticate,proxy-authorization,range,referer,retry-after,server,te,trailer,transfer-encoding,upgrade,"
    "user-agent,vary,via,warning,www-authenticate,method,get,status,200 OK,version,HTTP/1.1,url,public,set-cookie,"
    "keep-alive,origin"
)
_CODES = (
    "100 101 201 202 205 206 300 302 303 304 305 306 307 402 405 406 407 408 409 410 411 412 413 414 415 416 417 502 "
    "504 505"
).replace(" ", "")
_REST = (
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden"
    "404 Not Found500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug "
    "Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,"
    "application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdch"
    "charset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
DICTIONARY: Final = (
    b"".join(_U32.pack(len(word)) + word.encode() for word in _LIKELY.split(",")) + (_CODES + _REST).encode()
)
"""The dictionary that both sides' zlib starts from: SPDY/3's list of likely header names and values."""


class SPDYError(ConnectionError):
    """The peer broke the protocol, reset the stream, or the connection is gone."""


class ByteStream(Protocol):
    """What SPDY runs over."""

    async def read(self) -> bytes:
        """The next bytes; empty at the end."""

    async def write(self, data: bytes) -> None: ...

    async def close(self) -> None: ...


class SPDYStream:
    """One stream of a connection. Header names are lower case."""

    def __init__(self, connection: SPDYConnection, stream_id: int, headers: Mapping[str, str]) -> None:
        self.id = stream_id
        self.headers = headers
        self._connection = connection
        self._buffer: deque[bytes] = deque()
        self._buffered_bytes = 0
        self._readable = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self._remote_closed = False
        self._local_closed = False
        self._error: SPDYError | None = None

    async def read(self) -> bytes:
        """The next bytes; empty at the end. Raises ``SPDYError`` when the stream was reset."""
        while not self._buffer:
            if self._error is not None:
                raise self._error
            if self._remote_closed:
                return b""
            self._readable.clear()
            await self._readable.wait()
        data = self._buffer.popleft()
        self._buffered_bytes -= len(data)
        if self._buffered_bytes < STREAM_BUFFER_BYTES:
            self._drained.set()
        return data

    async def write(self, data: bytes) -> None:
        """Send ``data``. Raises ``SPDYError`` after ``close_write``, a reset, or the connection's end."""
        if self._error is not None:
            raise self._error
        if self._local_closed:
            raise SPDYError("stream is closed for writing")
        view = memoryview(data)
        for start in range(0, len(view), MAX_DATA_BYTES):
            await self._connection._send_data(self.id, bytes(view[start : start + MAX_DATA_BYTES]), 0)

    async def close_write(self) -> None:
        """End of what is written here; reading goes on."""
        if self._local_closed or self._error is not None:
            return
        self._local_closed = True
        await self._connection._send_data(self.id, b"", _FLAG_FIN)
        self._forget_when_done()

    async def reset(self) -> None:
        """Drop the stream in both directions."""
        if self._error is None:
            self._fail(SPDYError("stream was reset"))
            await self._connection._send_control(_RST_STREAM, 0, struct.pack(">II", self.id, _CANCEL))

    async def _deliver(self, data: bytes) -> None:
        if self._error is not None or self._remote_closed:
            return
        self._buffer.append(data)
        self._buffered_bytes += len(data)
        self._readable.set()
        if self._buffered_bytes >= STREAM_BUFFER_BYTES:
            self._drained.clear()
            await self._drained.wait()

    def _finish(self) -> None:
        self._remote_closed = True
        self._readable.set()
        self._forget_when_done()

    def _fail(self, error: SPDYError) -> None:
        if self._error is None:
            self._error = error
        self._local_closed = self._remote_closed = True
        self._readable.set()
        self._drained.set()
        self._forget_when_done()

    def _forget_when_done(self) -> None:
        if self._local_closed and self._remote_closed:
            self._connection._streams.pop(self.id, None)


class SPDYConnection:
    """One end of a connection. ``run`` reads it until it ends; streams are opened and accepted meanwhile."""

    def __init__(self, transport: ByteStream, *, server: bool) -> None:
        self._transport = transport
        self._next_id = 2 if server else 1
        self._peer_parity = 1 if server else 0
        self._streams: dict[int, SPDYStream] = {}
        self._accepted: asyncio.Queue[SPDYStream | None] = asyncio.Queue()
        self._compressor = zlib.compressobj(wbits=15, zdict=DICTIONARY)
        self._decompressor = zlib.decompressobj(wbits=15, zdict=DICTIONARY)
        self._write_lock = asyncio.Lock()
        self._inbox = bytearray()
        self._closed = False

    async def run(self) -> None:
        """Read frames until the peer ends the connection. Every stream has ended or failed when this returns.

        Raises ``SPDYError`` when the peer breaks the protocol.
        """
        try:
            while head := await self._read_head():
                word, flags, length = head
                if word & 0x8000_0000:
                    if length > MAX_CONTROL_BYTES:
                        raise SPDYError(f"control frame of {length} bytes")
                    await self._on_control(word, flags, await self._read_exactly(length))
                else:
                    await self._on_data(word, flags, length)
        except ConnectionError as error:
            self._end(error if isinstance(error, SPDYError) else SPDYError(str(error) or "connection lost"))
            if isinstance(error, SPDYError):
                raise
        finally:
            self._end(SPDYError("connection is closed"))

    async def open_stream(self, headers: Mapping[str, str]) -> SPDYStream:
        """A new stream of ours. It may be used at once; a refusal shows as its error."""
        async with self._write_lock:
            stream = SPDYStream(self, self._next_id, headers)
            self._next_id += 2
            self._streams[stream.id] = stream
            body = struct.pack(">IIBB", stream.id, 0, 0, 0) + self._pack_headers(headers)
            await self._write_frame(_SYN_STREAM, 0, body)
        return stream

    async def accept(self) -> SPDYStream | None:
        """The next stream that the peer opened; None when the connection has ended."""
        stream = await self._accepted.get()
        if stream is None:
            self._accepted.put_nowait(None)
        return stream

    async def close(self) -> None:
        """Say goodbye and end the transport."""
        if not self._closed:
            last = max((stream_id for stream_id in self._streams if stream_id % 2 == self._peer_parity), default=0)
            with contextlib.suppress(ConnectionError):
                await self._send_control(_GOAWAY, 0, struct.pack(">II", last, 0))
            self._end(SPDYError("connection is closed"))
        await self._transport.close()

    async def _read_head(self) -> tuple[int, int, int] | None:
        if not self._inbox and not await self._fill():
            return None
        word, flags, length = _HEAD.unpack(await self._read_exactly(_HEAD.size))
        return word, flags, int.from_bytes(length, "big")

    async def _read_exactly(self, count: int) -> bytes:
        while len(self._inbox) < count:
            if not await self._fill():
                raise SPDYError("connection ended inside a frame")
        data = bytes(self._inbox[:count])
        del self._inbox[:count]
        return data

    async def _fill(self) -> bool:
        data = await self._transport.read()
        self._inbox += data
        return bool(data)

    async def _on_data(self, stream_id: int, flags: int, length: int) -> None:
        """Data goes to its stream as it arrives, without waiting for the whole frame."""
        stream = self._streams.get(stream_id)
        remaining = length
        while remaining:
            if not self._inbox and not await self._fill():
                raise SPDYError("connection ended inside a frame")
            piece = bytes(self._inbox[:remaining])
            del self._inbox[: len(piece)]
            remaining -= len(piece)
            if stream is not None:
                await stream._deliver(piece)
        if stream is None:
            await self._send_control(_RST_STREAM, 0, struct.pack(">II", stream_id, _INVALID_STREAM))
        elif flags & _FLAG_FIN:
            stream._finish()

    async def _on_control(self, word: int, flags: int, body: bytes) -> None:
        if (word >> 16) & 0x7FFF != _VERSION:
            raise SPDYError(f"SPDY version {(word >> 16) & 0x7FFF} is not supported")
        kind = word & 0xFFFF
        if kind == _SYN_STREAM:
            await self._on_syn_stream(flags, body)
        elif kind in (_SYN_REPLY, _HEADERS):
            stream_id = self._stream_id(body)
            self._unpack_headers(body[4:])
            stream = self._streams.get(stream_id)
            if stream is not None and flags & _FLAG_FIN:
                stream._finish()
        elif kind == _RST_STREAM:
            stream = self._streams.get(self._stream_id(body))
            if stream is not None:
                stream._fail(SPDYError(f"stream was reset by the peer with status {int.from_bytes(body[4:8], 'big')}"))
        elif kind == _PING:
            ping = self._stream_id(body)
            if ping % 2 == self._peer_parity:
                await self._send_control(_PING, 0, body[:4])
        elif kind not in (_SETTINGS, _GOAWAY, _WINDOW_UPDATE):
            raise SPDYError(f"unknown control frame {kind}")

    async def _on_syn_stream(self, flags: int, body: bytes) -> None:
        stream_id = self._stream_id(body)
        headers = self._unpack_headers(body[10:])
        if stream_id % 2 != self._peer_parity or stream_id in self._streams:
            raise SPDYError(f"stream id {stream_id} is not the peer's to open")
        if self._accepted.qsize() >= BACKLOG or self._closed:
            await self._send_control(_RST_STREAM, 0, struct.pack(">II", stream_id, _REFUSED_STREAM))
            return
        stream = SPDYStream(self, stream_id, headers)
        self._streams[stream_id] = stream
        async with self._write_lock:
            await self._write_frame(_SYN_REPLY, 0, _U32.pack(stream_id) + self._pack_headers({}))
        if flags & _FLAG_FIN:
            stream._finish()
        self._accepted.put_nowait(stream)

    @staticmethod
    def _stream_id(body: bytes) -> int:
        if len(body) < 4:
            raise SPDYError("control frame is too short")
        return int.from_bytes(body[:4], "big") & 0x7FFF_FFFF

    def _pack_headers(self, headers: Mapping[str, str]) -> bytes:
        """To be called in the order of sending: the compressor's state is the connection's."""
        parts = [_U32.pack(len(headers))]
        for name, value in headers.items():
            for text in (name.lower().encode(), value.encode()):
                parts += (_U32.pack(len(text)), text)
        return self._compressor.compress(b"".join(parts)) + self._compressor.flush(zlib.Z_SYNC_FLUSH)

    def _unpack_headers(self, block: bytes) -> dict[str, str]:
        try:
            raw = self._decompressor.decompress(block, MAX_CONTROL_BYTES)
        except zlib.error as error:
            raise SPDYError(f"header block: {error}") from error
        if self._decompressor.unconsumed_tail:
            raise SPDYError(f"header block of more than {MAX_CONTROL_BYTES} bytes")
        texts: list[str] = []
        offset = 4
        for _ in range(2 * int.from_bytes(raw[:4], "big")):
            length = int.from_bytes(raw[offset : offset + 4], "big")
            offset += 4
            if offset + length > len(raw) or len(raw) < offset:
                raise SPDYError("header block is cut off")
            texts.append(raw[offset : offset + length].decode("utf-8", "replace"))
            offset += length
        return {name.lower(): value for name, value in zip(texts[::2], texts[1::2], strict=True)}

    async def _send_data(self, stream_id: int, data: bytes, flags: int) -> None:
        async with self._write_lock:
            if self._closed:
                raise SPDYError("connection is closed")
            await self._transport.write(_HEAD.pack(stream_id, flags, len(data).to_bytes(3, "big")) + data)

    async def _send_control(self, kind: int, flags: int, body: bytes) -> None:
        async with self._write_lock:
            await self._write_frame(kind, flags, body)

    async def _write_frame(self, kind: int, flags: int, body: bytes) -> None:
        if self._closed:
            raise SPDYError("connection is closed")
        word = 0x8000_0000 | _VERSION << 16 | kind
        await self._transport.write(_HEAD.pack(word, flags, len(body).to_bytes(3, "big")) + body)

    def _end(self, error: SPDYError) -> None:
        if self._closed:
            return
        self._closed = True
        for stream in tuple(self._streams.values()):
            if not stream._remote_closed:
                stream._fail(error)
        self._accepted.put_nowait(None)
