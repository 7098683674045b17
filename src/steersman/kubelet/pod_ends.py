"""Ending pods for the node's sake, and waiting until they have ended."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from steersman.aio.clock import Clock
from steersman.kubelet import podspec, preemption
from steersman.kubelet.eviction.manager import REASON as EVICTED
from steersman.kubelet.eviction.messages import EvictionMessage
from steersman.kubelet.instructions import Terminate
from steersman.kubelet.pod_worker import PodWorker
from steersman.kubelet.status import TERMINAL, Verdict
from steersman.meta import objects
from steersman.meta.objects import Object

SHORTEST_WAIT_S: Final = 10.0
"""For the runtime to do what it is told, whatever the grace."""
CLEANUP_S: Final = 30.0
"""For volumes and cgroups of an evicted pod to go, before the next one is looked at."""
log = logging.getLogger(__name__)

Announce = Callable[[Object, str, str, Mapping[str, str]], None]
"""A warning about the pod: reason, message, the event's annotations."""


class PodEnds:
    """``ended`` is to be called with the uid of every pod of which nothing runs any more."""

    def __init__(self, workers: Mapping[str, PodWorker], *, clock: Clock, announce: Announce) -> None:
        self._workers = workers
        self._clock = clock
        self._announce = announce
        self._waiting: dict[str, list[asyncio.Event]] = defaultdict(list)

    def active_pods(self) -> list[Object]:
        """Those that run or may yet run something, each with its newest status."""
        return [
            {**worker.pod, "status": worker.machine.status}
            for worker in self._workers.values()
            if worker.machine.state in ("syncing", "terminating") and not _is_over(worker)
        ]

    def ended(self, uid: str) -> None:
        for event in self._waiting.pop(uid, ()):
            event.set()

    async def evict(self, pod: Object, message: EvictionMessage, *, grace_s: float, disruption: bool) -> None:
        """Because the node is short of something, or the pod uses more than it may."""
        self._announce(pod, EVICTED, message.text, message.annotations)
        verdict = Verdict(reason=EVICTED, message=message.text, disruption=message.text if disruption else "")
        await self.end(pod, verdict, grace_s=grace_s, patience_s=CLEANUP_S)

    async def preempt(self, pod: Object) -> None:
        """Because a critical pod needs its place."""
        self._announce(pod, preemption.REASON, preemption.MESSAGE, {})
        verdict = Verdict(reason=preemption.REASON, message=preemption.MESSAGE, disruption=preemption.DISRUPTION)
        grace_s = float(pod["spec"].get("terminationGracePeriodSeconds") or 0)
        await self.end(pod, verdict, grace_s=grace_s)

    async def end(self, pod: Object, verdict: Verdict, *, grace_s: float, patience_s: float = 0.0) -> bool:
        """Stop it; True when nothing of it is left, False when that takes too long (it is still being stopped then)."""
        uid = objects.uid(pod)
        worker = self._workers.get(uid)
        if worker is None or worker.is_finished:
            return True
        done = asyncio.Event()
        self._waiting[uid].append(done)
        worker.terminate(Terminate(verdict=verdict, grace_s=grace_s))
        try:
            await self._clock.wait_for(done.wait(), max(grace_s * 1.5, SHORTEST_WAIT_S) + patience_s)
        except TimeoutError:
            log.warning("%s has not ended in time", podspec.full_name(pod))
            message = "Container runtime did not kill the pod within specified grace period."
            self._announce(pod, "ExceededGracePeriod", message, {})
            return False
        return True


def _is_over(worker: PodWorker) -> bool:
    return (worker.machine.status or {}).get("phase") in TERMINAL and not any(worker.machine.record.running())


def _conforms(ends: PodEnds) -> Iterable[Object]:
    from steersman.kubelet.eviction.manager import Evictor

    evictor: Evictor = ends
    return evictor.active_pods()
