"""A whole node agent: the kubelet and its HTTPS server, started and stopped together."""

from __future__ import annotations

from typing import Protocol

from steersman.kubelet.component import Kubelet


class Server(Protocol):
    async def start(self) -> None: ...

    async def close(self) -> None: ...


class Agent:
    """``run`` serves from the first moment, so that health can be asked for while the kubelet still starts."""

    def __init__(self, kubelet: Kubelet, server: Server | None) -> None:
        self.kubelet = kubelet
        self._server = server

    def ready(self) -> bool:
        return self.kubelet.ready()

    async def run(self) -> None:
        if self._server is None:
            await self.kubelet.run()
            return
        await self._server.start()
        try:
            await self.kubelet.run()
        finally:
            await self._server.close()
