"""A transport over HTTP/1.1 with TLS: keep-alive connections, streamed bodies, bearer tokens that rotate.

Answers are not compressed: a server's time is scarcer than the network between the machines of a cluster.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from steersman.aio.clock import Clock, SystemClock
from steersman.client.api import encode
from steersman.client.connections import CONNECT_TIMEOUT_S, CONNECTION_LIMIT, ConnectionPool
from steersman.client.kubeconfig import KubeConfig
from steersman.client.transport import Transport, Unreachable
from steersman.meta.wire import Request, Response

REQUEST_TIMEOUT_S = 60.0
TOKEN_REREAD_S = 60.0


class HTTPTransport:
    """Requests to one API server as one identity. Create it on a running event loop."""

    def __init__(self, config: KubeConfig, *, clock: Clock | None = None) -> None:
        self._config = config
        self._clock = clock or SystemClock()
        self._token = config.token
        self._token_due_s = float("-inf")
        server = urlsplit(config.server)
        tls = config.ssl_context()
        host, port = server.hostname or "", server.port or (443 if tls is not None else 80)
        self._prefix = server.path.rstrip("/")
        self._authority = server.netloc.rpartition("@")[2]
        self._pool = ConnectionPool(host, port, tls=tls, server_name=config.tls_server_name)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls or True, limit=CONNECTION_LIMIT),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
            skip_auto_headers=("accept-encoding",),
            read_bufsize=1 << 18,
        )

    async def send(self, request: Request) -> Response:
        body = _body(request)
        head = self._head(request, len(body))
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                return await self._pool.request(request.method, head, body)
        except (TimeoutError, OSError) as error:
            raise self._unreachable(request, error) from error

    async def open(self, request: Request) -> Response:
        try:
            answer = await self._start(request)
            if answer.status >= 400:
                async with answer:
                    return Response(status=answer.status, headers=_headers(answer), body=await answer.read())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._unreachable(request, error) from error
        return Response(status=answer.status, headers=_headers(answer), stream=self._chunks(request, answer))

    async def close(self) -> None:
        await self._pool.close()
        await self._session.close()

    def _head(self, request: Request, length: int) -> bytes:
        """The request up to the empty line. Raises ``ValueError`` for what would end a line early."""
        lines = [
            f"{request.method} {self._prefix}{_target(request)} HTTP/1.1",
            f"host: {self._authority}",
            *(f"{name}: {value}" for name, value in self._headers(request)),
        ]
        if length or request.method in ("POST", "PUT", "PATCH"):
            lines.append(f"content-length: {length}")
        head = "\r\n".join(lines)
        if head.count("\n") != len(lines) - 1 or head.count("\r") != len(lines) - 1 or "\0" in head:
            raise ValueError(f"{request.method} {request.path}: a line break in the request's head")
        return head.encode() + b"\r\n\r\n"

    def _headers(self, request: Request) -> list[tuple[str, str]]:
        stated = dict(request.headers)
        token = self._bearer_token()
        if token:
            stated["authorization"] = f"Bearer {token}"
        headers = [*stated.items()]
        if self._config.impersonate:
            headers.append(("impersonate-user", self._config.impersonate))
            headers += [("impersonate-group", group) for group in self._config.impersonate_groups]
        return headers

    async def _start(self, request: Request) -> aiohttp.ClientResponse:
        url = URL(f"{self._config.server.rstrip('/')}{_target(request)}", encoded=True)
        options: dict[str, Any] = {}
        if self._config.tls_server_name:
            options["server_hostname"] = self._config.tls_server_name
        return await self._session.request(
            request.method,
            url,
            headers=CIMultiDict(self._headers(request)),
            data=_body(request) or None,
            allow_redirects=False,
            **options,
        )

    def _bearer_token(self) -> str:
        if self._config.token_file and self._clock.monotonic() >= self._token_due_s:
            self._token = Path(self._config.token_file).read_text().strip()
            self._token_due_s = self._clock.monotonic() + TOKEN_REREAD_S
        return self._token

    async def _chunks(self, request: Request, answer: aiohttp.ClientResponse) -> AsyncGenerator[bytes, None]:
        try:
            async for chunk in answer.content.iter_any():
                yield chunk
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._unreachable(request, error) from error
        finally:
            answer.close()

    def _unreachable(self, request: Request, error: Exception) -> Unreachable:
        return Unreachable(f"{request.method} {self._config.server}{request.path}: {error or type(error).__name__}")


def _target(request: Request) -> str:
    """Path and query as they go over the wire."""
    path = request.raw_path or quote(request.path, safe="/:@!$&'()*+,;=~-._")
    return f"{path}?{urlencode(request.query, doseq=True)}" if request.query else path


def _body(request: Request) -> bytes:
    return request.body if request.content is None else encode(request.content)


def _headers(answer: aiohttp.ClientResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in answer.headers.items()}


def _conforms(config: KubeConfig) -> Transport:
    return HTTPTransport(config)
