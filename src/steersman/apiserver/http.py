"""HTTP/1.1 for a request core: bytes on sockets to ``Request`` values and ``Response`` values to bytes.

aiohttp parses requests and keeps connections; responses are written to the transport here, because that is half of the
cost of a request, and because watches and large lists need their own pace (docs/architecture.md has the numbers).

Bounds: header size and count, body size (the core refuses what is larger), the time a body may take, what may wait in a
connection's write buffer, the time a client may take to empty it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from functools import lru_cache
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, unquote

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import HttpVersion10
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestHandler

from steersman.apiserver.relay import TransportConnection
from steersman.apiserver.watching import Watch
from steersman.meta.wire import Handler, Peer, Request, Response, WatchFrame

log = logging.getLogger(__name__)

HEADER_FIELD_LIMIT_BYTES = 64 * 1024
HEADER_COUNT_LIMIT = 512
IDLE_TIMEOUT_S = 90
"""Of a connection without a request, and of a request whose header does not come to an end."""
BODY_TIMEOUT_S = 30.0
"""A body has to come within this time, plus what 64 KiB/s would take."""
DRAIN_TIMEOUT_S = 60.0
"""A client that takes nothing for so long while something waits for it is cut."""
WRITE_BUFFER_BYTES = 256 * 1024
"""What may wait in a connection's buffer before its response is held up."""
CUT_S = 2.0
"""How long a request that was cut may take to end."""
_SLICE_BYTES = 64 * 1024
_CHUNKED_END = b"0\r\n\r\n"
_UNSAFE = ("\r", "\n", "\0")
_BAD_ESCAPE = re.compile("%(?![0-9a-fA-F]{2})")
_PLAIN_HEADERS: Mapping[str, str] = {"content-type": "text/plain; charset=utf-8", "connection": "close"}

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


_KEEP = _Written(keep_alive=True)
_CLOSE = _Written(keep_alive=False)


class _Malformed(Exception):
    """The request line cannot be understood: Go's server answers 400 by itself, without a Status."""


