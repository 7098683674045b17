"""What happens to pods, counted: bridges workers and the kubelet's metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from msgspec import Struct

from steersman.aio.clock import Clock
from steersman.kubelet import podspec
from steersman.kubelet.allocation import resizable
from steersman.kubelet.container_status import StartFailure
from steersman.kubelet.images import ImageObserver
from steersman.kubelet.instructions import CreateSandbox, ResizePod, StartContainer, Work
from steersman.kubelet.metrics import KubeletMetrics
from steersman.kubelet.pod_conditions import resize_of
from steersman.kubelet.pod_counts import PodState
from steersman.kubelet.pod_operations import OperationsObserver
from steersman.kubelet.pod_worker import ObserveWork, PodWorker
from steersman.kubelet.status import TERMINAL
from steersman.kubelet.volume_stats import VolumeUsage
from steersman.kubelet.volumes.api import MountedVolume
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.quantities import quantity
from steersman.meta.times import parse_time

_TYPES: Final[Mapping[str, str]] = {
    "app": "container", "init": "init_container", "sidecar": "init_container", "ephemeral": "ephemeral_container"
}  # fmt: skip
_TERMINATIONS: Final = (("initContainerStatuses", "init_container"), ("containerStatuses", "container"))
_LIFECYCLES: Final[Mapping[str, str]] = {"syncing": "sync", "terminating": "terminating"}
_STATELESS: Final = frozenset(("secret", "configMap", "downwardAPI", "emptyDir", "projected"))


class _Start(Struct):
    """A pod on its way to run for the first time."""

    seen_s: float
    has_begun: bool = False
    runs: bool = False
    pulling_s: float = 0.0


class PodMetrics:
    """One for a kubelet. Bounded by the number of its pods."""

    def __init__(self, kubelet: KubeletMetrics, *, clock: Clock) -> None:
        self.kubelet = kubelet
        self._clock = clock
        self._starts: dict[str, _Start] = {}
        self._terminated: dict[str, frozenset[str]] = {}
        """Containers that the last status has as terminated."""
        self._has_seen_network = False

    def added(self, pod: Object) -> None:
        """The kubelet sees the pod for the first time; one that another kubelet had begun with is not timed."""
        uid, status = objects.uid(pod), pod.get("status") or {}
        self._terminated[uid] = frozenset(_terminated(status))
        if not status.get("startTime"):
            self._starts[uid] = _Start(self._clock.now())

    def begun(self, uid: str) -> None:
        """The pod's worker goes to work."""
        start = self._starts.get(uid)
        if start is not None and not start.has_begun:
            start.has_begun = True
            self.kubelet.pod_worker_start.observe(self._clock.now() - start.seen_s)

    def forget(self, uid: str) -> None:
        self._starts.pop(uid, None)
        self._terminated.pop(uid, None)

    def worked(self, pod: Object, work: Work, seconds: float, failure: StartFailure | None) -> None:
        """A worker has carried something out."""
        metrics = self.kubelet
        metrics.pod_worker.labels("create" if isinstance(work, CreateSandbox) else "sync").observe(seconds)
        if isinstance(work, CreateSandbox):
            has_users = pod["spec"].get("hostUsers") is False
            metrics.started_pods.inc()
            metrics.user_namespaced_pods.inc(int(has_users))
            if failure is not None:
                metrics.started_pods_errors.inc()
                metrics.user_namespaced_pods_errors.inc(int(has_users))
        elif isinstance(work, StartContainer):
            kind = _TYPES[work.container.kind]
            metrics.started_containers.labels(kind).inc()
            if failure is not None:
                metrics.started_containers_errors.labels(kind, failure.reason).inc()
        elif isinstance(work, ResizePod):
            metrics.resize_durations.labels(str(failure is None).lower()).observe(seconds * 1000)

    def sandbox_made(self, handler: str, seconds: float, failed: bool) -> None:
        """The runtime was asked for one."""
        self.kubelet.sandbox_durations.labels(handler).observe(seconds)
        if failed:
            self.kubelet.sandbox_errors.labels(handler).inc()

    def image_volume_prepared(self, failed: bool) -> None:
        """A container mounts it, or cannot."""
        metrics = self.kubelet
        metrics.image_volumes_requested.inc()
        (metrics.image_volume_errors if failed else metrics.image_volumes_mounted).inc()

    def image_ensured(self, policy: str, *, present: bool | None, pulled: bool | None) -> None:
        self.kubelet.image_ensured(policy, present=present, pulled=pulled)

    def image_pulled(self, uid: str, size_bytes: int, seconds: float) -> None:
        self.kubelet.image_pulled(size_bytes, seconds)
        if uid in self._starts:
            self._starts[uid].pulling_s += seconds

    def resize_requested(self, new: Object, old: Object) -> None:
        """What a pod's containers ask for may have changed."""
        before = {container.name: container.spec for container in resizable(old)}
        for container in resizable(new):
            wanted = container.spec.get("resources") or {}
            had = before.get(container.name, {}).get("resources") or {}
            for resource in ("memory", "cpu"):
                for requirement in ("requests", "limits"):
                    operation = _operation(wanted.get(requirement), had.get(requirement), resource)
                    if operation:
                        self.kubelet.requested_resizes.labels(resource, requirement, operation).inc()

    def status_changed(self, pod: Object, status: Mapping[str, Any]) -> None:
        """Counts containers that ended, and times a pod that runs for the first time."""
        uid = objects.uid(pod)
        self._count_terminations(uid, status)
        start = self._starts.get(uid)
        if start is None:
            return
        now_s = self._clock.now()
        if status.get("phase") == "Running" and not start.runs:
            start.runs = True
            self.kubelet.pod_start.observe(now_s - start.seen_s)
        if status.get("phase") in TERMINAL or _all_run(status):
            del self._starts[uid]
            created = objects.metadata(pod).get("creationTimestamp")
            if created and status.get("phase") not in TERMINAL:
                self._observe_start(pod, status, start, now_s - parse_time(created))

    def _observe_start(self, pod: Object, status: Mapping[str, Any], start: _Start, total_s: float) -> None:
        self.kubelet.pod_start_total.observe(max(total_s, 0.0))
        volumes = pod["spec"].get("volumes") or ()
        if any(_STATELESS.isdisjoint(volume) for volume in volumes):
            return
        sli_s = max(total_s - start.pulling_s - _initialization_s(status), 0.0)
        self.kubelet.pod_start_sli.observe(sli_s)
        if not podspec.is_host_network(pod) and not self._has_seen_network:
            self._has_seen_network = True
            self.kubelet.first_network_pod_start_sli.set(sli_s)

    def _count_terminations(self, uid: str, status: Mapping[str, Any]) -> None:
        terminated, before = _terminated(status), self._terminated.get(uid, frozenset())
        for name, (kind, state) in terminated.items():
            if name not in before:
                labels = kind, str(state.get("exitCode", 0)), str(state.get("reason") or "")
                self.kubelet.terminated_containers.labels(*labels).inc()
        self._terminated[uid] = frozenset(terminated)


