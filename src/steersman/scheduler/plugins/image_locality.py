"""ImageLocality: prefer nodes that already have the pod's images, large and widespread ones counting more."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from steersman.scheduler.cluster import Cluster
from steersman.scheduler.framework import MAX_NODE_SCORE, SKIP, PreScorePlugin, ScorePlugin, Scores
from steersman.scheduler.label_column import Mask, Rows
from steersman.scheduler.node_table import NodeTable
from steersman.scheduler.plugin_args import Args, reject_unknown
from steersman.scheduler.pod_info import PodInfo

_MEBIBYTE = 1024 * 1024
_LEAST_BYTES = 23 * _MEBIBYTE
_MOST_BYTES_PER_CONTAINER = 1000 * _MEBIBYTE


class ImageLocality:
    NAME: ClassVar[str] = "ImageLocality"
    LOCAL: ClassVar[bool] = True
    READS_PODS: ClassVar[bool] = False

    @classmethod
    def from_args(cls, args: Args) -> ImageLocality:
        reject_unknown(args, ())
        return cls()

    def pre_score(self, pod: PodInfo, cluster: Cluster, feasible: Mask) -> Any:
        """The score of every node. No node with any of the images: nothing to say (all nodes would get 0)."""
        table = cluster.nodes
        bytes_there = np.zeros(table.capacity, dtype=np.int64)
        found = False
        for name in pod.template.images:
            image = table.images.get(name)
            if image is not None:
                found = True
                scaled = int(image.size_bytes * (len(image.rows) / table.node_count))
                bytes_there[list(image.rows)] += scaled
        if not found:
            return SKIP
        most = _MOST_BYTES_PER_CONTAINER * pod.template.container_count
        return MAX_NODE_SCORE * (bytes_there.clip(_LEAST_BYTES, most) - _LEAST_BYTES) // (most - _LEAST_BYTES)

    def score(self, state: Any, table: NodeTable, rows: Rows) -> Scores:
        scores: Scores = state[rows]
        return scores


def _conforms() -> tuple[PreScorePlugin, ScorePlugin]:
    return ImageLocality(), ImageLocality()
