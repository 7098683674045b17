"""NodeDeclaredFeatures: the kubelet says that it can do what the pod needs (KEP-5328)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.scheduler.cluster import Cluster
from steersman.scheduler.events import ClusterEvent, EventInterest
from steersman.scheduler.framework import SKIP, Codes, EnqueuePlugin, FilterPlugin, PreFilterPlugin, Rejection
from steersman.scheduler.label_column import Rows
from steersman.scheduler.node_table import NodeTable
from steersman.scheduler.plugin_args import Args, reject_unknown
from steersman.scheduler.pod_info import PodInfo, required_features

_REJECTION = Rejection(reasons=("node(s) didn't match Pod's required features",), unresolvable=True)


class NodeDeclaredFeatures:
    NAME: ClassVar[str] = "NodeDeclaredFeatures"
    LOCAL: ClassVar[bool] = True
    READS_PODS: ClassVar[bool] = False

    @classmethod
    def from_args(cls, args: Args) -> NodeDeclaredFeatures:
        reject_unknown(args, ())
        return cls()

    def pre_filter(self, pod: PodInfo, cluster: Cluster) -> Any:
        return pod.template.required_features or SKIP

    def filter(self, state: Any, table: NodeTable, rows: Rows) -> Codes:
        nodes = (table.nodes[int(row)] for row in np.arange(table.count)[rows])
        return np.array([not state <= _declared(node) for node in nodes], dtype=np.int64)

    def rejection(self, state: Any, code: int) -> Rejection:
        return _REJECTION

    def events(self) -> Sequence[EventInterest]:
        def needs_other_features(pod: PodInfo, event: ClusterEvent) -> bool:
            old, new = event.old or {}, event.new or {}
            return objects.uid(new) == pod.uid and required_features(old.get("spec") or {}) != required_features(
                new.get("spec") or {}
            )

        return (
            EventInterest(resource="Node", actions=frozenset({"Add", "UpdateNodeDeclaredFeature"})),
            EventInterest(resource="Pod", actions=frozenset({"Update"}), hint=needs_other_features),
        )


def _declared(node: Object | None) -> frozenset[str]:
    return frozenset(((node or {}).get("status") or {}).get("declaredFeatures") or ())


def _conforms() -> tuple[PreFilterPlugin, FilterPlugin, EnqueuePlugin]:
    return NodeDeclaredFeatures(), NodeDeclaredFeatures(), NodeDeclaredFeatures()
