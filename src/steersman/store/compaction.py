"""Periodic compaction: history older than one to two intervals is forgotten, as kube-apiserver does every five minutes."""

from __future__ import annotations

import logging
from collections.abc import Callable

from steersman.aio.clock import Clock
from steersman.store.api import CompactedError, Store, StoreUnavailable

log = logging.getLogger(__name__)

INTERVAL_S = 300.0
"""Upstream's ``--etcd-compaction-interval``."""


class Compactor:
    """Compacts at the revision that was current one interval ago. Several may run on one store."""

    def __init__(
        self,
        store: Store,
        *,
        clock: Clock,
        interval_s: float = INTERVAL_S,
        compacted: Callable[[int], None] = lambda revision: None,
    ) -> None:
        """``compacted`` is told the horizon, whoever has moved it."""
        self._store = store
        self._compacted = compacted
        self._clock = clock
        self._interval_s = interval_s

    async def run(self) -> None:
        """Until cancelled."""
        revision = await self._store.revision()
        while True:
            await self._clock.sleep(self._interval_s)
            try:
                current = await self._store.revision()
                if current > revision:
                    await self._store.compact(revision)
                    self._compacted(revision)
            except CompactedError as error:
                self._compacted(error.compacted)
                log.debug("someone else has compacted beyond revision %d", revision)
            except StoreUnavailable as error:
                log.warning("the store cannot be compacted now, trying again in %.0f s: %s", self._interval_s, error)
                continue
            revision = current
