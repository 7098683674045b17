"""A transport over HTTP/1.1 with TLS: keep-alive connections, streamed bodies, bearer tokens that rotate.

Answers are not compressed: a server's time is scarcer than the network between the machines of a cluster.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from steersman.aio.clock import Clock, SystemClock
from steersman.client.api import encode
from steersman.client.deadlines import SWEEP_S, Deadlines, Limited
from steersman.client.kubeconfig import KubeConfig
from steersman.client.transport import Transport, Unreachable
from steersman.meta.wire import Request, Response

REQUEST_TIMEOUT_S = 60.0
CONNECT_TIMEOUT_S = 10.0
TOKEN_REREAD_S = 60.0
CONNECTION_LIMIT = 256
IDLE_S = 60.0
"""How long a connection is kept for the next request: a handshake costs as much as ten, and servers wait longer (90 s)."""
_PATH_PUNCTUATION = "/:@!$&'()*+,;=~-._"
_is_plain = re.compile(rf"[A-Za-z0-9{re.escape(_PATH_PUNCTUATION)}]*").fullmatch
"""Nearly every path: nothing in it has to be escaped."""


class HTTPTransport:
    """Requests to one API server as one identity. Create it on a running event loop."""

    def __init__(
        self, config: KubeConfig, *, clock: Clock | None = None, request_timeout_s: float = REQUEST_TIMEOUT_S
    ) -> None:
        self._config = config
        self._deadlines = Deadlines(request_timeout_s, sweep_s=min(SWEEP_S, request_timeout_s))
        self._clock = clock or SystemClock()
        self._token = config.token
        self._token_due_s = float("-inf")
        self._base = URL(config.server, encoded=True)
        self._base_path = self._base.raw_path.rstrip("/")
        self._options = {"server_hostname": config.tls_server_name} if config.tls_server_name else {}
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                ssl=config.ssl_context() or True, limit=CONNECTION_LIMIT, keepalive_timeout=IDLE_S
            ),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=1 << 18,
        )

    async def send(self, request: Request) -> Response:
        try:
            with Limited(self._deadlines):
                async with self._session.request(**self._arguments(request)) as answer:
                    return Response(status=answer.status, headers=answer.headers, body=await answer.read())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._unreachable(request, error) from error

    async def open(self, request: Request) -> Response:
        try:
            answer = await self._session.request(**self._arguments(request))
            if answer.status >= 400:
                async with answer:
                    return Response(status=answer.status, headers=answer.headers, body=await answer.read())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._unreachable(request, error) from error
        return Response(status=answer.status, headers=answer.headers, stream=self._chunks(request, answer))

    async def close(self) -> None:
        self._deadlines.close()
        await self._session.close()

    def _arguments(self, request: Request) -> dict[str, Any]:
        """For ``ClientSession.request``."""
        url = self._base.with_path(self._base_path + (request.raw_path or _quoted(request.path)), encoded=True)
        if request.query:
            url = URL(f"{url}?{urlencode(request.query, doseq=True)}", encoded=True)
        return {
            "method": request.method,
            "url": url,
            "headers": self._headers(request),
            "data": request.body or None if request.content is None else encode(request.content),
            "allow_redirects": False,
            **self._options,
        }

    def _headers(self, request: Request) -> Mapping[str, str]:
        headers = {"accept-encoding": "identity", **request.headers}
        token = self._bearer_token()
        if token:
            headers["authorization"] = f"Bearer {token}"
        if not self._config.impersonate:
            return headers
        several = CIMultiDict(headers)
        several["impersonate-user"] = self._config.impersonate
        for group in self._config.impersonate_groups:
            several.add("impersonate-group", group)
        return several

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


def _quoted(path: str) -> str:
    return path if _is_plain(path) else quote(path, safe=_PATH_PUNCTUATION)


def _conforms(config: KubeConfig) -> Transport:
    return HTTPTransport(config)
