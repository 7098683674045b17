"""The other end of a proxied request: plain requests as streams, upgrades as raw bytes both ways.

Nothing of a response is buffered; redirects are passed on, never followed.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from steersman.apiserver.call import Call
from steersman.apiserver.relay import TransportConnection, relay
from steersman.meta.errors import APIError, BadRequest, ServiceUnavailable
from steersman.meta.wire import Connection, Response

if TYPE_CHECKING:
    import aiohttp

CONNECT_TIMEOUT_S = 10.0
HEAD_TIMEOUT_S = 30.0
HEAD_LIMIT_BYTES = 64 * 1024
ERROR_BODY_LIMIT_BYTES = 64 * 1024

_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_OURS = frozenset({"authorization", "host", "content-length", "expect", "audit-id"})
"""Request headers that are for this server, or made anew for the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a request goes. ``path`` is decoded; it is escaped here."""

    scheme: str = "http"
    host: str
    port: int
    path: str = "/"
    query: str = ""
    tls: ssl.SSLContext | None = None
    """None: the peer is not verified, as upstream does for pods and services."""

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def url_path(self) -> str:
        path = quote(self.path, safe="/!$&'()*+,;=:@~%-._") or "/"
        return f"{path}?{self.query}" if self.query else path

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}{self.url_path}"


class BackendError(ServiceUnavailable):
    """503: the other end cannot be reached or does not speak HTTP; ``why`` in the words of Go's network errors."""

    def __init__(self, why: str) -> None:
        super().__init__(f"error trying to reach service: {why}")
        self.why = why


class DialError(APIError):
    """500 without a reason: the other end of a log or of an upgrade cannot be reached."""

    code, reason = 500, ""


def unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def check_address(address: str) -> None:
    """Raises ``BadRequest`` for addresses that a proxy must not reach: this machine, link-local, multicast."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError as error:
        raise BadRequest("address not allowed") from error
    if parsed.is_loopback or parsed.is_link_local or parsed.is_multicast or parsed.is_unspecified:
        raise BadRequest("address not allowed")


def query_of(call: Call) -> str:
    """The query as it came, encoded again."""
    return urlencode([(name, value) for name, values in call.request.query.items() for value in values])


def is_upgrade(call: Call) -> bool:
    return bool(call.header("upgrade")) and "upgrade" in call.header("connection").lower()


def forwarded_headers(call: Call, *, keep: frozenset[str] = frozenset()) -> dict[str, str]:
    """The request's headers without what was meant for this server; ``keep`` names exceptions."""
    named = {name.strip().lower() for name in call.header("connection").split(",")}
    return {
        name: value
        for name, value in call.request.headers.items()
        if name in keep
        or (name not in _HOP_BY_HOP and name not in _OURS and name not in named and not name.startswith("impersonate-"))
    }


def response_headers(headers: Mapping[str, str]) -> dict[str, str]:
    named = {name.strip().lower() for name in headers.get("connection", "").split(",")}
    return {name: value for name, value in headers.items() if name not in _HOP_BY_HOP and name not in named}


