"""Leader election on a Lease: of several processes with one purpose, one works and the others stand by.

Follows client-go's ``tools/leaderelection``: the holder renews within ``renew_deadline_s`` or stops working; others take the
Lease over when they have seen it unrenewed for ``lease_duration_s`` on their own clock, so clocks need not agree.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable

from msgspec import Struct

from steersman.aio.clock import Clock
from steersman.aio.tasks import TaskGroup
from steersman.client.api import Client
from steersman.client.events import EventRecorder
from steersman.client.transport import Unreachable
from steersman.meta import times
from steersman.meta.errors import APIError, NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import LEASES

JITTER = 1.2
log = logging.getLogger(__name__)


class LostLeadership(Exception):
    """The Lease could not be renewed in time; whoever led must stop at once."""


class LeaderElectionConfig(Struct, frozen=True, kw_only=True):
    """Where the Lease is and how long its terms last; the defaults are upstream's."""

    name: str
    identity: str
    namespace: str = "kube-system"
    lease_duration_s: float = 15.0
    renew_deadline_s: float = 10.0
    retry_period_s: float = 2.0
    release_on_cancel: bool = True
    component: str = ""
    """Who says in an event about the Lease that it leads; empty: nobody."""

    def __post_init__(self) -> None:
        if not self.lease_duration_s > self.renew_deadline_s > self.retry_period_s * JITTER > 0:
            raise ValueError("leader election: need lease duration > renew deadline > 1.2 × retry period > 0")


class LeaderElector:
    """Competes for one Lease as one identity."""

    def __init__(self, client: Client, config: LeaderElectionConfig, *, clock: Clock, rng: random.Random) -> None:
        self._client = client
        self._config = config
        self._clock = clock
        self._rng = rng
        self._lease: Object | None = None
        self._observed: tuple[str, str] = ("", "")
        self._observed_s = 0.0
        self._leads = False
        self._renewed_s = 0.0
        """When the last successful claim was sent: others may count from then on, whenever its answer came."""

    @property
    def leads(self) -> bool:
        return self._leads

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Wait for the Lease, run ``work`` while it is held, and give it back when ``work`` ends or is cancelled.

        Raises ``LostLeadership`` when it was lost; ``work`` is cancelled before that.
        """
        await self._acquire()
        log.info("%s leads %s/%s", self._config.identity, self._config.namespace, self._config.name)
        try:
            async with TaskGroup(f"leader/{self._config.name}") as group:
                group.spawn(self._renew_for_ever(), name="renew")
                if self._config.component:
                    group.supervise(self._announcement().run, name="announcement", clock=self._clock)
                task = group.spawn(_as_coroutine(work), name="work")
                task.add_done_callback(lambda _: group.cancel())
                await group.wait()
        finally:
            self._leads = False
            if self._config.release_on_cancel:
                await self._release()

    def _announcement(self) -> EventRecorder:
        """As upstream's components tell who leads."""
        assert self._lease is not None, "it is held"
        recorder = EventRecorder(self._client, component=self._config.component, clock=self._clock)
        message = f"{self._config.identity} became leader"
        recorder.event(self._lease, LEASES, type="Normal", reason="LeaderElection", message=message)
        return recorder

    async def _acquire(self) -> None:
        while not await self._try_to_hold():
            await self._clock.sleep(self._config.retry_period_s * (1 + (JITTER - 1) * self._rng.random()))
        self._leads = True

    async def _renew_for_ever(self) -> None:
        while True:
            await self._clock.sleep(self._config.retry_period_s)
            left_s = self._renewed_s + self._config.renew_deadline_s - self._clock.monotonic()
            try:
                held = left_s > 0 and await self._clock.wait_for(self._try_to_hold(), left_s)
            except TimeoutError:
                held = False
            if not held and self._clock.monotonic() - self._renewed_s >= self._config.renew_deadline_s:
                self._leads = False
                raise LostLeadership(f"{self._config.namespace}/{self._config.name} not renewed in time")

    async def _try_to_hold(self) -> bool:
        began_s = self._clock.monotonic()
        try:
            held = await self._hold()
            if held:
                self._renewed_s = began_s
            return held
        except (APIError, Unreachable) as error:
            log.debug("lease %s: %s", self._config.name, error)
            self._lease = None
            return False

    async def _hold(self) -> bool:
        config, now_s = self._config, self._clock.now()
        lease = self._lease
        if lease is None or not self._leads:
            try:
                lease = await self._client.get(LEASES, config.name, namespace=config.namespace)
            except NotFound:
                self._lease = await self._client.create(LEASES, self._claim(None, now_s))
                return True
        spec = lease.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        seen = (holder, str(spec.get("renewTime")))
        if seen != self._observed:
            self._observed, self._observed_s = seen, self._clock.monotonic()
        duration_s = float(spec.get("leaseDurationSeconds") or config.lease_duration_s)
        if holder and holder != config.identity and self._clock.monotonic() < self._observed_s + duration_s:
            return False
        self._lease = await self._client.update(LEASES, self._claim(lease, now_s))
        return True

    def _claim(self, lease: Object | None, now_s: float) -> Object:
        config, now = self._config, times.format_micro_time(now_s)
        old = (lease or {}).get("spec") or {}
        is_renewal = old.get("holderIdentity") == config.identity
        spec = {
            **old,
            "holderIdentity": config.identity,
            "leaseDurationSeconds": int(config.lease_duration_s),
            "acquireTime": old.get("acquireTime") if is_renewal else now,
            "renewTime": now,
            "leaseTransitions": int(old.get("leaseTransitions") or 0) + (0 if is_renewal or lease is None else 1),
        }
        if lease is not None:
            return {**lease, "spec": spec}
        return {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": {"name": config.name, "namespace": config.namespace},
            "spec": spec,
        }

    async def _release(self) -> None:
        lease, self._lease = self._lease, None
        if lease is None or (lease.get("spec") or {}).get("holderIdentity") != self._config.identity:
            return
        now = times.format_micro_time(self._clock.now())
        spec = {**lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": now, "acquireTime": now}
        try:
            await self._client.update(LEASES, {**lease, "spec": spec})
        except (APIError, Unreachable) as error:
            log.info("lease %s not given back: %s", self._config.name, error)


async def _as_coroutine(work: Callable[[], Awaitable[None]]) -> None:
    await work()
