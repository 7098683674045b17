"""TaintToleration: taints keep pods away that do not tolerate them; nodes with fewer disliked taints are better."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from steersman.scheduler.cluster import Cluster
from steersman.scheduler.events import ClusterEvent, EventInterest
from steersman.scheduler.framework import (
    Codes,
    EnqueuePlugin,
    FilterPlugin,
    NormalizeScorePlugin,
    PreFilterPlugin,
    PreScorePlugin,
    Rejection,
    ScorePlugin,
    Scores,
    default_normalize,
)
from steersman.scheduler.label_column import Mask, Rows
from steersman.scheduler.node_table import NodeTable
from steersman.scheduler.plugin_args import Args, reject_unknown
from steersman.scheduler.pod_info import PodInfo
from steersman.scheduler.taints import count_disliked, first_untolerated, taints_of

_REJECTION = Rejection(reasons=("node(s) had untolerated taint(s)",), unresolvable=True)


class TaintToleration:
    NAME: ClassVar[str] = "TaintToleration"
    LOCAL: ClassVar[bool] = True
    READS_PODS: ClassVar[bool] = False

    @classmethod
    def from_args(cls, args: Args) -> TaintToleration:
        reject_unknown(args, ())
        return cls()

    def pre_filter(self, pod: PodInfo, cluster: Cluster) -> NDArray[np.int64]:
        """By taint set: whether a taint of it keeps the pod away."""
        tolerations = pod.template.tolerations
        return np.array(
            [first_untolerated(taints, tolerations) is not None for taints in cluster.nodes.taint_sets], dtype=np.int64
        )

    def filter(self, state: Any, table: NodeTable, rows: Rows) -> Codes:
        codes: Codes = state[table.taint_set[rows]]
        return codes

    def rejection(self, state: Any, code: int) -> Rejection:
        return _REJECTION

    def pre_score(self, pod: PodInfo, cluster: Cluster, feasible: Mask) -> NDArray[np.int64]:
        """By taint set: how many of its taints the pod would rather avoid."""
        tolerations = pod.template.tolerations
        return np.array([count_disliked(taints, tolerations) for taints in cluster.nodes.taint_sets], dtype=np.int64)

    def score(self, state: Any, table: NodeTable, rows: Rows) -> Scores:
        scores: Scores = state[table.taint_set[rows]]
        return scores

    def normalize(self, state: Any, scores: Scores, rows: Rows) -> Scores:
        return default_normalize(scores, reverse=True)

    def events(self) -> Sequence[EventInterest]:
        def is_the_pod(pod: PodInfo, event: ClusterEvent) -> bool:
            return event.new is not None and event.new["metadata"].get("uid") == pod.uid

        return (
            EventInterest(resource="Node", actions=frozenset({"Add", "UpdateNodeTaint"}), hint=_node_tolerable_now),
            EventInterest(resource="UnscheduledPod", actions=frozenset({"UpdatePodToleration"}), hint=is_the_pod),
        )


def _node_tolerable_now(pod: PodInfo, event: ClusterEvent) -> bool:
    tolerations = pod.template.tolerations
    was_closed = event.old is None or first_untolerated(taints_of(event.old), tolerations) is not None
    return was_closed and event.new is not None and first_untolerated(taints_of(event.new), tolerations) is None


def _conforms() -> tuple[
    PreFilterPlugin, FilterPlugin, PreScorePlugin, ScorePlugin, NormalizeScorePlugin, EnqueuePlugin
]:
    plugin = TaintToleration()
    return plugin, plugin, plugin, plugin, plugin, plugin
