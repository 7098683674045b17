"""NodeName: a pod that names its node fits nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from steersman.meta import objects
from steersman.scheduler.cluster import Cluster
from steersman.scheduler.events import ClusterEvent, EventInterest
from steersman.scheduler.framework import SKIP, Codes, EnqueuePlugin, FilterPlugin, PreFilterPlugin, Rejection
from steersman.scheduler.label_column import Rows
from steersman.scheduler.node_table import NodeTable
from steersman.scheduler.plugin_args import Args, reject_unknown
from steersman.scheduler.pod_info import PodInfo

_REJECTION = Rejection(reasons=("node(s) didn't match the requested node name",), unresolvable=True)


class NodeName:
    NAME: ClassVar[str] = "NodeName"
    LOCAL: ClassVar[bool] = True
    READS_PODS: ClassVar[bool] = False

    @classmethod
    def from_args(cls, args: Args) -> NodeName:
        reject_unknown(args, ())
        return cls()

    def pre_filter(self, pod: PodInfo, cluster: Cluster) -> Any:
        return pod.node_name or SKIP

    def filter(self, state: Any, table: NodeTable, rows: Rows) -> Codes:
        codes = np.ones(table.capacity, dtype=np.int64)
        row = table.rows.get(state)
        if row is not None:
            codes[row] = 0
        return codes[rows]

    def rejection(self, state: Any, code: int) -> Rejection:
        return _REJECTION

    def events(self) -> Sequence[EventInterest]:
        def is_the_node(pod: PodInfo, event: ClusterEvent) -> bool:
            return event.new is not None and objects.name(event.new) == pod.node_name

        return (EventInterest(resource="Node", actions=frozenset({"Add"}), hint=is_the_node),)


def _conforms() -> tuple[PreFilterPlugin, FilterPlugin, EnqueuePlugin]:
    return NodeName(), NodeName(), NodeName()
