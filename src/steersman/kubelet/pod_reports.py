"""What this node says of its pods: statuses to the status manager, events to the recorder."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from steersman.client.events import EventRecorder
from steersman.kubelet import podspec
from steersman.kubelet.instructions import Record
from steersman.kubelet.pod_metrics import PodMetrics
from steersman.kubelet.pod_worker import PodWorker
from steersman.kubelet.status_manager import PodOwner, StatusManager
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import PODS


class PodReports:
    """To the status manager it stands for the kubelet that runs the pods."""

    def __init__(
        self,
        *,
        statuses: StatusManager,
        recorder: EventRecorder,
        workers: Mapping[str, PodWorker],
        stored: Callable[[Object], Object | None],
        with_device_health: Callable[[str, Object], Object],
        metrics: PodMetrics,
    ) -> None:
        """``stored``: a pod (for a static pod: its mirror) as the API has it. ``with_device_health``: a pod's status with
        the health of the devices that its containers have."""
        self._statuses = statuses
        self._recorder = recorder
        self._workers = workers
        self._stored = stored
        self._with_device_health = with_device_health
        self._metrics = metrics

    def status_changed(self, pod: Object, status: Object) -> None:
        self._metrics.status_changed(pod, status)
        uid = objects.uid(pod)
        self._statuses.set(uid, self._with_device_health(uid, status), self)

    def device_health_changed(self, uids: frozenset[str]) -> None:
        """Of devices of pods with these uids."""
        for uid in uids & self._workers.keys():
            worker = self._workers[uid]
            if worker.machine.status:
                self.status_changed(worker.pod, worker.machine.status)

    def announced(self, pod: Object, record: Record) -> None:
        """An event about ``pod`` or one of its containers."""
        path = ""
        if record.container:
            container = podspec.find_container(pod, record.container)
            kind = container.kind if container is not None else "app"
            field = {"app": "containers", "ephemeral": "ephemeralContainers"}.get(kind, "initContainers")
            path = f"spec.{field}{{{record.container}}}"
        self._recorder.event(pod, PODS, type=record.type, reason=record.reason, message=record.message, field_path=path)

    def warn(self, pod: Object, reason: str, message: str, annotations: Mapping[str, str]) -> None:
        self._recorder.event(pod, PODS, type="Warning", reason=reason, message=message, annotations=annotations)

    def stored(self, uid: str) -> Object | None:
        worker = self._workers.get(uid)
        return None if worker is None else self._stored(worker.pod)

    def is_over(self, uid: str) -> bool:
        worker = self._workers.get(uid)
        return worker is None or worker.is_finished


def _conforms(reports: PodReports) -> PodOwner:
    return reports
