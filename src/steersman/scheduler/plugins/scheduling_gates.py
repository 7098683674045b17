"""SchedulingGates: pods with scheduling gates are not tried until the last gate is gone (KEP-3521)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from steersman.scheduler.cluster import Cluster
from steersman.scheduler.events import ClusterEvent, EventInterest
from steersman.scheduler.framework import EnqueuePlugin, PreEnqueuePlugin, Rejection
from steersman.scheduler.plugin_args import Args, reject_unknown
from steersman.scheduler.pod_info import PodInfo


class SchedulingGates:
    NAME: ClassVar[str] = "SchedulingGates"

    @classmethod
    def from_args(cls, args: Args) -> SchedulingGates:
        reject_unknown(args, ())
        return cls()

    def pre_enqueue(self, pod: PodInfo, cluster: Cluster) -> Rejection | None:
        if not pod.is_gated:
            return None
        gates = [str(gate.get("name")) for gate in pod.obj["spec"]["schedulingGates"]]
        return Rejection(reasons=(f"waiting for scheduling gates: [{' '.join(gates)}]",), unresolvable=True)

    def events(self) -> Sequence[EventInterest]:
        def gates_gone(pod: PodInfo, event: ClusterEvent) -> bool:
            return event.new is not None and event.new["metadata"].get("uid") == pod.uid

        return (
            EventInterest(
                resource="UnscheduledPod", actions=frozenset({"UpdatePodSchedulingGatesEliminated"}), hint=gates_gone
            ),
        )


def _conforms() -> tuple[PreEnqueuePlugin, EnqueuePlugin]:
    return SchedulingGates(), SchedulingGates()
