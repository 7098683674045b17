"""One GET as an ``httpGet`` action of a probe or a hook describes it, with the rules of the client that upstream uses.

A client of its own, because that of the API transport is neither: redirects stay on the host, certificates are not
checked, headers may be sent twice or be left out, and what a hostile server answers is bounded.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import os
import ssl
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote, urljoin, urlsplit

from msgspec import Struct
from msgspec.structs import replace

BODY_LIMIT_BYTES: Final = 10 * 1024
HEAD_LIMIT_BYTES: Final = 256 * 1024
REDIRECT_LIMIT: Final = 10
FOLLOWED: Final = (301, 302, 303, 307, 308)
FRAMING: Final = frozenset({"Host", "User-Agent", "Content-Length", "Transfer-Encoding", "Trailer"})
"""Headers that the client itself is responsible for."""
PATH_SAFE: Final = "/%!$&'()*+,;=:@~-._"


class HTTPAnswer(OSError):
    """An HTTPS request was answered in plain HTTP."""


class Request(Struct, frozen=True, kw_only=True):
    """A GET."""

    scheme: str
    host: str
    port: int
    path: str
    """With its query, encoded."""
    headers: tuple[tuple[str, str], ...] = ()
    host_header: str = ""
    """Empty: what the URL says."""

    @property
    def address(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.address}{self.path}"

    def in_plain(self) -> Request:
        """The same without TLS, and without credentials."""
        return replace(self, scheme="http", headers=tuple(item for item in self.headers if item[0] != "Authorization"))


class Response(Struct, frozen=True, kw_only=True):
    status: int
    body: str
    location: str = ""


def request_of(action: Mapping[str, Any], *, host: str, port: int, agent: str) -> Request:
    """``host`` counts where the action names none."""
    headers: dict[str, list[str]] = {}
    for entry in action.get("httpHeaders") or ():
        headers.setdefault(canonical(entry["name"]), []).append(entry.get("value") or "")
    named = {name: values[0] for name, values in headers.items()}
    sent = [("User-Agent", named.get("User-Agent", agent))] if named.get("User-Agent", agent) else []
    if "Accept" not in headers:
        headers["Accept"] = ["*/*"]
    elif not named["Accept"]:
        del headers["Accept"]
    sent += [(name, value) for name in sorted(headers) if name not in FRAMING for value in headers[name]]
    return Request(
        scheme=(action.get("scheme") or "HTTP").lower(),
        host=action.get("host") or host,
        port=port,
        path=_path(action.get("path") or ""),
        headers=tuple(sent),
        host_header=named.get("Host", ""),
    )


def canonical(name: str) -> str:
    """A header's name as it is usually written: ``x-forwarded-for`` is ``X-Forwarded-For``."""
    return "-".join(part[:1].upper() + part[1:].lower() for part in name.split("-"))


def _path(path: str) -> str:
    """Path and query of what is meant for a URL's path; one that no URL could have is encoded whole."""
    query = ""
    if not any(ord(char) < 0x20 or ord(char) == 0x7F for char in path):
        try:
            parts = urlsplit(path)
        except ValueError:
            pass
        else:
            path, query = parts.path, parts.query
    encoded = quote(path, safe=PATH_SAFE)
    slash = "" if encoded.startswith("/") else "/"
    return f"{slash}{encoded}?{query}" if query else f"{slash}{encoded}"


async def get(request: Request) -> Response:
    """Redirects are followed as long as they stay on the host. Raises ``OSError``."""
    first = request
    for _ in range(REDIRECT_LIMIT):
        response = await _once(request)
        if response.status not in FOLLOWED or not response.location:
            return response
        target = urlsplit(urljoin(request.url, response.location))
        if target.hostname != first.host or target.scheme not in ("http", "https"):
            return response
        same_place = not urlsplit(response.location).scheme
        headers = tuple(item for item in request.headers if item[0] != "Referer")
        if not (request.scheme == "https" and target.scheme == "http"):
            headers += (("Referer", request.url),)
        request = replace(
            request,
            scheme=target.scheme,
            port=target.port or (443 if target.scheme == "https" else 80),
            path=_path(f"{target.path}?{target.query}" if target.query else target.path),
            headers=headers,
            host_header=first.host_header if same_place else "",
        )
    raise OSError(f"stopped after {REDIRECT_LIMIT} redirects")


