"""A whole node agent: the kubelet and its HTTPS server, started and stopped together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from steersman.aio.clock import Clock, SystemClock
from steersman.aio.tasks import TaskGroup
from steersman.kubelet.certificates.rotation import CertificateManager
from steersman.kubelet.component import Kubelet
from steersman.kubelet.iptables_chains import IPTablesChains


class Server(Protocol):
    async def start(self) -> None: ...

    async def close(self) -> None: ...


class Agent:
    """``run`` serves from the first moment, so that health can be asked for while the kubelet still starts."""

    def __init__(
        self,
        kubelet: Kubelet,
        server: Server | None,
        *,
        certificates: Sequence[CertificateManager] = (),
        chains: IPTablesChains | None = None,
        clock: Clock | None = None,
    ) -> None:
        """``certificates``: those that are kept valid meanwhile. ``chains``: kept as well, for others on this machine."""
        self.kubelet = kubelet
        self._server = server
        self._certificates = certificates
        self._chains = chains
        self._clock = clock or SystemClock()

    def ready(self) -> bool:
        return self.kubelet.ready()

    async def run(self) -> None:
        async with TaskGroup("agent") as group:
            for manager in self._certificates:
                group.supervise(manager.run, name="certificate", clock=self._clock)
            if self._chains is not None:
                group.supervise(self._chains.run, name="iptables", clock=self._clock)
            if self._server is None:
                await self.kubelet.run()
                return
            await self._server.start()
            try:
                await self.kubelet.run()
            finally:
                await self._server.close()
