"""What happens to pods, counted: bridges workers and the kubelet's metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from steersman.aio.clock import Clock
from steersman.kubelet import podspec
from steersman.kubelet.container_status import StartFailure
from steersman.kubelet.instructions import CreateSandbox, StartContainer, Work
from steersman.kubelet.metrics import KubeletMetrics
from steersman.kubelet.pod_counts import PodState
from steersman.kubelet.pod_worker import PodWorker
from steersman.kubelet.status import TERMINAL
from steersman.kubelet.volume_stats import VolumeUsage
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.times import parse_time

_TYPES: Final[Mapping[str, str]] = {
    "app": "container", "init": "init_container", "sidecar": "init_container", "ephemeral": "ephemeral_container"
}  # fmt: skip
_LIFECYCLES: Final[Mapping[str, str]] = {"syncing": "sync", "terminating": "terminating"}


class PodMetrics:
    """One for a kubelet."""

    def __init__(self, metrics: KubeletMetrics, *, clock: Clock) -> None:
        self._metrics = metrics
        self._clock = clock
        self._first_seen_s: dict[str, float] = {}

    def added(self, uid: str) -> None:
        """The kubelet sees the pod for the first time."""
        self._first_seen_s[uid] = self._clock.now()

    def forget(self, uid: str) -> None:
        self._first_seen_s.pop(uid, None)

    def worked(self, work: Work, seconds: float, failure: StartFailure | None) -> None:
        """A worker has carried something out."""
        metrics = self._metrics
        metrics.pod_worker.labels("create" if isinstance(work, CreateSandbox) else "sync").observe(seconds)
        if isinstance(work, CreateSandbox):
            metrics.started_pods.inc()
            if failure is not None:
                metrics.started_pods_errors.inc()
        elif isinstance(work, StartContainer):
            kind = _TYPES[work.container.kind]
            metrics.started_containers.labels(kind).inc()
            if failure is not None:
                metrics.started_containers_errors.labels(kind, failure.reason).inc()

    def status_changed(self, pod: Object, status: Mapping[str, Any]) -> None:
        """A pod that runs for the first time has taken so long to start."""
        if status.get("phase") != "Running":
            return
        first_s = self._first_seen_s.pop(objects.uid(pod), None)
        if first_s is None or (pod.get("status") or {}).get("phase") == "Running":
            return
        now_s = self._clock.now()
        self._metrics.pod_start.observe(now_s - first_s)
        created = objects.metadata(pod).get("creationTimestamp")
        if created:
            self._metrics.pod_start_total.observe(max(now_s - parse_time(created), 0.0))


def pod_states(workers: Iterable[PodWorker], volumes: Callable[[str], tuple[VolumeUsage, ...]]) -> Iterable[PodState]:
    """Of every pod on the node, for a scrape."""
    for worker in workers:
        pod, record = worker.pod, worker.machine.record
        sandbox = record.sandbox
        yield PodState(
            lifecycle=_LIFECYCLES.get(worker.machine.state, "terminated"),
            static=podspec.is_static(pod),
            is_active=(worker.machine.status or {}).get("phase") not in TERMINAL,
            sandbox_runs=sandbox is not None and sandbox.state == "READY",
            containers=tuple(item.state for item in record.containers),
            ephemeral_containers=len(pod["spec"].get("ephemeralContainers") or ()),
            namespace=objects.namespace(pod),
            volumes=volumes(worker.uid),
        )
