"""The pods of all nodes as columns, the most important first, so that minimal victims are found on all nodes at once.

Used where only resources are short: then putting pods back on one node is independent of every other node, and the k-th
pod of every node can be judged in one step.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from steersman.scheduler.node_table import NodeTable
from steersman.scheduler.pod_info import PodInfo, started_at
from steersman.scheduler.victims import PRIORITY_OFFSET, Candidate, by_importance

Rows = NDArray[np.intp]
Matrix = NDArray[np.int64]
_NOBODY = np.iinfo(np.int64).max
"""Priority where a node has no pod at that place: never lower than anyone's."""


class Shortage(Struct, frozen=True, kw_only=True):
    """Why a node cannot be cleared: which of the wanted resources would still be short. The first is the number of pods."""

    lacking: NDArray[np.bool_]
    """Wanted resource by node."""


class VictimColumns:
    """Kept up to date row by row: only nodes whose pods changed are read again."""

    def __init__(self) -> None:
        self._versions: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._pods: list[tuple[PodInfo, ...]] = []
        self._priorities: Matrix = np.empty((0, 0), dtype=np.int64)
        self._started_s: NDArray[np.float64] = np.empty((0, 0), dtype=np.float64)
        self._amounts: dict[str, Matrix] = {}

    def pods_on(self, table: NodeTable, row: int) -> tuple[PodInfo, ...]:
        """The pods of a node, the most important first."""
        self._refresh(table, np.array([row], dtype=np.intp))
        return self._pods[row]

    def has_lower(self, table: NodeTable, rows: Rows, priority: int) -> NDArray[np.bool_]:
        """Nodes with a pod of a lower priority."""
        self._refresh(table, rows)
        return np.asarray((self._priorities[:, rows] < priority).any(axis=0), dtype=np.bool_)

    def clear(
        self,
        table: NodeTable,
        rows: Rows,
        priority: int,
        wanted: Sequence[tuple[str, int, int]],
        promised: Matrix,
    ) -> tuple[Candidate | None, Shortage]:
        """The node that is cleared with the least harm (no budget protects any pod here), and what stays short.

        ``wanted``: (resource, row of the table's columns, amount). ``promised``: what nominated pods take of each node, the
        number of pods first.
        """
        self._refresh(table, rows)
        names = [name for name, _, _ in wanted]
        priorities = self._priorities[:, rows]
        is_lower = priorities < priority
        sizes = np.stack([is_lower.astype(np.int64), *(self._amount(name)[:, rows] * is_lower for name in names)])
        room = np.stack(
            [
                table.allowed_pods[rows] - table.pod_count[rows],
                *(table.allocatable[index, rows] - table.requested[index, rows] for _, index, _ in wanted),
            ]
        )
        room = room - promised + sizes.sum(axis=1)
        need = np.array([1, *(value for _, _, value in wanted)], dtype=np.int64)[:, None]
        lacking = need > room
        is_victim = np.zeros_like(is_lower)
        for place in range(len(priorities)):
            left = room - sizes[:, place]
            stays = (need <= left).all(axis=0)
            np.copyto(room, left, where=stays)
            is_victim[place] = is_lower[place] & ~stays
        eligible = ~lacking.any(axis=0) & is_victim.any(axis=0)
        if not eligible.any():
            return None, Shortage(lacking=lacking)
        column = _least_harm(priorities, self._started_s[:, rows], is_victim, eligible)
        row = int(rows[column])
        chosen = by_importance(self._pods[row][int(place)] for place in np.flatnonzero(is_victim[:, column]))
        candidate = Candidate(node_name=table.names[row], victims=tuple(chosen), budget_violations=0)
        return candidate, Shortage(lacking=lacking)

    def _amount(self, name: str) -> Matrix:
        matrix = self._amounts.get(name)
        if matrix is None:
            matrix = self._amounts[name] = np.zeros(self._priorities.shape, dtype=np.int64)
            for row, pods in enumerate(self._pods):
                matrix[: len(pods), row] = [pod.requests.amounts.get(name, 0) for pod in pods]
        return matrix

    def _refresh(self, table: NodeTable, rows: Rows) -> None:
        if len(self._versions) < table.capacity:
            self._resize(len(self._priorities), table.capacity)
        stale = rows[self._versions[rows] != table.pods_version[rows]]
        for row in (int(entry) for entry in stale):
            pods = tuple(by_importance(table.pods_on(row).values()))
            if len(pods) > len(self._priorities):
                self._resize(max(len(pods), 2 * len(self._priorities)), table.capacity)
            self._versions[row] = table.pods_version[row]
            self._pods[row] = pods
            self._priorities[:, row] = _NOBODY
            self._priorities[: len(pods), row] = [pod.priority for pod in pods]
            self._started_s[: len(pods), row] = [started_at(pod) for pod in pods]
            for name, matrix in self._amounts.items():
                matrix[:, row] = 0
                matrix[: len(pods), row] = [pod.requests.amounts.get(name, 0) for pod in pods]

    def _resize(self, depth: int, capacity: int) -> None:
        def grown(matrix: Matrix, fill: int) -> Matrix:
            new = np.full((depth, capacity), fill, dtype=matrix.dtype)
            new[: matrix.shape[0], : matrix.shape[1]] = matrix
            return new

        versions = np.full(capacity, -1, dtype=np.int64)
        versions[: len(self._versions)] = self._versions
        self._versions = versions
        self._pods += [()] * (capacity - len(self._pods))
        started_s = np.full((depth, capacity), np.inf)
        started_s[: self._started_s.shape[0], : self._started_s.shape[1]] = self._started_s
        self._started_s = started_s
        self._priorities = grown(self._priorities, _NOBODY)
        self._amounts = {name: grown(matrix, 0) for name, matrix in self._amounts.items()}


def _least_harm(
    priorities: Matrix,
    started_s: NDArray[np.float64],
    is_victim: NDArray[np.bool_],
    eligible: NDArray[np.bool_],
) -> int:
    """``victims.best`` over columns: the same criteria in the same order, the first of equals."""
    left = np.flatnonzero(eligible)
    mine, victims = priorities[:, left], is_victim[:, left]
    highest = np.where(victims, mine, np.iinfo(np.int64).min).max(axis=0)
    count = victims.sum(axis=0)
    total = np.where(victims, mine, 0).sum(axis=0) + count * PRIORITY_OFFSET
    is_highest = victims & (mine == highest)
    earliest_s = np.where(is_highest, started_s[:, left], np.inf).min(axis=0)
    order = np.lexsort((left, -earliest_s, count, total, highest))
    return int(left[order[0]])
