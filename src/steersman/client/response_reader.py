"""One HTTP/1.1 response out of the bytes of a connection (RFC 9112). No I/O."""

from __future__ import annotations

import re

from steersman.meta.wire import Response

HEAD_LIMIT_BYTES = 64 * 1024
_FIELD = re.compile(r"\r\n([!-9;-~]+):[ \t]*([^\r\n]*?)[ \t]*(?=\r\n|\Z)")
_HEXADECIMAL = re.compile(rb"[0-9A-Fa-f]{1,16}")
_NO_BODY = frozenset({204, 304})


class MalformedResponse(ConnectionError):
    """What came is no HTTP response."""


class ResponseReader:
    """Feed it bytes until it gives the response; it takes no byte of what follows for its own."""

    __slots__ = (
        "_body",
        "_buffer",
        "_headers",
        "_is_chunked",
        "_is_head",
        "_left",
        "_status",
        "keeps_alive",
        "started",
    )

    def __init__(self, *, is_head: bool = False) -> None:
        self._buffer = bytearray()
        self._body = bytearray()
        self._is_head = is_head
        """The request was HEAD: its answer has no body whatever it says."""
        self._headers: dict[str, str] | None = None
        self._status = 0
        self._is_chunked = False
        self._left: int | None = 0
        """Bytes of the body, or of the current chunk, that are still to come; None: up to the end of the connection."""
        self.keeps_alive = False
        """Known with the response: the connection can carry another request."""
        self.started = False
        """Some bytes have come."""

    def feed(self, data: bytes) -> Response | None:
        """The response once it is complete. Raises ``MalformedResponse``."""
        self.started = True
        self._buffer += data
        while self._headers is None:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                if len(self._buffer) > HEAD_LIMIT_BYTES:
                    raise MalformedResponse("the response's head is too long")
                return None
            head = self._buffer[:end].decode("latin-1")
            del self._buffer[: end + 4]
            self._read_head(head)
        if self._is_chunked:
            return self._read_chunks()
        if self._left is None:
            self._body += self._buffer
            self._buffer.clear()
            return None
        if len(self._buffer) < self._left:
            return None
        with memoryview(self._buffer) as received:
            body = bytes(received[: self._left])
        return self._complete(body, followed=len(self._buffer) > self._left)

    def end(self) -> Response:
        """The connection ended. Raises ``MalformedResponse`` where the response is not complete."""
        if self._headers is None or self._left is not None:
            raise MalformedResponse("the server closed the connection")
        return self._complete(bytes(self._body), followed=False)

    def _read_head(self, head: str) -> None:
        """Interim responses (1xx) are passed over."""
        first, _, _ = head.partition("\r\n")
        version, _, rest = first.partition(" ")
        status = rest[:3]
        if version not in ("HTTP/1.1", "HTTP/1.0") or len(status) != 3 or not (status.isascii() and status.isdigit()):
            raise MalformedResponse(f"malformed HTTP response {first[:100]!r}")
        if status[0] == "1":
            return
        fields = _FIELD.findall(head)
        if len(fields) != head.count("\r\n"):
            raise MalformedResponse(f"malformed header among {head[len(first) : len(first) + 200]!r}")
        headers = {name.lower(): value for name, value in fields}
        if len(headers) < len(fields):
            headers = {}
            for name, value in fields:
                name = name.lower()
                headers[name] = f"{headers[name]}, {value}" if name in headers else value
        self._status, self._headers = int(status), headers
        self._read_framing(version, headers)

    def _read_framing(self, version: str, headers: dict[str, str]) -> None:
        connection = headers.get("connection", "").lower()
        self.keeps_alive = "close" not in connection and (version == "HTTP/1.1" or "keep-alive" in connection)
        if self._is_head or self._status in _NO_BODY:
            return
        coding = headers.get("transfer-encoding")
        length = headers.get("content-length")
        if coding is not None:
            if coding.lower() != "chunked":
                raise MalformedResponse(f"unsupported transfer encoding {coding!r}")
            self._is_chunked = True
        elif length is None:
            self._left, self.keeps_alive = None, False
        elif length.isascii() and length.isdigit():
            self._left = int(length)
        else:
            raise MalformedResponse(f"malformed content-length {length!r}")

    def _read_chunks(self) -> Response | None:
        """A chunk is taken as a whole, its size line again each time until it is there; then the trailers, passed over."""
        while True:
            end = self._buffer.find(b"\r\n")
            if end < 0:
                if len(self._buffer) > HEAD_LIMIT_BYTES:
                    raise MalformedResponse("a chunk's head is too long")
                return None
            stated = bytes(self._buffer[:end]).partition(b";")[0].strip()
            if not _HEXADECIMAL.fullmatch(stated):
                raise MalformedResponse(f"malformed chunk size {stated[:100]!r}")
            size = int(stated, 16)
            if size == 0:
                return self._read_trailers(end)
            whole = end + 2 + size + 2
            if len(self._buffer) < whole:
                return None
            if self._buffer[whole - 2 : whole] != b"\r\n":
                raise MalformedResponse("a chunk does not end where it should")
            self._body += self._buffer[end + 2 : whole - 2]
            del self._buffer[:whole]

    def _read_trailers(self, end: int) -> Response | None:
        if self._buffer[end + 2 : end + 4] == b"\r\n":
            over = end + 4
        else:
            over = self._buffer.find(b"\r\n\r\n", end + 2) + 4
            if over < 4:
                return None
        return self._complete(bytes(self._body), followed=len(self._buffer) > over)

    def _complete(self, body: bytes, *, followed: bool) -> Response:
        """Bytes that nobody asked for make the connection useless."""
        assert self._headers is not None
        self.keeps_alive = self.keeps_alive and not followed
        return Response(status=self._status, headers=self._headers, body=body)
