"""API servers on one store, which stop and start again while clients use them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from steersman.aio.clock import SystemClock
from steersman.apiserver.component import APIServer
from steersman.apiserver.config import APIServerConfig, ServiceNetwork
from steersman.client.api import Client
from steersman.client.inprocess import InProcessTransport
from steersman.client.transport import Transport, Unreachable
from steersman.meta.wire import Request, Response
from steersman.store.api import Store

WINDOW_EVENTS = 25
"""So few that watches and past lists often need the Store's history."""
CONFIG = APIServerConfig(
    reconcile_endpoints=False,
    services=ServiceNetwork(cidrs=("10.96.0.0/27",), node_ports=(30000, 30009)),
)


class Door:
    """The way to one server: shut before it stops, so that none asks a server that is no more.

    What was let in is answered first, as a server that serves sockets does.
    """

    def __init__(self, inside: Transport) -> None:
        self._inside = inside
        self._is_shut = False
        self._visitors = 0
        self._empty = asyncio.Event()
        self._empty.set()

    async def send(self, request: Request) -> Response:
        async with self._visit():
            return await self._inside.send(request)

    async def open(self, request: Request) -> Response:
        async with self._visit():
            return await self._inside.open(request)

    async def close(self) -> None:
        return None

    async def shut(self) -> None:
        self._is_shut = True
        await self._empty.wait()

    @asynccontextmanager
    async def _visit(self) -> AsyncIterator[None]:
        if self._is_shut:
            raise Unreachable("the server is being restarted")
        self._visitors += 1
        self._empty.clear()
        try:
            yield
        finally:
            self._visitors -= 1
            if not self._visitors:
                self._empty.set()


class World:
    """``count`` servers on the store that ``open_store`` opens anew for each."""

    def __init__(self, open_store: Callable[[], Store], *, count: int = 1) -> None:
        self._open_store = open_store
        self._count = count
        self._doors: list[Door] = []
        self._stores: list[Store] = []
        self._starts = 0
        self.servers: list[APIServer] = []
        self.clients: list[Client] = []

    async def start(self) -> None:
        for _ in range(self._count):
            await self._add(len(self.servers))

    async def close(self) -> None:
        for server in self.servers:
            await server.close()

    def store(self) -> Store:
        """As the first server has it open."""
        return self._stores[0]

    async def restart(self, index: int) -> None:
        """Requests under way are answered, watches end; a new server opens the store again."""
        await self._doors[index].shut()
        await self.servers[index].close()
        await self._add(index)

    async def compact(self, revision: int) -> None:
        """As each server's compactor does it, a little before the others' get to know."""
        await self.store().compact(revision)
        self.servers[0].objects.compacted(revision)

    async def _add(self, index: int) -> None:
        self._starts += 1
        store = self._open_store()
        server = APIServer(store=store, clock=SystemClock(), config=CONFIG, rng=random.Random(self._starts))
        server.objects._cache.window.capacity = WINDOW_EVENTS
        await server.start()
        door = Door(InProcessTransport(server.handle))
        self._stores[index : index + 1] = [store]
        self.servers[index : index + 1] = [server]
        self._doors[index : index + 1] = [door]
        self.clients[index : index + 1] = [Client(door)]


def _conforms(inside: Transport) -> Transport:
    return Door(inside)
