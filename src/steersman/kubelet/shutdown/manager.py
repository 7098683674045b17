"""Holds a shutdown of the machine up until the node's pods have ended, the critical ones last.

Source: the documentation's "Graceful node shutdown". Without a system bus there is nothing to hold on to: that is said
once, and the node runs on without.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol

from steersman.aio.clock import Clock
from steersman.kubelet import podspec
from steersman.kubelet.metrics import KubeletMetrics
from steersman.kubelet.shutdown.bus import Lock, ShutdownBus, ShutdownBusError
from steersman.kubelet.shutdown.history import LastShutdown, ShutdownHistory
from steersman.kubelet.shutdown.periods import ShutdownPeriod, ShutdownTurn, shutdown_turns
from steersman.kubelet.status import Verdict
from steersman.meta.objects import Object

REASON: Final = "NodeShutdown"
MESSAGE: Final = "Pod was terminated in response to imminent node shutdown."
REJECTED: Final = Verdict(reason=REASON, message="Pod was rejected as the node is shutting down.")
ENDED: Final = Verdict(reason="Terminated", message=MESSAGE, disruption=MESSAGE, keeps_success=True)
RECONNECT_S: Final = 1.0
FIRST_LOOK_S: Final = 0.1
"""Until the bus is asked whether it holds shutdowns up for longer now; twice as long each of the next times."""
LOOKS: Final = 5
log = logging.getLogger(__name__)

Connect = Callable[[], AbstractAsyncContextManager[ShutdownBus]]


class Ender(Protocol):
    def active_pods(self) -> list[Object]: ...

    async def end(self, pod: Object, verdict: Verdict, *, grace_s: float) -> bool:
        """Once nothing of it is left, or it took too long (False)."""


class ShutdownManager:
    """Needs at least one period. ``run`` until cancelled."""

    def __init__(
        self,
        *,
        periods: Sequence[ShutdownPeriod],
        connect: Connect,
        ender: Ender,
        clock: Clock,
        history: ShutdownHistory,
        announce: Callable[[str, str, str], None],
        changed: Callable[[], None],
        metrics: KubeletMetrics,
    ) -> None:
        """``announce`` an event about the node; ``changed``: its status is to be reported at once."""
        self._periods = tuple(periods)
        self._connect = connect
        self._ender = ender
        self._clock = clock
        self._history = history
        self._announce = announce
        self._changed = changed
        self._metrics = metrics
        self._lock: Lock | None = None
        self._problem = ""
        self.is_shutting_down = False

    def admit(self, pod: Mapping[str, Any]) -> Verdict | None:
        return REJECTED if self.is_shutting_down else None

    async def run(self) -> None:
        self._show(self._history.read())
        while True:
            try:
                async with self._connect() as bus:
                    await self._follow(bus)
            except ShutdownBusError as error:
                if str(error) != self._problem:
                    log.error("Unable to watch the node for shutdown events: %s", error)
                self._problem = str(error)
            finally:
                self._release()
            await self._clock.sleep(RECONNECT_S)

    async def _follow(self, bus: ShutdownBus) -> None:
        await self._get_delay(bus)
        self._lock = await bus.inhibit()
        self._problem = ""
        while True:
            self.is_shutting_down = await bus.next()
            what = "event" if self.is_shutting_down else "cancellation"
            self._announce("Normal", REASON, f"Shutdown manager detected shutdown {what}")
            self._changed()
            if self.is_shutting_down:
                try:
                    await self._end_pods()
                finally:
                    self._release()
            else:
                self._release()
                self._lock = await bus.inhibit()

    async def _get_delay(self, bus: ShutdownBus) -> None:
        wanted_s = float(sum(period.grace_s for period in self._periods))
        granted_s = await bus.longest_delay_s()
        if granted_s >= wanted_s:
            return
        await bus.ask_for_delay(wanted_s)
        for look in range(LOOKS):
            await self._clock.sleep(FIRST_LOOK_S * 2**look)
            granted_s = await bus.longest_delay_s()
            if granted_s >= wanted_s:
                return
        raise ShutdownBusError(
            f"node shutdown manager was timed out after {LOOKS} attempts waiting for logind InhibitDelayMaxSec to update"
            f" to {wanted_s:g}s (ShutdownGracePeriod), current value is {granted_s:g}s"
        )

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    async def _end_pods(self) -> None:
        began_s = self._clock.now()
        self._note(LastShutdown(began_s=began_s))
        try:
            for turn in shutdown_turns(self._periods, self._ender.active_pods()):
                await self._end_turn(turn)
        finally:
            self._note(LastShutdown(began_s=began_s, ended_s=self._clock.now()))

    async def _end_turn(self, turn: ShutdownTurn) -> None:
        """At most as long as the turn lasts: pods that need longer go on ending beside those of the next."""
        log.info("shutdown: ending %s", ", ".join(podspec.full_name(pod) for pod in turn.pods))
        ends = asyncio.gather(*self._ends(turn))
        try:
            await self._clock.wait_for(ends, turn.grace_s)
        except TimeoutError:
            log.warning("shutdown: not every pod ended within %d s", turn.grace_s)

    def _ends(self, turn: ShutdownTurn) -> Iterable[Awaitable[bool]]:
        return [self._ender.end(pod, ENDED, grace_s=turn.grace_of(pod)) for pod in turn.pods]

    def _note(self, last: LastShutdown) -> None:
        self._history.write(last)
        self._show(last)

    def _show(self, last: LastShutdown) -> None:
        self._metrics.shutdown_start.set(int(last.began_s))
        self._metrics.shutdown_end.set(int(last.ended_s))