async def connect(
    host: str, port: int, *, tls: ssl.SSLContext | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Raises ``OSError`` in the words of Go."""
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        return await asyncio.open_connection(host, port, ssl=tls, limit=HEAD_LIMIT_BYTES)
    except ssl.SSLError as error:
        if error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"):
            raise HTTPAnswer("http: server gave HTTP response to HTTPS client") from error
        raise OSError(f"tls: {error.reason or error}") from error
    except OSError as error:
        number = _errno(error)
        said = f"connect: {os.strerror(number).lower()}" if number else str(error)
        raise OSError(f"dial tcp {address}: {said}") from error


def _errno(error: OSError) -> int | None:
    """Several addresses that failed alike say so in text only."""
    if error.errno:
        return error.errno
    return next((number for number in (errno.ECONNREFUSED,) if f"Errno {number}" in str(error)), None)


async def _once(request: Request) -> Response:
    lines = _lines(request)
    tls = _unchecked_tls() if request.scheme == "https" else None
    reader, writer = await connect(request.host, request.port, tls=tls)
    try:
        writer.write("".join(f"{line}\r\n" for line in (*lines, "")).encode())
        await writer.drain()
        status, fields = await _head(reader)
        while 100 <= status < 200 and status != 101:
            status, fields = await _head(reader)
        body = await _body(reader, fields)
    except (ValueError, asyncio.IncompleteReadError) as error:
        raise OSError("malformed HTTP response") from error
    finally:
        writer.close()
    return Response(status=status, body=body.decode(errors="replace"), location=fields.get("location", ""))


def _lines(request: Request) -> Iterable[str]:
    yield f"GET {request.path} HTTP/1.1"
    for name, value in (("Host", request.host_header or request.address), *request.headers):
        if any((ord(char) < 0x20 and char != "\t") or ord(char) == 0x7F for char in value):
            raise OSError(f'net/http: invalid header field value for "{name}"')
        yield f"{name}: {value.strip()}"
    if not any(name == "Connection" for name, _ in request.headers):
        yield "Connection: close"


async def _head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    """Status and headers. A bare line feed ends a line too, as in Go's client: CGI scripts write them."""
    lines: list[str] = []
    left_bytes = HEAD_LIMIT_BYTES
    while True:
        line = await reader.readline()
        left_bytes -= len(line)
        if left_bytes < 0:
            raise OSError(f"server response headers exceeded {HEAD_LIMIT_BYTES} bytes; aborted")
        if not line:
            raise OSError("EOF")
        text = line.decode("latin-1").rstrip("\r\n")
        if not text:
            break
        lines.append(text)
    words = lines[0].split(" ", 2) if lines else [""]
    if len(words) < 2 or not words[0].startswith("HTTP/") or not words[1].isdigit():
        raise OSError(f'malformed HTTP response "{" ".join(words)}"')
    fields = (line.partition(":") for line in lines[1:])
    return int(words[1]), {name.strip().lower(): value.strip() for name, _, value in fields}


async def _body(reader: asyncio.StreamReader, fields: Mapping[str, str]) -> bytes:
    """Its beginning."""
    if fields.get("transfer-encoding", "").lower() == "chunked":
        return await _chunks(reader)
    limit = BODY_LIMIT_BYTES
    if fields.get("content-length", "").isdigit():
        limit = min(limit, int(fields["content-length"]))
    body = b""
    while len(body) < limit:
        part = await reader.read(limit - len(body))
        if not part:
            break
        body += part
    return body


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while len(body) < BODY_LIMIT_BYTES:
        size = int((await reader.readline()).partition(b";")[0], 16)
        if size <= 0:
            break
        body += await reader.readexactly(min(size, BODY_LIMIT_BYTES - len(body)))
        if len(body) < BODY_LIMIT_BYTES:
            await reader.readline()
    return body


@functools.cache
def _unchecked_tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
