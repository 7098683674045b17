"""NodePorts: two pods on one node cannot have the same host port, protocol and address."""

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
from steersman.scheduler.pod_info import HostPort, PodInfo, parse_pod

_REJECTION = Rejection(reasons=("node(s) didn't have free ports for the requested pod ports",))


class NodePorts:
    NAME: ClassVar[str] = "NodePorts"
    LOCAL: ClassVar[bool] = True
    READS_PODS: ClassVar[bool] = True

    @classmethod
    def from_args(cls, args: Args) -> NodePorts:
        reject_unknown(args, ())
        return cls()

    def pre_filter(self, pod: PodInfo, cluster: Cluster) -> Any:
        return pod.template.host_ports or SKIP

    def filter(self, state: Any, table: NodeTable, rows: Rows) -> Codes:
        taken = np.zeros(table.alive[rows].shape, dtype=np.bool_)
        for port in state:
            for column in table.ports_in_use(port):
                taken |= column[rows] > 0
        return taken.astype(np.int64)

    def rejection(self, state: Any, code: int) -> Rejection:
        return _REJECTION

    def events(self) -> Sequence[EventInterest]:
        def frees_a_port(pod: PodInfo, event: ClusterEvent) -> bool:
            if event.old is None or not (event.old.get("spec") or {}).get("nodeName"):
                return False
            freed = parse_pod(event.old).template.host_ports
            return any(_conflict(mine, theirs) for mine in pod.template.host_ports for theirs in freed)

        return (
            EventInterest(resource="AssignedPod", actions=frozenset({"Delete"}), hint=frees_a_port),
            EventInterest(resource="Node", actions=frozenset({"Add"})),
        )


def _conflict(mine: HostPort, theirs: HostPort) -> bool:
    return (
        mine.protocol == theirs.protocol
        and mine.port == theirs.port
        and (mine.address == theirs.address or "0.0.0.0" in (mine.address, theirs.address))
    )


def _conforms() -> tuple[PreFilterPlugin, FilterPlugin, EnqueuePlugin]:
    return NodePorts(), NodePorts(), NodePorts()
