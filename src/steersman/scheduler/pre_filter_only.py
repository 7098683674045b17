"""A plugin that a profile has at ``preFilter`` and not at ``filter``: it may reject the pod as a whole or name the nodes that
are in question, and says nothing of single nodes."""

from __future__ import annotations

from typing import Any

import numpy as np

from steersman.scheduler.cluster import Cluster
from steersman.scheduler.framework import SKIP, Codes, OnlyNodes, PreFilterPlugin, Rejection
from steersman.scheduler.label_column import Rows
from steersman.scheduler.node_table import NodeTable
from steersman.scheduler.pod_info import PodInfo


class PreFilterOnly:
    """Stands among the filters in the plugin's place and lets every node pass."""

    READS_PODS = False

    def __init__(self, plugin: Any) -> None:
        self._plugin = plugin
        self.NAME: str = plugin.NAME
        self.LOCAL: bool = getattr(plugin, "LOCAL", False)

    def pre_filter(self, pod: PodInfo, cluster: Cluster) -> Any:
        outcome = self._plugin.pre_filter(pod, cluster)
        return outcome if isinstance(outcome, Rejection | OnlyNodes) else SKIP

    def filter(self, state: Any, table: NodeTable, rows: Rows) -> Codes:
        return np.zeros(table.alive[rows].shape, dtype=np.int64)

    def rejection(self, state: Any, code: int) -> Rejection:
        raise LookupError(f"{self.NAME} rejects no node")


def _conforms(plugin: PreFilterOnly) -> PreFilterPlugin:
    return plugin
