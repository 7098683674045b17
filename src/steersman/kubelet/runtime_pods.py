"""What the container runtime has of this node's pods: looked at when something happens there, and told to their workers."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from steersman.aio.clock import Clock
from steersman.aio.tasks import TaskGroup
from steersman.aio.timers import Timers
from steersman.kubelet.inspector import Fingerprint, Inspector
from steersman.kubelet.metrics import KubeletMetrics
from steersman.kubelet.pleg import Pleg
from steersman.kubelet.pod_worker import PodWorker
from steersman.kubelet.probes import Spawn
from steersman.kubelet.records import PodRecord
from steersman.kubelet.runtimes.api import Runtime, RuntimeServiceError

INSPECT_AFTER_S = 0.05
"""How long news of a pod wait for more before the pod is inspected."""
INSPECT_STARTING_AFTER_S = 0.5
"""The same while something of the pod is being started, which ends with a look at all of it."""
INSPECT_RETRY_S = 0.5
log = logging.getLogger(__name__)


class RuntimePods:
    """``load`` it before the first pod comes. At most one look at a pod waits at a time."""

    def __init__(
        self,
        runtime: Runtime,
        *,
        workers: Mapping[str, PodWorker],
        clock: Clock,
        timers: Timers,
        spawn: Spawn,
        metrics: KubeletMetrics,
    ) -> None:
        self.inspector = Inspector(runtime, clock=clock)
        self.pleg = Pleg(runtime, self.inspector, clock=clock, changed=self._on_change, observe=self._on_relist)
        self._workers = workers
        self._clock = clock
        self._timers = timers
        self._spawn = spawn
        self._metrics = metrics
        self._uids: set[str] = set()

    def __contains__(self, uid: str) -> bool:
        """The runtime has something of a pod that had no worker when that was seen."""
        return uid in self._uids

    @property
    def problem(self) -> str:
        """Why the runtime's pods are not known; empty while they are."""
        return "" if self.pleg.healthy else self.pleg.error or "no listing yet"

    async def load(self) -> None:
        """Learn what runs already. Raises ``RuntimeServiceError``."""
        self._uids = set(await self.pleg.list_once())

    def add(self, uid: str) -> None:
        self._uids.add(uid)

    def discard(self, uid: str) -> None:
        """Nothing of the pod is left."""
        self._uids.discard(uid)

    def supervise(self, group: TaskGroup) -> None:
        group.supervise(self.pleg.relist, name="relist", clock=self._clock)
        group.supervise(self.pleg.follow, name="events", clock=self._clock)

    def inspect_soon(self, uid: str, delay_s: float = 0.0) -> None:
        """Tell the pod's worker what the runtime has of it, unless after a delay it has been told something newer."""
        asked_s = self._clock.monotonic()

        def inspect() -> None:
            worker = self._workers.get(uid)
            if worker is not None and (delay_s == 0 or not self._is_newer(worker.machine.record, asked_s)):
                self._spawn(self._inspect(uid), name=f"inspect/{uid}")

        self._timers.after(("inspect", uid), delay_s, inspect)

    def _is_newer(self, record: PodRecord, moment_s: float) -> bool:
        """What the worker did since, and looked at alone, may be all there was: the next listing says so."""
        if record.listed_at_s > moment_s:
            return True
        return record.taken_at_s > moment_s and self.pleg.compare_again(record.uid)

    async def _inspect(self, uid: str) -> None:
        try:
            worker = self._workers.get(uid)
            record = await self.inspector.inspect(uid, worker.known if worker is not None else None)
        except RuntimeServiceError as error:
            log.warning("cannot inspect pod %s: %s", uid, error)
            self.inspect_soon(uid, INSPECT_RETRY_S)
            return
        worker = self._workers.get(uid)
        if worker is not None:
            worker.reported(record)
            if worker.machine.record.taken_at_s > record.taken_at_s:  # and it may not have all of what was found
                self.inspect_soon(uid, INSPECT_AFTER_S)

    def _on_change(self, uid: str, fingerprint: Fingerprint | None) -> None:
        worker = self._workers.get(uid)
        if worker is None:
            self._uids.add(uid)
        elif fingerprint is None or not worker.expects(fingerprint):
            self.inspect_soon(uid, INSPECT_STARTING_AFTER_S if worker.is_starting else INSPECT_AFTER_S)

    def _on_relist(self, took_s: float, since_s: float | None) -> None:
        self._metrics.relist.observe(took_s)
        self._metrics.pleg_last_seen.set(self._clock.now())
        if since_s is not None:
            self._metrics.relist_interval.observe(since_s)
