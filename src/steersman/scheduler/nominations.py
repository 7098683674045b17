"""Pods that preemption promised a node to: they count there for pods of no higher priority until they are placed.

While a wave of preemptors waits for its victims to go, each further pod asks about all promises, so they are columns, one slot
a promise; what is asked is answered for all of them at once (``bench/scheduler.py``: PreemptionBasic).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from steersman.scheduler.node_table import NodeTable
from steersman.scheduler.pod_info import PodInfo

Slots = NDArray[np.intp]
Amounts = NDArray[np.int64]
_FREE = np.iinfo(np.int64).min
"""Priority of a slot that holds no promise: lower than any pod's."""
_UNKNOWN = -1
"""Row of a node that does not exist."""
_INITIAL_SLOTS = 16


class Promise(Struct, frozen=True, kw_only=True):
    """A pod and the node that it is to get."""

    pod: PodInfo
    node_name: str
    placed: PodInfo
    """The pod as it will count on that node."""

    @property
    def wants_resources_only(self) -> bool:
        """The pod has no terms about others, no ports and no volumes."""
        pod = self.pod
        return pod.terms.is_empty and not (pod.claims or pod.template.host_ports or pod.template.disks)


class Nominations:
    """Promises by the uid of their pod."""

    def __init__(self) -> None:
        self._slots: dict[str, int] = {}
        self._on: dict[str, dict[str, Promise]] = {}
        self._promises: list[Promise | None] = [None] * _INITIAL_SLOTS
        self._free = list(range(_INITIAL_SLOTS))
        self._priorities: Amounts = np.full(_INITIAL_SLOTS, _FREE, dtype=np.int64)
        self._rows: Slots = np.full(_INITIAL_SLOTS, _UNKNOWN, dtype=np.intp)
        self._is_special: NDArray[np.bool_] = np.zeros(_INITIAL_SLOTS, dtype=np.bool_)
        """The pod wants more than resources."""
        self._amounts: dict[str, Amounts] = {}
        self._unresolved: set[int] = set()
        """Slots whose row has not been looked up yet."""
        self._epoch = -1

    def __len__(self) -> int:
        return len(self._slots)

    def nominate(self, pod: PodInfo, node_name: str) -> None:
        self.withdraw(pod.uid)
        if not self._free:
            self._grow()
        slot = self._slots[pod.uid] = self._free.pop()
        promise = Promise(pod=pod, node_name=node_name, placed=replace(pod, node_name=node_name))
        self._promises[slot] = promise
        self._on.setdefault(node_name, {})[pod.uid] = promise
        self._priorities[slot] = pod.priority
        self._is_special[slot] = not promise.wants_resources_only
        for name in pod.requests.amounts.keys() - self._amounts.keys():
            self._amounts[name] = np.zeros(len(self._promises), dtype=np.int64)
        for name, column in self._amounts.items():
            column[slot] = pod.requests.amounts.get(name, 0)
        self._unresolved.add(slot)

    def withdraw(self, uid: str) -> None:
        slot = self._slots.pop(uid, None)
        if slot is None:
            return
        promise = self._promises[slot]
        assert promise is not None
        self._promises[slot] = None
        self._priorities[slot], self._rows[slot] = _FREE, _UNKNOWN
        self._unresolved.discard(slot)
        self._free.append(slot)
        on_node = self._on[promise.node_name]
        del on_node[uid]
        if not on_node:
            del self._on[promise.node_name]

    def node_of(self, uid: str) -> str:
        """Empty where the pod is not nominated."""
        slot = self._slots.get(uid)
        promise = None if slot is None else self._promises[slot]
        return promise.node_name if promise else ""

    def nodes(self) -> Iterable[str]:
        """Names of the nodes that are promised to somebody."""
        return self._on

    def lower_on(self, node_name: str, priority: int) -> list[PodInfo]:
        """Pods of a lower priority that were promised this node."""
        return [promise.pod for promise in self._on.get(node_name, {}).values() if promise.pod.priority < priority]

    # -- columns ---------------------------------------------------------------------------------------------------

    def before(self, pod: PodInfo, table: NodeTable) -> Slots:
        """Promises to other pods of at least the priority of ``pod``, of nodes that exist, where the pod does not count on a
        node already."""
        self._resolve(table)
        chosen = (self._priorities >= pod.priority) & (self._rows != _UNKNOWN)
        for uid in (pod.uid, *(self._slots.keys() & table.uids())):
            slot = self._slots.get(uid)
            if slot is not None:
                chosen[slot] = False
        return np.flatnonzero(chosen)

    def rows(self, slots: Slots) -> Slots:
        """The row of the node of each promise; several may be of one node."""
        return self._rows[slots]

    @property
    def resources(self) -> Iterable[str]:
        """Every resource that a promised pod has requested so far."""
        return self._amounts

    def amounts(self, slots: Slots, resource: str) -> Amounts:
        """What each pod requests of ``resource``."""
        column = self._amounts.get(resource)
        return np.zeros(len(slots), dtype=np.int64) if column is None else column[slots]

    def want_resources_only(self, slots: Slots) -> bool:
        return not self._is_special[slots].any()

    def placed(self, slots: Slots) -> list[PodInfo]:
        """The pods as they will count on their nodes."""
        promises = (self._promises[int(slot)] for slot in slots)
        return [promise.placed for promise in promises if promise is not None]

    def _resolve(self, table: NodeTable) -> None:
        if self._epoch != table.epoch:
            self._unresolved.update(self._slots.values())
            self._epoch = table.epoch
        for slot in self._unresolved:
            promise = self._promises[slot]
            self._rows[slot] = _UNKNOWN if promise is None else table.rows.get(promise.node_name, _UNKNOWN)
        self._unresolved.clear()

    def _grow(self) -> None:
        size = len(self._promises)
        self._free.extend(range(size, 2 * size))
        self._promises.extend([None] * size)
        self._priorities = np.concatenate([self._priorities, np.full(size, _FREE, dtype=np.int64)])
        self._rows = np.concatenate([self._rows, np.full(size, _UNKNOWN, dtype=np.intp)])
        self._is_special = np.concatenate([self._is_special, np.zeros(size, dtype=np.bool_)])
        empty = np.zeros(size, dtype=np.int64)
        self._amounts = {name: np.concatenate([column, empty]) for name, column in self._amounts.items()}
