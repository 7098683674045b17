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
from steersman.scheduler.nominations import Slots
from steersman.scheduler.plugin_calls import pre_filtered
from steersman.scheduler.pod_info import PodInfo

RowNumbers = NDArray[np.intp]


def promised_rows(pod: PodInfo, cluster: Cluster, rows: RowNumbers) -> RowNumbers:
    """Those of ``rows`` that other pods of at least the priority of ``pod`` are to get."""
    if not len(cluster.nominations):
        return rows[:0]
    is_promised = np.zeros(cluster.nodes.capacity, dtype=np.bool_)
    is_promised[cluster.nominations.rows(cluster.nominations.before(pod, cluster.nodes))] = True
    return rows[is_promised[rows]]


def judge_promised(
    framework: Framework, pod: PodInfo, cluster: Cluster, rows: RowNumbers, judge: Callable[[RowNumbers], None]
) -> None:
    """``judge`` each of ``rows`` while the pods promised to it count there, and none promised to others: all at once where no
    plugin looks beyond a row."""
    if not len(rows):
        return
    slots = _promises_of(rows, pod, cluster)
    if cluster.nominations.want_resources_only(slots) and _only_local(framework, pod, cluster):
        with PromisedResources(cluster, slots):
            judge(rows)
        return
    with Promised(cluster, slots):
        if len(rows) == 1 or _only_local(framework, pod, cluster):
            judge(rows)
            return
    for row in rows:
        only = np.array([row], dtype=np.intp)
        with Promised(cluster, _promises_of(only, pod, cluster)):
            judge(only)


def _promises_of(rows: RowNumbers, pod: PodInfo, cluster: Cluster) -> Slots:
    """Slots of the promises of ``rows`` that count for ``pod``."""
    slots = cluster.nominations.before(pod, cluster.nodes)
    is_asked = np.zeros(cluster.nodes.capacity, dtype=np.bool_)
    is_asked[rows] = True
    return slots[is_asked[cluster.nominations.rows(slots)]]


def with_promised(pod: PodInfo, cluster: Cluster, rows: RowNumbers) -> Promised:
    """``rows`` with the pods on them that are promised them and have at least the priority of ``pod``."""
    return Promised(cluster, _promises_of(rows, pod, cluster))


def _only_local(framework: Framework, pod: PodInfo, cluster: Cluster) -> bool:
    return all(plugin.LOCAL or pre_filtered(plugin, pod, cluster) is SKIP for plugin in framework.filter)


class Promised:
    """While open, the pods of these promises count on their nodes."""

    def __init__(self, cluster: Cluster, slots: Slots) -> None:
        self._nodes = cluster.nodes
        self._pods = cluster.nominations.placed(slots)

    def __enter__(self) -> None:
        for pod in self._pods:
            self._nodes.add_pod(pod)

    def __exit__(self, *_: object) -> None:
        for pod in self._pods:
            self._nodes.remove_pod(pod.uid)


class PromisedResources:
    """The same for readers of resources and of the number of pods, at a fraction of the cost: nothing else knows of them."""

    def __init__(self, cluster: Cluster, slots: Slots) -> None:
        nodes, nominations = cluster.nodes, cluster.nominations
        self._nodes = nodes
        self._rows = nominations.rows(slots)
        self._amounts = [(nodes.resource(name), nominations.amounts(slots, name)) for name in nominations.resources]

    def __enter__(self) -> None:
        self._count(1)

    def __exit__(self, *_: object) -> None:
        self._count(-1)

    def _count(self, sign: int) -> None:
        np.add.at(self._nodes.pod_count, self._rows, sign)
        for index, amounts in self._amounts:
            np.add.at(self._nodes.requested[index], self._rows, sign * amounts)
