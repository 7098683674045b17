"""Leases of the embedded drivers: which keys hang on which lease, and the timer that ends leases not renewed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from steersman.aio.clock import Clock
from steersman.store.api import LeaseNotFound, Operation, Put, StoreUnavailable
from steersman.store.drivers.transaction import Change

log = logging.getLogger(__name__)


class LeasedKeys:
    """The leases that exist and the keys attached to each. Belongs to whatever applies transactions."""

    def __init__(self) -> None:
        self._keys: dict[int, set[str]] = {}
        self._lease_of: dict[str, int] = {}

    def grant(self, lease: int) -> None:
        self._keys.setdefault(lease, set())

    def check(self, operations: Sequence[Operation]) -> None:
        """Raises ``LeaseNotFound`` where an operation names a lease that does not exist."""
        for operation in operations:
            if isinstance(operation, Put) and operation.lease and operation.lease not in self._keys:
                raise LeaseNotFound(operation.lease)

    def attach(self, key: str, lease: int) -> None:
        """``key`` was put with ``lease`` (0: none, also when it was deleted)."""
        old = self._lease_of.pop(key, 0)
        if old:
            self._keys.get(old, set()).discard(key)
        if lease:
            self._keys[lease].add(key)
            self._lease_of[key] = lease

    def apply(self, made: Sequence[Change]) -> None:
        for change in made:
            lease = change.version.lease if change.version else 0
            if lease or change.event.key in self._lease_of:
                self.attach(change.event.key, lease)

    def revoke(self, lease: int) -> list[str]:
        """Forget ``lease``; the keys that go with it. Raises ``LeaseNotFound``."""
        if lease not in self._keys:
            raise LeaseNotFound(lease)
        keys = sorted(self._keys.pop(lease))
        for key in keys:
            del self._lease_of[key]
        return keys


class LeaseTimer:
    """Ends each lease ``ttl_s`` after its last renewal by calling ``revoke``. A restart renews every lease once."""

    def __init__(self, clock: Clock, revoke: Callable[[int], Awaitable[None]]) -> None:
        self._clock = clock
        self._revoke = revoke
        self._ttl_s: dict[int, int] = {}
        self._deadline_s: dict[int, float] = {}
        self._task: asyncio.Task[None] | None = None

    def grant(self, lease: int, ttl_s: int) -> None:
        self._ttl_s[lease] = ttl_s
        self.renew(lease)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), name="store/leases")

    def renew(self, lease: int) -> None:
        """Raises ``LeaseNotFound``."""
        if lease not in self._ttl_s:
            raise LeaseNotFound(lease)
        self._deadline_s[lease] = self._clock.monotonic() + self._ttl_s[lease]

    def forget(self, lease: int) -> None:
        """Raises ``LeaseNotFound``."""
        if self._ttl_s.pop(lease, None) is None:
            raise LeaseNotFound(lease)
        del self._deadline_s[lease]

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        """Look once a second: a lease lives in whole seconds."""
        while self._ttl_s:
            await self._clock.sleep(1.0)
            now_s = self._clock.monotonic()
            for lease in [lease for lease, deadline_s in self._deadline_s.items() if deadline_s <= now_s]:
                try:
                    await self._revoke(lease)
                except LeaseNotFound:
                    continue
                except StoreUnavailable as error:
                    log.warning("lease %d has expired but cannot be revoked now, trying again: %s", lease, error)
