"""Requests and responses of the API as values: what the API server's core takes and gives, and what a client sends.

An HTTP adapter turns bytes on a socket into a ``Request`` and a ``Response`` into bytes; the in-process transport hands
the same values over directly. Neither side knows which it is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Protocol

from msgspec import Struct, field


class Peer(Struct, frozen=True, kw_only=True):
    """Who is at the other end of the connection, as far as the transport knows."""

    address: str = ""
    certificate_der: bytes | None = None
    """The client's verified leaf certificate, DER, where mutual TLS was done."""
    user: str = ""
    """In-process callers only: the user name the composition root vouches for (never filled from the network)."""
    groups: tuple[str, ...] = ()


class Connection(Protocol):
    """A byte stream taken over after an upgrade (exec, attach, port-forward, proxied upgrades)."""

    async def read(self) -> bytes:
        """The next bytes, at least one; empty at the end."""

    async def write(self, data: bytes) -> None:
        """Send ``data``, waiting while the peer is slow. Raises ``ConnectionError`` when it is gone."""

    async def close(self) -> None: ...


class Request(Struct, frozen=True, kw_only=True):
    """One API request."""

    method: str
    path: str
    """Decoded path without the query, e.g. ``/api/v1/namespaces/default/pods``."""
    raw_path: str = ""
    """The path as it was on the wire, percent-escapes kept, without the query; empty where ``path`` is exact."""
    query: Mapping[str, list[str]] = field(default_factory=dict)
    raw_query: str = ""
    """The query as it was on the wire; empty where the request never was on one."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Names in lower case; several values of one name are joined with ``, ``."""
    repeated_headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The single values of those names that came more than once: joined, a comma within a value could not be told."""
    body: bytes = b""
    peer: Peer = Peer()
    content: Any = None
    """In-process callers only: the decoded body (never both this and ``body``); the server treats it as immutable."""
    body_stream: AsyncIterator[bytes] | None = None
    """For proxied requests whose body must not be buffered."""

    def query_value(self, name: str) -> str:
        """The first value of a query parameter, or an empty string."""
        values = self.query.get(name)
        return values[0] if values else ""

    def header_values(self, name: str) -> tuple[str, ...]:
        """Every value of a header, one for each time that it came. ``name`` is in lower case."""
        found = self.repeated_headers.get(name)
        if found is None:
            value = self.headers.get(name)
            return () if value is None else (value,)
        return found


class WatchFrame(Struct, frozen=True, kw_only=True):
    """One event of a watch: its bytes as sent (without chunk framing), and decoded for readers in the same process."""

    type: str
    """ADDED, MODIFIED, DELETED, BOOKMARK or ERROR."""
    object: Mapping[str, Any]
    data: bytes


class PushedWatch(Protocol):
    """A watch that can also be listened to, for adapters with thousands of them: no task waits for each.

    Iterate it until ``is_live``; then, if it pays, ``listen`` and ``take`` what has come whenever ``ready`` is called.
    """

    def __aiter__(self) -> AsyncIterator[list[WatchFrame]]: ...

    async def __anext__(self) -> list[WatchFrame]: ...

    @property
    def is_live(self) -> bool: ...

    def listen(self, ready: Callable[[], None] | None) -> None:
        """Have ``ready`` called, synchronously, when there is something to ``take``; None: go on by iterating."""

    def take(self) -> list[WatchFrame] | None:
        """What has come, without waiting; None at the end."""

    async def aclose(self) -> None: ...


class Response(Struct, frozen=True, kw_only=True):
    """The answer to a request. Exactly one of ``body``, ``stream``, ``watch`` and ``upgrade`` carries it."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    repeated_headers: tuple[tuple[str, str], ...] = ()
    """Headers beyond ``headers`` that a proxied answer has more than once and that cannot be joined (``set-cookie``)."""
    body: bytes = b""
    content: Any = None
    """The decoded body for readers in the same process; shared and immutable. None where only bytes exist."""
    slices: tuple[bytes, ...] = ()
    """A large body in pieces, sent one after another after ``body`` (which is then empty)."""
    stream: AsyncIterator[bytes] | None = None
    """A body of unknown length, e.g. container logs."""
    watch: AsyncIterator[list[WatchFrame]] | PushedWatch | None = None
    """Events in batches, ending when the watch ends."""
    upgrade: Callable[[Connection], Awaitable[None]] | None = None
    """With status 101: takes over the connection's bytes until it returns."""


class Handler(Protocol):
    """An API server's core: answers a request; failures are responses too, never exceptions."""

    async def __call__(self, request: Request, /) -> Response: ...