class Backends:
    """Connections to other ends, pooled for plain requests. Closed with the server."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def request(
        self, call: Call, target: Target, *, headers: Mapping[str, str] | None = None, method: str = ""
    ) -> Response:
        """Pass the call on and its answer back, as a stream. Raises ``BackendError``."""
        import aiohttp  # a server that proxies nothing does without
        from yarl import URL

        session = self._opened()
        sent = dict(forwarded_headers(call) if headers is None else headers)
        sent["host"] = target.authority
        has_body = call.request.body_stream is not None or bool(call.request.body)
        options = {"data": call.request.body_stream or call.request.body} if has_body else {}
        try:
            answer = await session.request(
                method or call.request.method,
                URL(target.url, encoded=True),
                headers=sent,
                ssl=(target.tls or unverified()) if target.scheme == "https" else True,
                allow_redirects=False,
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
                **options,  # type: ignore[arg-type]
            )
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise BackendError(_reason(target, error)) from error
        found: dict[str, str] = {}
        for name, value in answer.headers.items():
            name = name.lower()
            found[name] = f"{found[name]}, {value}" if name in found and name != "set-cookie" else value
        return Response(status=answer.status, headers=response_headers(found), stream=_chunks(answer))

    async def upgrade(self, call: Call, target: Target, *, headers: Mapping[str, str] | None = None) -> Response:
        """Ask the other end for the upgrade that the client wants, and let both talk. Raises ``DialError``."""
        connection = await self._connect(target)
        keep = frozenset({"connection", "upgrade"})
        sent = dict(forwarded_headers(call, keep=keep) if headers is None else headers)
        sent["host"] = target.authority
        lines = [
            f"{call.request.method} {target.url_path} HTTP/1.1",
            *(f"{name}: {_clean(v)}" for name, v in sent.items()),
        ]
        if call.request.method == "POST":
            lines.append("content-length: 0")
        try:
            await connection.write("\r\n".join([*lines, "", ""]).encode("latin-1", errors="replace"))
            async with asyncio.timeout(HEAD_TIMEOUT_S):
                status, answered, rest = await _read_head(connection)
                if status != 101:
                    return await _refused(connection, status, answered, rest)
        except (OSError, TimeoutError, ValueError) as error:
            await connection.close()
            raise DialError(f"error dialing backend: {_reason(target, error)}") from error
        connection.unread(rest)

        async def talk(client: Connection) -> None:
            await relay(client, connection)

        return Response(status=101, headers=answered, upgrade=talk)

    async def _connect(self, target: Target) -> TransportConnection:
        loop = asyncio.get_running_loop()
        tls = (target.tls or unverified()) if target.scheme == "https" else None
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                transport, _ = await loop.create_connection(
                    asyncio.Protocol, target.host, target.port, ssl=tls, server_hostname=target.host if tls else None
                )
        except (OSError, TimeoutError) as error:
            raise DialError(f"error dialing backend: {_reason(target, error)}") from error
        connection = TransportConnection(transport)
        connection.take_over()
        return connection

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            import aiohttp

            self._session = aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
                connector=aiohttp.TCPConnector(limit=0),
                max_line_size=HEAD_LIMIT_BYTES,
                max_field_size=HEAD_LIMIT_BYTES,
            )
        return self._session


def _reason(target: Target, error: BaseException) -> str:
    """Why ``target`` could not be reached, as upstream's messages have it."""
    cause: BaseException | None = getattr(error, "os_error", error)
    match cause:
        case socket.gaierror():
            return f"dial tcp: lookup {target.host}: no such host"
        case TimeoutError():
            return f"dial tcp {target.authority}: i/o timeout"
        case ssl.SSLError():
            return f"tls: {cause.reason or cause}"
        case OSError(errno=int(number)):
            return f"dial tcp {target.authority}: connect: {os.strerror(number).lower()}"
        case _:
            return str(error) or type(error).__name__


def _clean(value: str) -> str:
    return value.replace("\r", " ").replace("\n", " ")


async def _chunks(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.content.iter_any():
            yield chunk
    finally:
        answer.close()


async def _read_head(connection: TransportConnection) -> tuple[int, dict[str, str], bytes]:
    """(status, headers, bytes after the head). Raises ``ValueError`` for what is no HTTP response."""
    head = b""
    while b"\r\n\r\n" not in head:
        data = await connection.read()
        if not data or len(head) > HEAD_LIMIT_BYTES:
            raise ValueError("the response's head is incomplete or too long")
        head += data
    head, _, rest = head.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    words = first.split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdigit():
        raise ValueError("the response is no HTTP/1.1")
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return int(words[1]), headers, rest


async def _refused(connection: TransportConnection, status: int, headers: dict[str, str], body: bytes) -> Response:
    """The other end does not upgrade: its answer, as far as it is short."""
    length = int(headers.get("content-length") or ERROR_BODY_LIMIT_BYTES)
    while len(body) < min(length, ERROR_BODY_LIMIT_BYTES):
        data = await connection.read()
        if not data:
            break
        body += data
    await connection.close()
    kept = {name: value for name, value in response_headers(headers).items() if name != "content-length"}
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = _dechunked(body)
    return Response(status=status, headers=kept, body=body)


def _dechunked(body: bytes) -> bytes:
    pieces: list[bytes] = []
    while body:
        size, _, rest = body.partition(b"\r\n")
        try:
            length = int(size.split(b";")[0], 16)
        except ValueError:
            break
        if not length:
            break
        pieces.append(rest[:length])
        body = rest[length + 2 :]
    return b"".join(pieces)
