"""Calls into plugins. What a plugin raises becomes ``PluginFailed``, which names it in upstream's words.

No protocol checks: this is on the hot path.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from steersman.scheduler.cluster import Cluster
from steersman.scheduler.framework import Codes, Scores
from steersman.scheduler.label_column import Mask, Rows
from steersman.scheduler.node_table import NodeTable
from steersman.scheduler.pod_info import PodInfo

Point = Literal["PreEnqueue", "PreFilter", "Filter", "PreScore", "Score", "Permit", "PostBind"]
_WORDS = {
    "Filter": 'running "{plugin}" filter plugin: {why}',
    "Score": 'running Score plugins: plugin "{plugin}" failed with: {why}',
}


class PluginFailed(Exception):
    """A plugin raised, answered nonsense or took too long."""

    def __init__(self, plugin: str, point: Point, why: object) -> None:
        words = _WORDS.get(point, 'running {point} plugin "{plugin}": {why}')
        super().__init__(words.format(point=point, plugin=plugin, why=why))
        self.plugin = plugin


def pre_filtered(plugin: Any, pod: PodInfo, cluster: Cluster) -> Any:
    """What ``pre_filter`` says, or the pod where the plugin has none."""
    method = getattr(plugin, "pre_filter", None)
    if method is None:
        return pod
    try:
        return method(pod, cluster)
    except Exception as error:
        raise _failed(plugin, "PreFilter", error) from error


def filtered(plugin: Any, state: Any, table: NodeTable, rows: Rows) -> Codes:
    try:
        return np.asarray(plugin.filter(state, table, rows), dtype=np.int64)
    except Exception as error:
        raise _failed(plugin, "Filter", error) from error


def pre_scored(plugin: Any, pod: PodInfo, cluster: Cluster, feasible: Mask) -> Any:
    """What ``pre_score`` says, or the pod where the plugin has none."""
    method = getattr(plugin, "pre_score", None)
    if method is None:
        return pod
    try:
        return method(pod, cluster, feasible)
    except Exception as error:
        raise _failed(plugin, "PreScore", error) from error


def scored(plugin: Any, state: Any, table: NodeTable, rows: Rows) -> Scores:
    """As the plugin gives them, not normalized."""
    try:
        return np.asarray(plugin.score(state, table, rows), dtype=np.int64)
    except Exception as error:
        raise _failed(plugin, "Score", error) from error


def _failed(plugin: Any, point: Point, error: Exception) -> PluginFailed:
    return error if isinstance(error, PluginFailed) else PluginFailed(plugin.NAME, point, error)
