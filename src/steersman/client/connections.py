"""Keep-alive connections to one server, for requests whose answers are read as a whole.

What a component does most is small: bind a pod, write an event or a status. On this path a request costs a quarter of what
a general HTTP client takes for it (``bench/scheduler.py``: ``scheduler_cpu_us_per_pod``); answers that are streamed take the
general client.

Bounds: at most ``CONNECTION_LIMIT`` requests are under way, others wait in the order in which they came. Connections that
are idle for ``IDLE_S`` are closed.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from typing import cast

from steersman.client.response_reader import MalformedResponse, ResponseReader
from steersman.meta.wire import Response

CONNECTION_LIMIT = 256
CONNECT_TIMEOUT_S = 10.0
IDLE_S = 15.0
_REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
"""Methods that may be sent again where the server closed an idle connection at the moment of its use."""


class Connection(asyncio.Protocol):
    """One connection; it carries one request at a time."""

    def __init__(self) -> None:
        self.idle_since_s = 0.0
        self.is_closed = False
        self._transport: asyncio.Transport | None = None
        self._reader: ResponseReader | None = None
        self._answer: asyncio.Future[Response] | None = None

    async def exchange(self, head: bytes, body: bytes, reader: ResponseReader) -> Response:
        """Raises ``OSError`` where the connection breaks. Cut off before its end, the connection must be closed."""
        assert self._transport is not None
        self._reader = reader
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(head + body if body else head)
        return await self._answer

    def close(self) -> None:
        self.is_closed = True
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._reader is None or self._answer is None:
            self.close()
            return
        try:
            answer = self._reader.feed(data)
        except MalformedResponse as error:
            self.close()
            self._fail(error)
            return
        if answer is not None:
            self._reader = None
            if not self._answer.done():
                self._answer.set_result(answer)

    def connection_lost(self, error: Exception | None) -> None:
        self.is_closed = True
        if self._reader is None or self._answer is None or self._answer.done():
            return
        if error is not None:
            self._fail(error)
            return
        try:
            self._answer.set_result(self._reader.end())
        except MalformedResponse as incomplete:
            self._fail(incomplete)

    def _fail(self, error: Exception) -> None:
        self._reader = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)


class ConnectionPool:
    """Connections to ``host`` and ``port``, made as they are needed. Create it on a running event loop."""

    def __init__(self, host: str, port: int, *, tls: ssl.SSLContext | None, server_name: str = "") -> None:
        self._host = host
        self._port = port
        self._tls = tls
        self._server_name = server_name or host
        self._idle: deque[Connection] = deque()
        """The longest idle first."""
        self._busy: set[Connection] = set()
        self._room = asyncio.Semaphore(CONNECTION_LIMIT)
        self._sweep: asyncio.TimerHandle | None = None
        self._is_closed = False

    async def request(self, method: str, head: bytes, body: bytes) -> Response:
        """``head`` is the request up to the empty line. Raises ``OSError``, ``TimeoutError``."""
        async with self._room:
            kept = self._kept()
            if kept is not None:
                reader = ResponseReader(is_head=method == "HEAD")
                try:
                    return await self._exchange(kept, head, body, reader)
                except OSError:
                    if reader.started or method not in _REPEATABLE or self._is_closed:
                        raise
            fresh = await self._connect()
            return await self._exchange(fresh, head, body, ResponseReader(is_head=method == "HEAD"))

    async def close(self) -> None:
        """Requests that are under way fail."""
        self._is_closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        for connection in (*self._idle, *self._busy):
            connection.close()
        self._idle.clear()
        await asyncio.sleep(0)

    async def _exchange(self, connection: Connection, head: bytes, body: bytes, reader: ResponseReader) -> Response:
        self._busy.add(connection)
        is_reusable = False
        try:
            answer = await connection.exchange(head, body, reader)
            is_reusable = reader.keeps_alive
            return answer
        finally:
            self._busy.discard(connection)
            if is_reusable and not (connection.is_closed or self._is_closed):
                self._keep(connection)
            else:
                connection.close()

    async def _connect(self) -> Connection:
        server_name = self._server_name if self._tls is not None else None
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            _, connection = await asyncio.get_running_loop().create_connection(
                Connection, self._host, self._port, ssl=self._tls, server_hostname=server_name
            )
        return connection

    def _kept(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed:
                return connection
        return None

    def _keep(self, connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        connection.idle_since_s = loop.time()
        self._idle.append(connection)
        if self._sweep is None:
            self._sweep = loop.call_later(IDLE_S, self._close_idle)

    def _close_idle(self) -> None:
        loop = asyncio.get_running_loop()
        while self._idle and (self._idle[0].is_closed or loop.time() - self._idle[0].idle_since_s >= IDLE_S):
            self._idle.popleft().close()
        self._sweep = loop.call_later(IDLE_S, self._close_idle) if self._idle else None
