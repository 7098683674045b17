"""NodeResourcesBalancedAllocation: prefer nodes whose resources the pod would make more evenly used."""

from __future__ import annotations

from typing import Any, ClassVar

from msgspec import Struct

from steersman.scheduler.cluster import Cluster
from steersman.scheduler.framework import SKIP, PreScorePlugin, ScorePlugin, Scores
from steersman.scheduler.label_column import Mask, Rows
from steersman.scheduler.node_table import NodeTable
from steersman.scheduler.plugin_args import Args, reject_unknown
from steersman.scheduler.pod_info import PodInfo
from steersman.scheduler.resource_scoring import DEFAULT_RESOURCES, WeightedResource, balance, demands, resources_of


class NodeResourcesBalancedAllocation(Struct, frozen=True, kw_only=True):
    NAME: ClassVar[str] = "NodeResourcesBalancedAllocation"
    LOCAL: ClassVar[bool] = True
    READS_PODS: ClassVar[bool] = True
    READS_AMOUNTS: ClassVar[bool] = True

    resources: tuple[WeightedResource, ...] = DEFAULT_RESOURCES

    @classmethod
    def from_args(cls, args: Args) -> NodeResourcesBalancedAllocation:
        reject_unknown(args, ("resources",))
        return cls(resources=resources_of(args.get("resources"), "resources"))

    def pre_score(self, pod: PodInfo, cluster: Cluster, feasible: Mask) -> Any:
        """Pods without requests are left out: they would all gather on the best balanced node."""
        wanted = demands(pod, self.resources, non_zero=False)
        return wanted if any(demand.amount for demand in wanted) else SKIP

    def score(self, state: Any, table: NodeTable, rows: Rows) -> Scores:
        return balance(state, table, rows)


def _conforms() -> tuple[PreScorePlugin, ScorePlugin]:
    return NodeResourcesBalancedAllocation(), NodeResourcesBalancedAllocation()