class _Quiet(logging.Filter):
    """What malformed requests do to the log is a line for those who debug, not a traceback each."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, HttpProcessingError):
            return True
        log.debug("malformed request: %s", error)
        return False


_connections_log = logging.getLogger(f"{__name__}.connections")
_connections_log.addFilter(_Quiet())


class _Server(web.Server):
    """Remembers who is at the other end of each connection."""

    peers: dict[RequestHandler, Peer]
    changed: asyncio.Event
    """Set when a connection or a request ends, for those who wait for all of them."""

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        self.peers[handler] = _peer(transport)

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        self.peers.pop(handler, None)
        self.changed.set()
        super().connection_lost(handler, exc)


def _peer(transport: asyncio.Transport) -> Peer:
    name = transport.get_extra_info("peername")
    address = str(name[0]) if isinstance(name, tuple) and name else ""
    secured = transport.get_extra_info("ssl_object")
    certificate = secured.getpeercert(binary_form=True) if secured is not None else None
    return Peer(address=address, certificate_der=certificate)


@lru_cache(maxsize=4096)
def _parsed_query(text: str) -> Mapping[str, list[str]]:
    return parse_qs(text, keep_blank_values=True)


class HTTPServer:
    """Serves ``handler`` on any number of addresses until it is closed."""

    def __init__(self, handler: Handler, *, max_body_bytes: int, streams_body: Any = None) -> None:
        self._handler = handler
        self._max_body_bytes = max_body_bytes
        self._streams_body = streams_body or (lambda method, path: False)
        self._server: _Server | None = None
        self._listeners: list[asyncio.Server] = []
        self._taken_over: set[TransportConnection] = set()
        self._busy = 0
        self.is_stopping = False
        """Every response ends its connection: clients go elsewhere before this server closes."""

    async def listen(self, host: str, port: int, *, tls: ssl.SSLContext | None = None, backlog: int = 1024) -> int:
        """Start to accept connections; returns the port (of interest where 0 was asked for)."""
        if self._server is None:
            self._server = _Server(
                self._serve,
                handler_cancellation=True,
                access_log=None,
                logger=_connections_log,
                keepalive_timeout=IDLE_TIMEOUT_S,
                max_line_size=HEADER_FIELD_LIMIT_BYTES,
                max_field_size=HEADER_FIELD_LIMIT_BYTES,
                max_headers=HEADER_COUNT_LIMIT,
                auto_decompress=False,
                lingering_time=0.0,
            )
            self._server.peers = {}
            self._server.changed = asyncio.Event()
        options: dict[str, Any] = {"ssl": tls, "ssl_handshake_timeout": 15.0} if tls is not None else {}
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(self._server, host, port, backlog=backlog, **options)
        self._listeners.append(listener)
        found: int = listener.sockets[0].getsockname()[1]
        return found

    def stop_listening(self) -> None:
        """Accept no new connections; what comes over those that are open is still answered."""
        self.is_stopping = True
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()

    async def close(self, *, grace_s: float = 10.0, linger_s: float = 0.0) -> None:
        """Accept nothing more, let what is in work finish for ``grace_s``, then cut the rest.

        Connections over which nothing is asked at the moment are given ``linger_s`` to ask: a client that has just
        connected is about to.
        """
        self.stop_listening()
        server = self._server
        if server is None:
            return
        await self._until(lambda: not server.peers, linger_s)
        server.pre_shutdown()
        await self._until(lambda: self._busy == 0, grace_s)
        for connection in tuple(self._taken_over):
            await connection.close()
        await self._until(lambda: not server.peers, grace_s)  # what was answered is still being sent
        transports = [handler.transport for handler in server.connections]
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(server.shutdown(timeout=CUT_S), 2 * CUT_S)
        for transport in transports:
            if transport is not None:
                transport.abort()

    async def _until(self, is_done: Callable[[], bool], timeout_s: float) -> None:
        """Wait until ``is_done``, which changes when connections and requests end, for ``timeout_s`` at most."""
        server = self._server
        if server is None or timeout_s <= 0:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not is_done():
                    server.changed.clear()
                    await server.changed.wait()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        self._busy += 1
        try:
            return await self._answer(request)
        finally:
            self._busy -= 1
            if self._server is not None:
                self._server.changed.set()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        transport = request.transport
        if transport is None:
            return _CLOSE
        try:
            wanted, is_whole = await self._request(request)
        except _Malformed:
            body = b"400 Bad Request"
            transport.write(_head(400, _PLAIN_HEADERS, f"content-length: {len(body)}\r\n") + body)
            return _CLOSE
        except ConnectionError:
            return _CLOSE
        if wanted is None:
            _write_head(transport, 408, {"content-length": "0", "connection": "close"})
            return _CLOSE
        response = await self._handler(wanted)
        if response.upgrade is not None:
            return await self._upgrade(request, transport, response)
        keep_alive = bool(request.keep_alive) and not self.is_stopping
        if not is_whole or not request.content.is_eof():
            keep_alive = False
        writer = _Writer(request, transport, keep_alive=keep_alive)
        try:
            return await writer.write(response)
        except ConnectionError:
            return _CLOSE
        except TimeoutError:
            transport.abort()
            return _CLOSE

    async def _request(self, request: web.BaseRequest) -> tuple[Request | None, bool]:
        """The request, and whether all of its body was read. None where the body did not come in time.

        Raises ``_Malformed``.
        """
        raw_path, _, query = request.raw_path.partition("?")
        if not raw_path.startswith("/"):
            raw_path = "/" + raw_path.partition("://")[2].partition("/")[2]
        path = raw_path
        if "%" in raw_path:
            if _BAD_ESCAPE.search(raw_path):
                raise _Malformed
            path = unquote(raw_path)
        headers, repeated = _headers(request)
        body, is_whole, stream = b"", True, None
        if request.can_read_body:
            if headers.get("expect", "").lower() == "100-continue" and request.transport is not None:
                request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            if self._streams_body(request.method, path):
                stream, is_whole = _body_stream(request), False
            else:
                try:
                    body = await self._body(request)
                except TimeoutError:
                    return None, False
                is_whole = len(body) <= self._max_body_bytes
        server = self._server
        peer = server.peers.get(request.protocol) if server is not None else None
        wanted = Request(
            method=request.method,
            path=path,
            raw_path=raw_path if raw_path != path else "",
            query=_parsed_query(query) if query else {},
            raw_query=query,
            headers=headers,
            repeated_headers=repeated,
            body=body,
            peer=peer or Peer(),
            body_stream=stream,
        )
        return wanted, is_whole

    async def _body(self, request: web.BaseRequest) -> bytes:
        """At most one byte more than is allowed. Raises ``TimeoutError``."""
        content = request.content
        limit = self._max_body_bytes + 1
        if content.is_eof():
            return content.read_nowait()[:limit]
        chunks: list[bytes] = []
        size_bytes = 0
        timeout_s = BODY_TIMEOUT_S + self._max_body_bytes / 65536
        async with asyncio.timeout(timeout_s):
            while size_bytes < limit:
                chunk = await asyncio.wait_for(content.readany(), BODY_TIMEOUT_S) if not content.is_eof() else content.read_nowait()  # fmt: skip
                if not chunk:
                    break
                chunks.append(chunk)
                size_bytes += len(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)[:limit]

    async def _upgrade(
        self, request: web.BaseRequest, transport: asyncio.Transport, response: Response
    ) -> web.StreamResponse:
        """Write the head and hand the connection over until the response is done with it."""
        if response.upgrade is None:
            return _CLOSE
        connection = TransportConnection(transport, on_lost=request.protocol.connection_lost)
        self._taken_over.add(connection)
        connection.take_over()
        _write_head(transport, response.status, response.headers)
        self._busy -= 1  # nobody waits for its end: it may last for days
        try:
            await response.upgrade(connection)
        except ConnectionError as error:
            log.debug("upgraded connection ended: %s", error)
        finally:
            self._busy += 1
            self._taken_over.discard(connection)
            await connection.close()
        return _CLOSE


_NONE_REPEATED: Mapping[str, tuple[str, ...]] = {}


def _headers(request: web.BaseRequest) -> tuple[dict[str, str], Mapping[str, tuple[str, ...]]]:
    """(headers by lower-case name, the single values of those that came more than once)."""
    headers: dict[str, str] = {}
    repeated: dict[str, tuple[str, ...]] | None = None
    for name, value in request.headers.items():
        name = name.lower()
        if name not in headers:
            headers[name] = value
            continue
        repeated = repeated if repeated is not None else {}
        repeated[name] = (*repeated.get(name, (headers[name],)), value)
        headers[name] = f"{headers[name]}, {value}"
    return headers, _NONE_REPEATED if repeated is None else repeated


async def _body_stream(request: web.BaseRequest) -> AsyncIterator[bytes]:
    async for chunk in request.content.iter_any():
        yield chunk


def _write_head(transport: asyncio.WriteTransport, status: int, headers: Mapping[str, str]) -> None:
    transport.write(_head(status, headers, ""))


def _head(status: int, headers: Mapping[str, str], more: str, repeated: tuple[tuple[str, str], ...] = ()) -> bytes:
    lines = [f"HTTP/1.1 {status} {_PHRASES.get(status, 'Unknown')}"]
    for name, value in (*headers.items(), *repeated) if repeated else headers.items():
        if "\n" in value or "\r" in value or "\0" in value:
            for character in _UNSAFE:
                value = value.replace(character, " ")
        lines.append(f"{name}: {value}")
    lines.append(f"{more}\r\n")
    return "\r\n".join(lines).encode("utf-8", errors="replace")


class _Writer:
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
            return _CLOSE
        if response.watch is not None:
            return await self._write_watch(response)
        if response.stream is not None:
            return await self._write_stream(response)
        body = response.body or b"".join(response.slices)
        has_body = response.status != 204 and response.status != 304
        more = f"content-length: {len(body)}\r\n" if has_body else ""
        head = _head(response.status, response.headers, more + self._connection(), response.repeated_headers)
        if self._is_head or not body:
            transport.write(head)
        elif len(body) <= _SLICE_BYTES:
            transport.write(head + body)
        else:
            transport.write(head)
            for start in range(0, len(body), _SLICE_BYTES):
                transport.write(body[start : start + _SLICE_BYTES])
                await self._flow()
        return self._outcome()

    def _connection(self) -> str:
        if self._keep_alive:
            return "" if self._can_chunk else "connection: keep-alive\r\n"
        return "connection: close\r\n"

    def _outcome(self) -> web.StreamResponse:
        return _KEEP if self._keep_alive else _CLOSE

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
            return _CLOSE
        has_body = response.status not in (204, 304)
        is_sized = "content-length" in response.headers or not has_body
        chunked = not is_sized and self._can_chunk
        if not is_sized and not self._can_chunk:
            self._keep_alive = False
        more = "transfer-encoding: chunked\r\n" if chunked else ""
        head = _head(response.status, response.headers, more + self._connection(), response.repeated_headers)
        transport.write(head)
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
            return _CLOSE
        finally:
            await _close(stream)
        return self._outcome()

    async def _write_watch(self, response: Response) -> web.StreamResponse:
        transport, watch = self._transport, response.watch
        if watch is None:
            return _CLOSE
        chunked = self._can_chunk
        if not chunked:
            self._keep_alive = False
        more = "transfer-encoding: chunked\r\n" if chunked else ""
        transport.write(_head(response.status, response.headers, more + self._connection()))
        try:
            if isinstance(watch, Watch):
                await self._push(watch, chunked=chunked)
            else:
                async for frames in watch:
                    self._send(frames, chunked=chunked)
                    if transport.is_closing():
                        return _CLOSE
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
