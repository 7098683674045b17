"""Pods that preemption promised a node to: they count there for pods of no higher priority until they are placed."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from steersman.scheduler.pod_info import PodInfo


class Promise(Struct, frozen=True, kw_only=True):
    """A pod and the node that it is to get."""

    pod: PodInfo
    node_name: str
    placed: PodInfo
    """The pod as it will count on that node."""


class Nominations:
    """Promises by the uid of their pod. ``version`` rises with every change."""

    def __init__(self) -> None:
        self.version = 0
        self._promises: dict[str, Promise] = {}
        self._on: dict[str, dict[str, Promise]] = {}

    def __len__(self) -> int:
        return len(self._promises)

    def nominate(self, pod: PodInfo, node_name: str) -> None:
        self.withdraw(pod.uid)
        promise = Promise(pod=pod, node_name=node_name, placed=replace(pod, node_name=node_name))
        self._promises[pod.uid] = promise
        self._on.setdefault(node_name, {})[pod.uid] = promise
        self.version += 1

    def withdraw(self, uid: str) -> None:
        promise = self._promises.pop(uid, None)
        if promise is None:
            return
        on_node = self._on[promise.node_name]
        del on_node[uid]
        if not on_node:
            del self._on[promise.node_name]
        self.version += 1

    def node_of(self, uid: str) -> str:
        """Empty where the pod is not nominated."""
        promise = self._promises.get(uid)
        return promise.node_name if promise else ""

    def nodes(self) -> Iterable[str]:
        """Names of the nodes that are promised to somebody."""
        return self._on

    def relevant_to(self, pod: PodInfo) -> list[tuple[PodInfo, str]]:
        """Pods of the same or a higher priority, other than ``pod``, and the nodes promised to them."""
        return [
            (promise.pod, promise.node_name)
            for promise in self._promises.values()
            if promise.pod.priority >= pod.priority and promise.pod.uid != pod.uid
        ]

    def before(self, pod: PodInfo, node_name: str) -> list[PodInfo]:
        """Those pods of ``relevant_to`` that are to get this node, as they will count there."""
        return [
            promise.placed
            for promise in self._on.get(node_name, {}).values()
            if promise.pod.priority >= pod.priority and promise.pod.uid != pod.uid
        ]

    def lower_on(self, node_name: str, priority: int) -> list[PodInfo]:
        """Pods of a lower priority that were promised this node."""
        return [promise.pod for promise in self._on.get(node_name, {}).values() if promise.pod.priority < priority]
