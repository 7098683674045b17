"""What this node takes: a pod that comes to it, and a pod that asks to be resized on it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from steersman.kubelet import admission, swap
from steersman.kubelet.admission import Findings
from steersman.kubelet.container_builder import NodeSettings
from steersman.kubelet.container_manager import ContainerManager
from steersman.kubelet.metrics import KubeletMetrics
from steersman.kubelet.node_upkeep import NodeUpkeep
from steersman.kubelet.pod_admission import Handler, PodAdmission
from steersman.kubelet.pod_ends import PodEnds
from steersman.kubelet.pod_worker import PodWorker
from steersman.kubelet.status import TERMINAL, Verdict
from steersman.meta import objects
from steersman.meta.objects import Object


class NodeAdmission:
    """Judges by the Node as last read and by what the node's other pods were granted."""

    def __init__(
        self,
        *,
        workers: Mapping[str, PodWorker],
        node: Callable[[], Object | None],
        settings: Callable[[], NodeSettings],
        upkeep: NodeUpkeep,
        containers: ContainerManager,
        ends: PodEnds,
        metrics: KubeletMetrics,
        after: Sequence[Handler] = (),
    ) -> None:
        """``after``: asked last, of pods that fit."""
        self._workers = workers
        self._node = node
        self._settings = settings
        self._upkeep = upkeep
        self._containers = containers
        self._pods = PodAdmission(
            before=(upkeep.admit, self._refused),
            allocator=containers.allocator,
            fits=lambda pod: self._findings(pod, containers.raised(pod, self._allocatable())),
            after=after,
            active_pods=ends.active_pods,
            preempt=ends.preempt,
            preempted=lambda resource: metrics.preemptions.labels(resource).inc(),
        )

    def ask(self, pod: Object) -> Verdict | Awaitable[Verdict | None] | None:
        """Whether ``pod`` may start: the answer, or what is to be awaited for it; None when it may."""
        return self._pods.ask(pod)

    def admit_resize(self, pod: Object) -> Verdict | None:
        """None where the pod, resized, could start on this node now."""
        return self._upkeep.admit(pod) or self._refused(pod) or self._findings(pod, self._allocatable()).verdict

    def refuse_resize(self, desired: Object, granted: Object) -> str:
        """Why this node never can without a restart; empty where it can."""
        return self._containers.refuse_resize(desired, granted) or swap.refuse_resize(
            desired, granted, self._settings().policy.swap
        )

    def _refused(self, pod: Mapping[str, Any]) -> Verdict | None:
        return admission.refused(pod, self._node(), self._settings().allowed_unsafe_sysctls)

    def _findings(self, pod: Mapping[str, Any], allocatable: Mapping[str, Any]) -> Findings:
        return admission.findings(pod, active=self._active(pod), node=self._node(), allocatable=allocatable)

    def _active(self, pod: Mapping[str, Any]) -> list[Object]:
        """The other pods that are not over, by what is known here: the API may not have it yet."""
        own = objects.uid(pod)
        return [
            worker.pod
            for uid, worker in self._workers.items()
            if uid != own and worker.machine.status.get("phase") not in TERMINAL
        ]

    def _allocatable(self) -> Mapping[str, Any]:
        """The node's, with what others or device plugins have put there."""
        status = (self._node() or {}).get("status") or {}
        return {**(status.get("allocatable") or {}), **self._settings().allocatable}
