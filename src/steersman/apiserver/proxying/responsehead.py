"""The head of an HTTP response on a connection that may be upgraded, read without reading beyond it."""

from __future__ import annotations

import re

from msgspec import Struct

from steersman.apiserver.relay import TransportConnection

HEAD_LIMIT_BYTES = 64 * 1024
ERROR_BODY_LIMIT_BYTES = 64 * 1024
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class ResponseHead(Struct, frozen=True, kw_only=True):
    status: int
    headers: dict[str, str]
    """Names in lower case."""
    rest: bytes
    """Bytes that came after the head."""


async def read_head(connection: TransportConnection) -> ResponseHead:
    """Raises ``ValueError`` for what is no HTTP response: nothing of it may reach the client."""
    received = b""
    while b"\r\n\r\n" not in received:
        data = await connection.read()
        if not data or len(received) > HEAD_LIMIT_BYTES:
            raise ValueError("the response's head is incomplete or too long")
        received += data
    head, _, rest = received.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    words = first.split(" ", 2)
    if len(words) < 2 or words[0] not in ("HTTP/1.1", "HTTP/1.0") or not re.fullmatch("[1-9][0-9]{2}", words[1]):
        raise ValueError(f'malformed HTTP response "{first[:100]}"')
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        value = value.strip(" \t")
        if not colon or not _TOKEN.fullmatch(name) or _UNPRINTABLE.search(value):
            raise ValueError(f'malformed MIME header line: "{line[:100]}"')
        name = name.lower()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return ResponseHead(status=int(words[1]), headers=headers, rest=rest)


async def read_body(connection: TransportConnection, head: ResponseHead) -> bytes:
    """The body of an answer that upgrades nothing, as far as it is short."""
    body = head.rest
    if "transfer-encoding" in head.headers:
        if head.headers["transfer-encoding"].lower() != "chunked":
            return b""
        while b"0\r\n\r\n" not in body and len(body) < ERROR_BODY_LIMIT_BYTES:
            data = await connection.read()
            if not data:
                break
            body += data
        return _dechunked(body)
    stated = head.headers.get("content-length", "")
    limit = (
        min(int(stated), ERROR_BODY_LIMIT_BYTES) if stated.isascii() and stated.isdigit() else ERROR_BODY_LIMIT_BYTES
    )
    while len(body) < limit:
        data = await connection.read()
        if not data:
            break
        body += data
    return body[:limit]


def _dechunked(body: bytes) -> bytes:
    pieces: list[bytes] = []
    while body:
        size, _, rest = body.partition(b"\r\n")
        try:
            length = int(size.split(b";")[0], 16)
        except ValueError:
            break
        if length <= 0:
            break
        pieces.append(rest[:length])
        body = rest[length + 2 :]
    return b"".join(pieces)