def _terminated(status: Mapping[str, Any]) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """By container: its type and how it ended."""
    return {
        entry["name"]: (kind, entry["state"]["terminated"])
        for field, kind in _TERMINATIONS
        for entry in status.get(field) or ()
        if (entry.get("state") or {}).get("terminated")
    }


def _all_run(status: Mapping[str, Any]) -> bool:
    entries = status.get("containerStatuses") or ()
    return bool(entries) and all((entry.get("state") or {}).get("running") for entry in entries)


def _initialization_s(status: Mapping[str, Any]) -> float:
    """How long init containers ran that have ended."""
    ends = ((entry.get("state") or {}).get("terminated") or {} for entry in status.get("initContainerStatuses") or ())
    return sum(
        parse_time(end["finishedAt"]) - parse_time(end["startedAt"])
        for end in ends
        if end.get("startedAt") and end.get("finishedAt")
    )


def _operation(new: Mapping[str, Any] | None, old: Mapping[str, Any] | None, resource: str) -> str:
    """Empty where nothing changes."""
    wanted, had = quantity((new or {}).get(resource, 0)), quantity((old or {}).get(resource, 0))
    if wanted == had:
        return ""
    if not wanted or not had:
        return "add" if wanted else "remove"
    return "increase" if wanted > had else "decrease"


def pod_states(
    workers: Iterable[PodWorker],
    volumes: Callable[[str], tuple[VolumeUsage, ...]],
    mounted: Callable[[str], Mapping[str, MountedVolume]],
) -> Iterable[PodState]:
    """Of every pod on the node, for a scrape."""
    for worker in workers:
        pod, record = worker.pod, worker.machine.record
        sandbox = record.sandbox
        pending, progress = resize_of(worker.machine.status or {})
        yield PodState(
            lifecycle=_LIFECYCLES.get(worker.machine.state, "terminated"),
            static=podspec.is_static(pod),
            is_active=(worker.machine.status or {}).get("phase") not in TERMINAL,
            sandbox_runs=sandbox is not None and sandbox.state == "READY",
            containers=tuple(item.state for item in record.containers),
            ephemeral_containers=len(pod["spec"].get("ephemeralContainers") or ()),
            namespace=objects.namespace(pod),
            volumes=volumes(worker.uid),
            volume_kinds=tuple(_volume_kind(volume) for volume in pod["spec"].get("volumes") or ()),
            mounted_kinds=tuple(
                _volume_kind(volume)
                for volume in pod["spec"].get("volumes") or ()
                if volume["name"] in mounted(worker.uid)
            ),
            pending_resize=pending.reason.lower() if pending is not None else "",
            is_resizing=progress is not None,
        )


def _volume_kind(volume: Mapping[str, Any]) -> str:
    return next((field for field in volume if field != "name"), "emptyDir")


def _conforms(metrics: PodMetrics) -> tuple[ImageObserver, OperationsObserver, ObserveWork]:
    return metrics, metrics, metrics.worked
