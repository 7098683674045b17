"""The other end of a proxied request: plain requests as streams, upgrades as raw bytes both ways.

Nothing of a response is buffered; redirects are passed on, never followed.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import re
import socket
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Struct

from steersman.apiserver.call import Call
from steersman.apiserver.proxying.responsehead import HEAD_LIMIT_BYTES, read_body, read_head
from steersman.apiserver.relay import TransportConnection, relay
from steersman.meta.errors import APIError, BadRequest, ServiceUnavailable
from steersman.meta.wire import Connection, Response

if TYPE_CHECKING:
    import aiohttp
    from multidict import CIMultiDict

CONNECT_TIMEOUT_S = 10.0
HEAD_TIMEOUT_S = 30.0

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
_OURS = frozenset({"host", "content-length", "expect", "audit-id"})
"""Request headers that are for this server, or made anew for the next."""
_BROADCAST = ipaddress.IPv4Address("255.255.255.255")
_QUERY = re.compile(r"[!-~]*", re.ASCII)
_REPEATABLE = frozenset({"set-cookie", "www-authenticate", "proxy-authenticate", "warning", "link"})
"""Response headers of which each value goes out by itself: joined they are another or none."""

Headers = Mapping[str, str] | Iterable[tuple[str, str]]


class Target(Struct, frozen=True, kw_only=True):
    """Where a request goes. ``path`` is decoded; it is escaped here."""

    scheme: str = "http"
    host: str
    port: int
    path: str = "/"
    query: str = ""
    tls: ssl.SSLContext | None = None
    """None: the peer is not verified, as upstream does for pods and services."""
    server_name: str = ""
    """What the peer's certificate must be for; empty: ``host``."""
    host_header: str = ""
    """Empty: ``authority``."""

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def url_path(self) -> str:
        path = quote(self.path, safe="/$&+,:;=@~-._") or "/"
        return f"{path}?{self.query}" if self.query else path

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}{self.url_path}"


class BackendError(ServiceUnavailable):
    """503: the other end cannot be reached or does not speak HTTP; ``why`` in the words of Go's network errors."""

    def __init__(self, why: str) -> None:
        super().__init__(f"error trying to reach service: {why}")
        self.why = why


class Fetched(Struct, frozen=True, kw_only=True):
    """An answer that was read as a whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class DialError(APIError):
    """500 without a reason: the other end of a log or of an upgrade cannot be reached."""

    code, reason = 500, ""


def unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def check_address(address: str) -> None:
    """Raises ``BadRequest`` for addresses that a proxy must not reach: this machine, link-local, multicast."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError as error:
        raise BadRequest("address not allowed") from error
    if isinstance(parsed, ipaddress.IPv6Address):
        parsed = parsed.ipv4_mapped or parsed
    if (
        parsed.is_loopback
        or parsed.is_link_local
        or parsed.is_multicast
        or parsed.is_unspecified
        or parsed == _BROADCAST
    ):
        raise BadRequest("address not allowed")


async def check_host(host: str) -> None:
    """``check_address`` for every address of a name, or of the address that ``host`` is."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise BadRequest(f"lookup {host}: no such host") from error
    for entry in found:
        check_address(str(entry[4][0]).partition("%")[0])


def query_of(call: Call) -> str:
    """The query as it came; encoded again where it was on no wire, or has what belongs on none."""
    raw = call.request.raw_query
    if raw and _QUERY.fullmatch(raw):
        return raw
    return urlencode([(name, value) for name, values in call.request.query.items() for value in values])


def is_upgrade(call: Call) -> bool:
    return bool(call.header("upgrade")) and "upgrade" in call.header("connection").lower()


def forwarded_headers(call: Call, *, keep: frozenset[str] = frozenset()) -> dict[str, str]:
    """The request's headers without what was meant for this server; ``keep`` names exceptions."""
    named = {name.strip().lower() for name in call.header("connection").split(",")}
    found = {
        name: value
        for name, value in call.request.headers.items()
        if name in keep
        or not (name in _HOP_BY_HOP or name in _OURS or name in named or call.identity_headers.has(name))
    }
    address, forwarded_for = call.request.peer.address, found.get("x-forwarded-for", "")
    if address:
        found["x-forwarded-for"] = f"{forwarded_for}, {address}" if forwarded_for else address
    return found


def upgrade_headers(call: Call) -> dict[str, str]:
    """``forwarded_headers`` of a request that asks for an upgrade."""
    return {**forwarded_headers(call, keep=frozenset({"upgrade"})), "connection": "Upgrade"}


def response_headers(headers: Mapping[str, str]) -> dict[str, str]:
    named = {name.strip().lower() for name in headers.get("connection", "").split(",")}
    return {name: value for name, value in headers.items() if name not in _HOP_BY_HOP and name not in named}


