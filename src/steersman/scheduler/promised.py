"""Nodes as they will be once the pods are there that preemption promised them to.

As upstream does it for each node: pods of at least the same priority that are to get the node count on it while it is
looked at, and those that are to get other nodes do not.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from steersman.scheduler.cluster import Cluster
from steersman.scheduler.framework import SKIP, Framework
from steersman.scheduler.node_table import NodeTable
from steersman.scheduler.plugin_calls import pre_filtered
from steersman.scheduler.pod_info import PodInfo

RowNumbers = NDArray[np.intp]


def promised_rows(pod: PodInfo, cluster: Cluster, rows: RowNumbers) -> RowNumbers:
    """Those of ``rows`` that other pods of at least the priority of ``pod`` are to get."""
    names, nominations = cluster.nodes.names, cluster.nominations
    return rows[np.array([bool(nominations.before(pod, names[row])) for row in rows], dtype=np.bool_)]


def judge_promised(
    framework: Framework, pod: PodInfo, cluster: Cluster, rows: RowNumbers, judge: Callable[[RowNumbers], None]
) -> None:
    """``judge`` each of ``rows`` while the pods promised to it count there, and none promised to others: all at once where no
    plugin looks beyond a row."""
    if not len(rows):
        return
    promised = Promised(pod, cluster, rows)
    if promised.want_resources_only and _only_local(framework, pod, cluster):
        with promised.resources():
            judge(rows)
        return
    with promised:
        if len(rows) == 1 or _only_local(framework, pod, cluster):
            judge(rows)
            return
    for row in rows:
        only = np.array([row], dtype=np.intp)
        with Promised(pod, cluster, only):
            judge(only)


def _only_local(framework: Framework, pod: PodInfo, cluster: Cluster) -> bool:
    return all(plugin.LOCAL or pre_filtered(plugin, pod, cluster) is SKIP for plugin in framework.filter)


class Promised:
    """While open, pods that were promised ``rows`` and have at least the priority of ``pod`` count there."""

    def __init__(self, pod: PodInfo, cluster: Cluster, rows: RowNumbers) -> None:
        self._nodes = cluster.nodes
        self._pods = [
            (int(row), other)
            for row in rows
            for other in cluster.nominations.before(pod, cluster.nodes.names[row])
            if cluster.nodes.pod(other.uid) is None
        ]

    @property
    def want_resources_only(self) -> bool:
        """No pod has terms about others, ports or volumes."""
        return all(
            pod.terms.is_empty and not (pod.claims or pod.template.host_ports or pod.template.disks)
            for _, pod in self._pods
        )

    def resources(self) -> Resources:
        """The same for readers of resources and of the number of pods, at a fraction of the cost."""
        return Resources(self._nodes, self._pods)

    def __enter__(self) -> None:
        for _, pod in self._pods:
            self._nodes.add_pod(pod)

    def __exit__(self, *_: object) -> None:
        for _row, pod in self._pods:
            self._nodes.remove_pod(pod.uid)


class Resources:
    """While open, the resources that ``pods`` request and the pods themselves are counted; nothing else knows of them."""

    def __init__(self, nodes: NodeTable, pods: list[tuple[int, PodInfo]]) -> None:
        self._nodes = nodes
        self._rows = np.array([row for row, _ in pods], dtype=np.intp)
        wanted = [other.requests.amounts for _, other in pods]
        self._amounts = [
            (nodes.resource(name), np.array([amounts.get(name, 0) for amounts in wanted], dtype=np.int64))
            for name in dict.fromkeys(name for amounts in wanted for name in amounts)
        ]

    def __enter__(self) -> None:
        self._count(1)

    def __exit__(self, *_: object) -> None:
        self._count(-1)

    def _count(self, sign: int) -> None:
        np.add.at(self._nodes.pod_count, self._rows, sign)
        for index, amounts in self._amounts:
            np.add.at(self._nodes.requested[index], self._rows, sign * amounts)
