"""The pods of one node, each with its worker, from the first that a source says of a pod until nothing of it is left."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from msgspec import Struct
from msgspec.structs import replace

from steersman.aio.clock import Clock
from steersman.kubelet import orphans, podspec
from steersman.kubelet.allocations import Allocations
from steersman.kubelet.inspector import PodBrief
from steersman.kubelet.instructions import PodUpdated, Record, Remember, Terminate
from steersman.kubelet.metrics import KubeletMetrics
from steersman.kubelet.node_admission import NodeAdmission
from steersman.kubelet.pod_echo import is_echo
from steersman.kubelet.pod_ends import PodEnds
from steersman.kubelet.pod_metrics import PodMetrics
from steersman.kubelet.pod_operations import PodOperations
from steersman.kubelet.pod_prerequisites import PodPrerequisites
from steersman.kubelet.pod_reports import PodReports
from steersman.kubelet.pod_sources import SyncHandler
from steersman.kubelet.pod_worker import Listener, PodWorker, WorkerTools
from steersman.kubelet.probe_metrics import ProbeMetrics
from steersman.kubelet.probes import Spawn
from steersman.kubelet.records import PodRecord
from steersman.kubelet.resource_checkpoint import ResourceCheckpoints
from steersman.kubelet.runtime_pods import RuntimePods
from steersman.kubelet.runtimes.api import RuntimeServiceError
from steersman.kubelet.shared import Shared
from steersman.kubelet.status import TERMINAL, Verdict
from steersman.meta import objects
from steersman.meta.objects import Object

REMOVE_RETRY_S = 5.0
log = logging.getLogger(__name__)


class PodWorkerMetrics(Struct, frozen=True, kw_only=True):
    """Where the life of pods is counted."""

    kubelet: KubeletMetrics
    pods: PodMetrics
    probes: ProbeMetrics

    def forget(self, uid: str) -> None:
        self.pods.forget(uid)
        self.probes.forget(uid)


class PodWorkers:
    """Takes pods from their sources (``SyncHandler``) and hears of them from their workers (``Listener``)."""

    def __init__(
        self,
        workers: dict[str, PodWorker],
        *,
        clock: Clock,
        shared: Shared,
        spawn: Spawn,
        checkpoints: ResourceCheckpoints,
        prerequisites: PodPrerequisites,
        operations: PodOperations,
        runtime_pods: RuntimePods,
        admission: NodeAdmission,
        ends: PodEnds,
        reports: PodReports,
        metrics: PodWorkerMetrics,
        find_static: Callable[[str], Object | None],
    ) -> None:
        """``workers``: by pod uid, filled and emptied here; others read it. ``find_static``: as ``PodSources``'."""
        self._workers = workers
        self._clock = clock
        self._statuses = shared.statuses
        self._spawn = spawn
        self._checkpoints = checkpoints
        self._prerequisites = prerequisites
        self._operations = operations
        self._runtime_pods = runtime_pods
        self._admission = admission
        self._ends = ends
        self._reports = reports
        self._metrics = metrics
        self._find_static = find_static
        self._allocations = Allocations(
            checkpoints,
            clock=clock,
            timers=shared.timers,
            admit=admission.admit_resize,
            tell=self._tell,
            announce=reports.announced,
            refuse=admission.refuse_resize,
            accepted=lambda trigger: metrics.kubelet.deferred_accepted_resizes.labels(trigger).inc(),
        )
        self._tools: WorkerTools | None = None

    @property
    def can_work(self) -> bool:
        return self._tools is not None

    def equip(self, tools: WorkerTools) -> None:
        """Before the first pod comes."""
        self._tools = tools

    async def close(self) -> None:
        """Let go of all pods as they are; containers go on."""
        for worker in self._workers.values():
            await worker.close()

    # -- from the sources of pods (SyncHandler)

    def add(self, pod: Object) -> None:
        if objects.uid(pod) not in self._workers:
            self._add(pod)

    def update(self, pod: Object, old: Object | None) -> None:
        uid = objects.uid(pod)
        worker = self._workers.get(uid)
        if worker is None:
            self._add(pod)
        elif old is not None and is_echo(old, pod):
            worker.refresh(pod)
            self._statuses.look_again(uid)
        else:
            self._prerequisites.hold(pod)
            if old is not None and old["spec"] != pod["spec"]:
                self._metrics.pods.resize_requested(pod, old)
            self._allocations.update(pod)
            self._statuses.look_again(uid)

    def remove(self, uid: str) -> None:
        worker = self._workers.get(uid)
        if worker is not None:
            worker.terminate(Terminate())
            if worker.is_finished:
                self._remove(worker)

    def adopt(self, brief: PodBrief) -> None:
        """Stop gracefully what the runtime has and no source knows."""
        self._metrics.kubelet.orphaned_pods.inc()
        worker = self._workers[brief.uid] = PodWorker(orphans.restored_pod(brief), self._equipment())
        worker.terminate(Terminate())
        self._runtime_pods.add(brief.uid)
        self._begin(worker)

    def _equipment(self) -> WorkerTools:
        assert self._tools is not None, "pods come after the runtime was reached"
        return self._tools

    # -- admission

    def _add(self, pod: Object) -> None:
        uid = objects.uid(pod)
        desired, pod = pod, self._allocations.first(pod)
        actuated = self._checkpoints.get(uid).actuated
        worker = self._workers[uid] = PodWorker(pod, self._equipment(), actuated=actuated)
        self._metrics.pods.added(desired)
        if (pod.get("status") or {}).get("phase") not in TERMINAL:
            self._prerequisites.hold(pod)
            verdict = None
            if uid not in self._runtime_pods and not objects.is_deleting(pod):
                answer = self._admission.ask(pod)
                if isinstance(answer, Awaitable):
                    self._spawn(self._begin_when_admitted(worker, desired, answer), name=f"admit/{uid}")
                    return
                verdict = answer
            self._conclude_admission(worker, desired, verdict)
        self._begin(worker)

    async def _begin_when_admitted(self, worker: PodWorker, desired: Object, answer: Awaitable[Verdict | None]) -> None:
        verdict = await answer
        if self._workers.get(worker.uid) is worker:
            self._conclude_admission(worker, desired, verdict)
            self._begin(worker)

    def _conclude_admission(self, worker: PodWorker, desired: Object, verdict: Verdict | None) -> None:
        if verdict is not None:
            self._metrics.kubelet.admission_rejections.labels(verdict.reason).inc()
            self.announced(worker.pod, Record(type="Warning", reason=verdict.reason, message=verdict.message))
            rejected = replace(verdict, message=f"Pod was rejected: {verdict.message}")
            worker.terminate(Terminate(verdict=rejected))
        else:
            self._allocations.grant(worker.pod)
            self._allocations.adopt(desired)

    def _begin(self, worker: PodWorker) -> None:
        """Give the worker its first record: an empty one where the runtime has nothing of the pod."""
        self._metrics.pods.begun(worker.uid)
        if worker.uid in self._runtime_pods:
            self._runtime_pods.inspect_soon(worker.uid)
        else:
            pod = worker.pod
            worker.reported(
                PodRecord(
                    uid=worker.uid,
                    name=objects.name(pod),
                    namespace=objects.namespace(pod),
                    taken_at_s=(now_s := self._clock.monotonic()),
                    listed_at_s=now_s,
                )
            )

    def _tell(self, uid: str, event: PodUpdated) -> None:
        worker = self._workers.get(uid)
        if worker is not None:
            worker.update(event)

    # -- what workers say (Listener)

    def status_changed(self, pod: Object, status: Object) -> None:
        self._reports.status_changed(pod, status)

    def announced(self, pod: Object, record: Record) -> None:
        self._reports.announced(pod, record)

    def resources_set(self, uid: str, said: Remember) -> None:
        try:
            self._checkpoints.set_actuated(uid, said.actuated, as_granted=said.as_granted)
        except OSError as error:
            log.warning("cannot write down the resources of pod %s: %s", uid, error)
        self._allocations.retry("pod_resized")

    def finished(self, uid: str) -> None:
        worker = self._workers[uid]
        self._ends.ended(uid)
        self._allocations.retry("pod_terminated")
        self._prerequisites.release(uid)
        if worker.machine.is_gone:
            self._remove(worker)
        else:  # of a pod that an earlier kubelet wrote the last status of, this is the first word
            self.status_changed(worker.pod, worker.machine.status)

    # -- the end

    def _remove(self, worker: PodWorker) -> None:
        self._spawn(self._remove_until_gone(worker), name=f"remove/{objects.key_of(worker.pod)}")

    async def _remove_until_gone(self, worker: PodWorker) -> None:
        """And begin anew where a static pod of the same uid is back."""
        while True:
            try:
                machine = worker.machine
                record = await self._runtime_pods.inspector.inspect(worker.uid, machine.record)
                await self._operations.remove(worker.pod, record, stopped=machine.stopped_sandboxes)
                break
            except (RuntimeServiceError, OSError) as error:
                log.warning("cannot remove what is left of %s: %s", podspec.full_name(worker.pod), error)
                await self._clock.sleep(REMOVE_RETRY_S)
        uid = worker.uid
        await worker.close()
        self._workers.pop(uid, None)
        self._allocations.forget(uid)
        self._metrics.forget(uid)
        self._runtime_pods.discard(uid)
        self._statuses.forget(uid)
        static = self._find_static(uid)
        if static is not None:
            self._metrics.kubelet.restarted_pods.labels("true").inc()
            self._add(static)


def _conforms(workers: PodWorkers) -> tuple[SyncHandler, Listener]:
    return workers, workers