class Backends:
    """Connections to other ends, pooled for plain requests. Closed with the server."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    @cached_property
    def _unverified(self) -> ssl.SSLContext:
        return unverified()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def request(
        self, call: Call, target: Target, *, headers: Headers | None = None, method: str = ""
    ) -> Response:
        """Pass the call on and its answer back, as a stream. Raises ``BackendError``.

        The body goes as it comes, under the length that the client stated.
        """
        from multidict import CIMultiDict

        request = call.request
        sent = CIMultiDict(forwarded_headers(call) if headers is None else headers)
        body: AsyncIterator[bytes] | bytes = request.body
        if request.body_stream is not None and not method:
            body = request.body_stream
            if request.headers.get("content-length", "").isdigit() and "transfer-encoding" not in request.headers:
                sent["content-length"] = request.headers["content-length"]
        elif request.content is not None:
            body = msgspec.json.encode(request.content)
        answer = await self._open(method or request.method, target, sent, body)
        found, repeated = _answered(answer)
        return Response(
            status=answer.status,
            headers=response_headers(found),
            repeated_headers=tuple((name, value) for name, value in repeated if name not in _HOP_BY_HOP),
            stream=_chunks(answer),
        )

    async def fetch(self, target: Target, *, headers: Headers, timeout_s: float, limit_bytes: int) -> Fetched:
        """GET all of something. Raises ``BackendError``, also for more than ``limit_bytes``."""
        from multidict import CIMultiDict

        try:
            async with asyncio.timeout(timeout_s):
                answer = await self._open("GET", target, CIMultiDict(headers), b"")
                body = b""
                try:
                    async for chunk in answer.content.iter_any():
                        body += chunk
                        if len(body) > limit_bytes:
                            raise BackendError(f"the response of {target.url} is longer than {limit_bytes} bytes")
                finally:
                    answer.close()
        except TimeoutError as error:
            raise BackendError("context deadline exceeded") from error
        return Fetched(status=answer.status, headers=_answered(answer)[0], body=body)

    async def _open(
        self, method: str, target: Target, headers: CIMultiDict[str], body: AsyncIterator[bytes] | bytes
    ) -> aiohttp.ClientResponse:
        """The answer's head; nothing is followed. Raises ``BackendError``."""
        import aiohttp  # a server that proxies nothing does without
        from yarl import URL

        headers["host"] = target.host_header or target.authority
        secure = target.scheme == "https"
        try:
            answer = await self._opened().request(
                method,
                URL(target.url, encoded=True),
                headers=headers,
                data=body or None,
                ssl=(target.tls or self._unverified) if secure else True,
                server_hostname=(target.server_name or None) if secure else None,
                allow_redirects=False,
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            )
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise BackendError(_reason(target, error)) from error
        if answer.status < 200:
            answer.close()
            raise BackendError(f"unexpected status {answer.status} of a request without an upgrade")
        return answer

    async def upgrade(self, call: Call, target: Target, *, headers: Headers | None = None) -> Response:
        """Ask the other end for the upgrade that the client wants, and let both talk. Raises ``DialError``."""
        connection = await self._connect(target)
        sent = upgrade_headers(call) if headers is None else headers
        lines = [
            f"{call.request.method} {target.url_path} HTTP/1.1",
            f"host: {_clean(target.host_header or target.authority)}",
            *(f"{name}: {_clean(value)}" for name, value in (sent.items() if isinstance(sent, Mapping) else sent)),
        ]
        if call.request.method == "POST":
            lines.append("content-length: 0")
        try:
            await connection.write("\r\n".join([*lines, "", ""]).encode("utf-8", errors="replace"))
            async with asyncio.timeout(HEAD_TIMEOUT_S):
                head = await read_head(connection)
                if head.status != 101:
                    if head.status < 400:
                        raise DialError(f"invalid upgrade response: status code {head.status}")
                    body = await read_body(connection, head)
                    await connection.close()
                    kept = response_headers(head.headers)
                    kept.pop("content-length", None)
                    return Response(status=head.status, headers=kept, body=body)
        except DialError:
            await connection.close()
            raise
        except (OSError, TimeoutError, ValueError) as error:
            await connection.close()
            raise DialError(f"error dialing backend: {_reason(target, error)}") from error
        connection.unread(head.rest)

        async def talk(client: Connection) -> None:
            await relay(client, connection)

        return Response(status=101, headers=head.headers, upgrade=talk)

    async def _connect(self, target: Target) -> TransportConnection:
        loop = asyncio.get_running_loop()
        tls = (target.tls or self._unverified) if target.scheme == "https" else None
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                transport, _ = await loop.create_connection(
                    asyncio.Protocol,
                    target.host,
                    target.port,
                    ssl=tls,
                    server_hostname=(target.server_name or target.host) if tls else None,
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


def _answered(answer: aiohttp.ClientResponse) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """(headers by lower-case name, the further values of those that must not be joined)."""
    found: dict[str, str] = {}
    repeated: list[tuple[str, str]] = []
    for name, value in answer.headers.items():
        name = name.lower()
        if name not in found:
            found[name] = value
        elif name in _REPEATABLE:
            repeated.append((name, value))
        else:
            found[name] = f"{found[name]}, {value}"
    return found, repeated


def _clean(value: str) -> str:
    return value.replace("\r", " ").replace("\n", " ")


async def _chunks(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.content.iter_any():
            yield chunk
    finally:
        answer.close()
