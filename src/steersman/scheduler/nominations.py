"""Pods that preemption promised a node to: they count there for pods of no higher priority until they are placed."""

from __future__ import annotations

from collections.abc import Iterable

from steersman.scheduler.pod_info import PodInfo


class Nominations:
    """Nominated pods by uid. ``version`` rises with every change."""

    def __init__(self) -> None:
        self.version = 0
        self._pods: dict[str, tuple[PodInfo, str]] = {}

    def __len__(self) -> int:
        return len(self._pods)

    def nominate(self, pod: PodInfo, node_name: str) -> None:
        self._pods[pod.uid] = (pod, node_name)
        self.version += 1

    def withdraw(self, uid: str) -> None:
        if self._pods.pop(uid, None) is not None:
            self.version += 1

    def node_of(self, uid: str) -> str:
        """Empty where the pod is not nominated."""
        entry = self._pods.get(uid)
        return entry[1] if entry else ""

    def relevant_to(self, pod: PodInfo) -> list[tuple[PodInfo, str]]:
        """Pods of the same or a higher priority, other than ``pod``, and the nodes promised to them."""
        return [
            (other, node_name)
            for other, node_name in self._pods.values()
            if other.priority >= pod.priority and other.uid != pod.uid
        ]

    def lower_on(self, node_name: str, priority: int) -> list[PodInfo]:
        """Pods of a lower priority that were promised this node."""
        return [other for other, node in self._pods.values() if node == node_name and other.priority < priority]

    def all(self) -> Iterable[tuple[PodInfo, str]]:
        return self._pods.values()
