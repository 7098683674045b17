"""Whether the runtime can give pods a network. Until it can only those on the node's own start, as with upstream's kubelet.

Pods that wait are told so with an event at each look, and go on at the first that finds the network ready.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from steersman.aio.clock import Clock
from steersman.kubelet.instructions import Record
from steersman.kubelet.runtimes.api import RuntimeService, RuntimeServiceError, RuntimeStatus

LOOK_S = 1.0
FRESH_S = 15.0
"""A network that was ready is taken to be so for this long: the node's status looks more often than that."""


class NetworkState:
    """As the runtime last told, and asked again where that is long ago."""

    def __init__(self, runtime: RuntimeService, *, clock: Clock) -> None:
        self._runtime = runtime
        self._clock = clock
        self._problem = ""
        self._seen_s = float("-inf")

    def observe(self, status: RuntimeStatus) -> None:
        """What somebody has asked the runtime for anyway."""
        complaint = status.complaint("NetworkReady")
        self._problem = f"container runtime network not ready: {complaint}" if complaint else ""
        self._seen_s = self._clock.monotonic()

    async def wait(self, announce: Callable[[Record], None]) -> None:
        """Until a pod with a network of its own may start."""
        while problem := await self._look():
            announce(Record(type="Warning", reason="NetworkNotReady", message=f"network is not ready: {problem}"))
            await self._clock.sleep(LOOK_S)

    async def _look(self) -> str:
        """What is wrong. A runtime that does not answer has said nothing new."""
        age_s = self._clock.monotonic() - self._seen_s
        if age_s >= (LOOK_S if self._problem else FRESH_S):
            with contextlib.suppress(RuntimeServiceError):
                self.observe(await self._runtime.status())
        return self._problem
