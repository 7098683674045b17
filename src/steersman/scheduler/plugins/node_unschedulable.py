"""NodeUnschedulable: nodes with ``spec.unschedulable`` take only pods that tolerate the taint of that name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from steersman.scheduler.cluster import Cluster
from steersman.scheduler.events import ClusterEvent, EventInterest
from steersman.scheduler.framework import SKIP, Codes, EnqueuePlugin, FilterPlugin, PreFilterPlugin, Rejection
from steersman.scheduler.label_column import Rows
from steersman.scheduler.node_table import NodeTable
from steersman.scheduler.plugin_args import Args, reject_unknown
from steersman.scheduler.pod_info import PodInfo
from steersman.scheduler.taints import TAINT_UNSCHEDULABLE, Taint, Tolerations, is_tolerated, tolerations_of

_TAINT = Taint(TAINT_UNSCHEDULABLE, "", "NoSchedule")
_REJECTION = Rejection(reasons=("node(s) were unschedulable",), unresolvable=True)


class NodeUnschedulable:
    NAME: ClassVar[str] = "NodeUnschedulable"
    LOCAL: ClassVar[bool] = True
    READS_PODS: ClassVar[bool] = False

    @classmethod
    def from_args(cls, args: Args) -> NodeUnschedulable:
        reject_unknown(args, ())
        return cls()

    def pre_filter(self, pod: PodInfo, cluster: Cluster) -> Any:
        return SKIP if _tolerates(pod.template.tolerations) else None

    def filter(self, state: Any, table: NodeTable, rows: Rows) -> Codes:
        return table.unschedulable[rows].astype(np.int64)

    def rejection(self, state: Any, code: int) -> Rejection:
        return _REJECTION

    def events(self) -> Sequence[EventInterest]:
        return (
            EventInterest(resource="Node", actions=frozenset({"Add", "UpdateNodeTaint"}), hint=_node_opened),
            EventInterest(
                resource="UnscheduledPod", actions=frozenset({"UpdatePodToleration"}), hint=_pod_tolerates_now
            ),
        )


def _tolerates(tolerations: Tolerations) -> bool:
    return is_tolerated(_TAINT, tolerations)


def _node_opened(pod: PodInfo, event: ClusterEvent) -> bool:
    def closed(node: Any) -> bool:
        return bool((node.get("spec") or {}).get("unschedulable"))

    return (event.old is None or closed(event.old)) and not closed(event.new)


def _pod_tolerates_now(pod: PodInfo, event: ClusterEvent) -> bool:
    new = event.new or {"metadata": {}}
    if new["metadata"].get("uid") != pod.uid:
        return False
    return _tolerates(tolerations_of((new.get("spec") or {}).get("tolerations") or ()))


def _conforms() -> tuple[PreFilterPlugin, FilterPlugin, EnqueuePlugin]:
    return NodeUnschedulable(), NodeUnschedulable(), NodeUnschedulable()
