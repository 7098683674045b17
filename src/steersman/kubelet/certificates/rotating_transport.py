"""A transport whose identity can be replaced while it is in use."""

from __future__ import annotations

import asyncio
import logging

from steersman.client.transport import Transport
from steersman.meta.wire import Request, Response

log = logging.getLogger(__name__)


class RotatingTransport:
    """Requests go through the newest transport. The one before is closed, which ends its watches: they are taken up again
    with the new identity, so that nothing goes on for long as somebody whose certificate has run out."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._closing: set[asyncio.Task[None]] = set()

    def replace(self, transport: Transport) -> None:
        """From now on."""
        before, self._transport = self._transport, transport
        task = asyncio.get_running_loop().create_task(before.close(), name="kubelet/old identity")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def send(self, request: Request) -> Response:
        return await self._transport.send(request)

    async def open(self, request: Request) -> Response:
        return await self._transport.open(request)

    async def close(self) -> None:
        await asyncio.gather(*self._closing, return_exceptions=True)
        await self._transport.close()


def _conforms(transport: Transport) -> Transport:
    return RotatingTransport(transport)
