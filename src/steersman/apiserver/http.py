"""HTTP/1.1 for a request core: bytes on sockets to ``Request`` values and ``Response`` values to bytes.

aiohttp parses requests and keeps connections; ``http_responses`` writes responses to the transport, because that is half of
the cost of a request, and because watches and large lists need their own pace (docs/architecture.md has the numbers).

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
from typing import Any
from urllib.parse import parse_qs, unquote

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestHandler

from steersman.apiserver.http_responses import CLOSE, WRITE_BUFFER_BYTES, ResponseWriter, head, write_head
from steersman.apiserver.relay import TransportConnection
from steersman.meta.wire import Handler, Peer, Request, Response

log = logging.getLogger(__name__)

HEADER_FIELD_LIMIT_BYTES = 64 * 1024
HEADER_COUNT_LIMIT = 512
IDLE_TIMEOUT_S = 90
"""Of a connection without a request, and of a request whose header does not come to an end."""
BODY_TIMEOUT_S = 30.0
"""A body has to come within this time, plus what 64 KiB/s would take."""
CUT_S = 2.0
"""How long a request that was cut may take to end."""
_BAD_ESCAPE = re.compile("%(?![0-9a-fA-F]{2})")
_PLAIN_HEADERS: Mapping[str, str] = {"content-type": "text/plain; charset=utf-8", "connection": "close"}


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
            return CLOSE
        try:
            wanted, is_whole = await self._request(request)
        except _Malformed:
            body = b"400 Bad Request"
            transport.write(head(400, _PLAIN_HEADERS, f"content-length: {len(body)}\r\n") + body)
            return CLOSE
        except ConnectionError:
            return CLOSE
        if wanted is None:
            write_head(transport, 408, {"content-length": "0", "connection": "close"})
            return CLOSE
        response = await self._handler(wanted)
        if response.upgrade is not None:
            return await self._upgrade(request, transport, response)
        keep_alive = bool(request.keep_alive) and not self.is_stopping
        if not is_whole or not request.content.is_eof():
            keep_alive = False
        writer = ResponseWriter(request, transport, keep_alive=keep_alive)
        try:
            return await writer.write(response)
        except ConnectionError:
            return CLOSE
        except TimeoutError:
            transport.abort()
            return CLOSE

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
            return CLOSE
        connection = TransportConnection(transport, on_lost=request.protocol.connection_lost)
        self._taken_over.add(connection)
        connection.take_over()
        write_head(transport, response.status, response.headers)
        self._busy -= 1  # nobody waits for its end: it may last for days
        try:
            await response.upgrade(connection)
        except ConnectionError as error:
            log.debug("upgraded connection ended: %s", error)
        finally:
            self._busy += 1
            self._taken_over.discard(connection)
            await connection.close()
        return CLOSE


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
