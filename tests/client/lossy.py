"""A way to the API server that a test can break."""

from __future__ import annotations

from collections.abc import Callable

from steersman.client.transport import Transport, Unreachable
from steersman.meta.wire import Request, Response


class LossyTransport:
    """Passes requests on until ``broken``; ``intercept`` may answer one itself."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self.broken = False
        self.requests: list[Request] = []
        self.intercept: Callable[[Request], Response | None] = lambda request: None

    async def send(self, request: Request) -> Response:
        return self._answer(request) or await self._inner.send(request)

    async def open(self, request: Request) -> Response:
        return self._answer(request) or await self._inner.open(request)

    async def close(self) -> None:
        await self._inner.close()

    def _answer(self, request: Request) -> Response | None:
        self.requests.append(request)
        if self.broken:
            raise Unreachable("the test has cut the line")
        return self.intercept(request)


def _conforms(inner: Transport) -> Transport:
    return LossyTransport(inner)
