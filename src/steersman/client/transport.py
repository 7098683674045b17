"""The seam between a client and an API server: one request in, one response out, in bytes or as values.

``http.HTTPTransport`` goes over a socket, ``inprocess.InProcessTransport`` calls a server's core in the same process.
"""

from __future__ import annotations

from typing import Protocol

from steersman.meta.wire import Request, Response


class Unreachable(ConnectionError):
    """The API server could not be reached or the connection broke; whether the request took effect is not known."""


class Transport(Protocol):
    """Carries requests. Failures of the server are responses; failures of the way there raise ``Unreachable``."""

    async def send(self, request: Request) -> Response:
        """The response with its whole body in ``body`` (or ``content``)."""

    async def open(self, request: Request) -> Response:
        """A response whose body is not read yet: in ``stream`` or ``watch``, or in ``body`` where it was a failure.

        The caller closes ``stream`` or ``watch`` with ``aclose`` when it stops reading early.
        """

    async def close(self) -> None:
        """Release connections. Open streams end."""
