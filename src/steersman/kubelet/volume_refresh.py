"""Brings volumes up to date under running pods: when an object that they show changes, and every so often for tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from steersman.aio.timers import Timers
from steersman.kubelet.instructions import Record
from steersman.kubelet.pod_worker import PodWorker
from steersman.kubelet.probes import Spawn
from steersman.kubelet.volume_manager import MountFailed, PodVolumes
from steersman.meta import objects
from steersman.meta.objects import Object

GATHER_S = 0.05
"""How long a change waits for more, so that objects that change together are written together."""


class VolumeRefresh:
    """Repeats ``mount`` for pods whose volumes follow the API."""

    def __init__(
        self,
        *,
        volumes: PodVolumes,
        workers: Mapping[str, PodWorker],
        timers: Timers,
        spawn: Spawn,
        announce: Callable[[Object, Record], None],
    ) -> None:
        self._volumes = volumes
        self._workers = workers
        self._timers = timers
        self._spawn = spawn
        self._announce = announce

    def all_soon(self) -> None:
        for uid in self._workers:
            self.soon(uid)

    def reference_changed(self, uid: str) -> None:
        """An object that the pod names is another now; the worker is told too, for what waits for that object."""
        worker = self._workers.get(uid)
        if worker is not None and worker.machine.state == "syncing":
            worker.reference_changed()
            self.soon(uid)

    def soon(self, uid: str) -> None:
        """Refresh the pod's volumes shortly, if they are mounted and follow anything."""
        worker = self._workers.get(uid)
        if worker is not None and worker.machine.mounted and self._volumes.refreshes(worker.pod):
            self._timers.after(("refresh", uid), GATHER_S, lambda: self._begin(uid))

    def _begin(self, uid: str) -> None:
        worker = self._workers.get(uid)
        if worker is not None:
            self._spawn(self._refresh(worker), name=f"refresh/{objects.key_of(worker.pod)}")

    async def _refresh(self, worker: PodWorker) -> None:
        """What a volume shows of an object that is gone stays as it is."""
        try:
            async with worker.volumes_lock:
                if worker.machine.mounted:
                    await self._volumes.mount(worker.pod, worker.machine.record.ips)
        except MountFailed as error:
            for message in error.messages:
                self._announce(worker.pod, Record(type="Warning", reason="FailedMount", message=message))
