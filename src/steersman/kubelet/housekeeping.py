"""Every so often: stop what nobody owns, remove what is left over, bring volumes up to date."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from steersman.aio.clock import Clock
from steersman.kubelet import orphans
from steersman.kubelet.inspector import PodBrief
from steersman.kubelet.platform import Platform
from steersman.kubelet.pleg import Pleg
from steersman.kubelet.pod_operations import PodOperations
from steersman.kubelet.pod_worker import PodWorker
from steersman.kubelet.runtimes.api import RuntimeServiceError
from steersman.kubelet.volume_refresh import VolumeRefresh

PERIOD_S = 30.0
log = logging.getLogger(__name__)


class Housekeeping:
    """``adopt`` makes a worker for a pod that the runtime has and no source knows, so that it is stopped gracefully."""

    def __init__(
        self,
        *,
        clock: Clock,
        pleg: Pleg,
        operations: PodOperations,
        platform: Platform,
        refresh: VolumeRefresh,
        workers: Mapping[str, PodWorker],
        adopt: Callable[[PodBrief], None],
    ) -> None:
        self._clock = clock
        self._pleg = pleg
        self._operations = operations
        self._platform = platform
        self._refresh = refresh
        self._workers = workers
        self._adopt = adopt

    async def run(self) -> None:
        """At once, then every ``PERIOD_S``, until cancelled. Start it when all sources of pods are known."""
        while True:
            await self.adopt_orphans()
            self._refresh.all_soon()
            await self._clock.sleep(PERIOD_S)

    async def adopt_orphans(self) -> None:
        """Stop and remove what the runtime has of pods that no longer exist, and their folders and cgroups."""
        try:
            briefs = await self._pleg.list_once()
        except RuntimeServiceError as error:
            log.warning("cannot look for orphaned pods: %s", error)
            return
        for uid, brief in briefs.items():
            if uid not in self._workers:
                log.info("stopping orphaned pod %s/%s (%s)", brief.namespace, brief.name, uid)
                self._adopt(brief)
        if self._platform.paths is None:
            return
        for uid in await asyncio.to_thread(orphans.left_over, self._platform.paths, self._platform.cgroups):
            if uid not in briefs and uid not in self._workers:
                try:
                    await self._operations.remove_folders(uid)
                except OSError as error:
                    log.warning("cannot remove what is left of pod %s: %s", uid, error)
