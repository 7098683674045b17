"""DynamicResources: not there yet. Pods with resource claims are rejected, and told so, rather than placed without them."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from steersman.scheduler.cluster import Cluster
from steersman.scheduler.framework import SKIP, Codes, FilterPlugin, PreFilterPlugin, Rejection
from steersman.scheduler.label_column import Rows
from steersman.scheduler.node_table import NodeTable
from steersman.scheduler.plugin_args import Args, reject_unknown
from steersman.scheduler.pod_info import PodInfo

_REJECTION = Rejection(reasons=("pod has resource claims, which this scheduler does not support",), unresolvable=True)


class DynamicResources:
    NAME: ClassVar[str] = "DynamicResources"
    LOCAL: ClassVar[bool] = False
    READS_PODS: ClassVar[bool] = False

    @classmethod
    def from_args(cls, args: Args) -> DynamicResources:
        reject_unknown(args, ())
        return cls()

    def pre_filter(self, pod: PodInfo, cluster: Cluster) -> Any:
        return _REJECTION if pod.obj["spec"].get("resourceClaims") else SKIP

    def filter(self, state: Any, table: NodeTable, rows: Rows) -> Codes:
        return np.zeros(table.alive[rows].shape, dtype=np.int64)

    def rejection(self, state: Any, code: int) -> Rejection:
        return _REJECTION


def _conforms() -> tuple[PreFilterPlugin, FilterPlugin]:
    return DynamicResources(), DynamicResources()
