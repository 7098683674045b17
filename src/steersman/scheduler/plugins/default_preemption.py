"""DefaultPreemption: when nothing fits, find the node where it takes the least harm to make the pod fit.

A node's victims are minimal: all pods of lower priority are taken away, then as many as possible are put back, those whose
eviction would violate a PodDisruptionBudget and the most important first. Where only resources are short, all nodes are
judged at once, in columns; else node by node against the table itself, which is restored afterwards.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import PODDISRUPTIONBUDGETS
from steersman.scheduler.diagnosis import PREEMPTION_UNHELPFUL, Diagnosis
from steersman.scheduler.framework import Nomination, NoNomination, PostFilterPlugin, Search
from steersman.scheduler.plugin_args import Args, ArgsError, integer, reject_unknown
from steersman.scheduler.pod_info import PodInfo
from steersman.scheduler.victims import Candidate, best, by_importance, split_by_budgets

NO_VICTIMS = "No preemption victims found for incoming pod"
Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RowPods:
    """The pods of a node, the most important first."""

    version: int
    pods: tuple[PodInfo, ...]
    priorities: NDArray[np.int64]


@dataclass(slots=True, kw_only=True, eq=False)
class DefaultPreemption:
    NAME: ClassVar[str] = "DefaultPreemption"

    min_candidate_percentage: int = 10
    min_candidates: int = 100
    _rows: dict[int, RowPods] = field(default_factory=dict)

    @classmethod
    def from_args(cls, args: Args) -> DefaultPreemption:
        reject_unknown(args, ("minCandidateNodesPercentage", "minCandidateNodesAbsolute"))
        percentage = integer(args, "minCandidateNodesPercentage", 10, least=0, most=100)
        absolute = integer(args, "minCandidateNodesAbsolute", 100, least=0, most=2**31 - 1)
        if not (percentage or absolute):
            raise ArgsError("minCandidateNodesPercentage, minCandidateNodesAbsolute: Invalid value: both are 0")
        return cls(min_candidate_percentage=percentage, min_candidates=absolute)

    def post_filter(self, pod: PodInfo, search: Search) -> Nomination | NoNomination | None:
        obstacle = self._ineligible(pod, search)
        if obstacle:
            return NoNomination(message=f"preemption: {obstacle}", clear_nomination=False)
        rows = search.resolvable_rows()
        reasons: Counter[str] = Counter()
        candidates = self._candidates(pod, search, rows, reasons) if len(rows) else []
        if not candidates:
            node_count = search.cluster.nodes.node_count
            if len(rows) < node_count:
                reasons[PREEMPTION_UNHELPFUL] += node_count - len(rows)
            message = Diagnosis(node_count=node_count, reasons=dict(reasons)).message
            return NoNomination(message=f"preemption: {message}")
        chosen = best(candidates)
        return Nomination(
            node_name=chosen.node_name, victims=chosen.victims, budget_violations=chosen.budget_violations
        )

    def _ineligible(self, pod: PodInfo, search: Search) -> str:
        if not pod.preempts:
            return "not eligible due to preemptionPolicy=Never."
        cluster = search.cluster
        nominated = cluster.nominations.node_of(pod.uid) or pod.nominated_node
        row = cluster.nodes.rows.get(nominated)
        if row is None or search.is_unresolvable(nominated):
            return ""
        for other in cluster.nodes.pods_on(row).values():
            if other.priority < pod.priority and _leaves_by_preemption(other.obj):
                return "not eligible due to a terminating pod on the nominated node."
        return ""

    def _candidates(self, pod: PodInfo, search: Search, rows: Rows, reasons: Counter[str]) -> list[Candidate]:
        budgets = list(search.cluster.lister(PODDISRUPTIONBUDGETS).all())
        wanted = search.lacking_resources()
        if wanted is not None:
            return self._candidates_by_resources(pod, search, rows, budgets, wanted, reasons)
        limit = max(len(rows) * self.min_candidate_percentage // 100, self.min_candidates)
        offset = zlib.crc32(pod.uid.encode()) % len(rows)
        harmless: list[Candidate] = []
        violating: list[Candidate] = []
        for row in np.roll(rows, -offset):
            candidate = self._clear_node(pod, search, int(row), budgets, reasons)
            if candidate is not None:
                (violating if candidate.budget_violations else harmless).append(candidate)
                if harmless and len(harmless) + len(violating) >= limit:
                    break
        return [*harmless, *violating]

    # -- node by node ------------------------------------------------------------------------------------------------

    def _clear_node(
        self, pod: PodInfo, search: Search, row: int, budgets: Sequence[Object], reasons: Counter[str]
    ) -> Candidate | None:
        table = search.cluster.nodes
        lesser = [other for other in self._pods_on(search, row).pods if other.priority < pod.priority]
        if not lesser:
            reasons[NO_VICTIMS] += 1
            return None
        only = np.array([row], dtype=np.intp)
        removed: dict[str, PodInfo] = {}
        for other in lesser:
            table.remove_pod(other.uid)
            removed[other.uid] = other
        try:
            if not search.fits(only)[0]:
                for reason in search.why_not(row):
                    reasons[reason] += 1
                return None
            violating, others = split_by_budgets(lesser, budgets)
            violations = 0
            for other in (*violating, *others):
                table.add_pod(other)
                del removed[other.uid]
                if not search.fits(only)[0]:
                    table.remove_pod(other.uid)
                    removed[other.uid] = other
                    violations += other in violating
            victims = by_importance(removed.values())
        finally:
            for other in removed.values():
                table.add_pod(other)
        if not victims:
            return None
        return Candidate(node_name=table.names[row], victims=tuple(victims), budget_violations=violations)

    # -- all nodes at once -------------------------------------------------------------------------------------------

    def _candidates_by_resources(
        self,
        pod: PodInfo,
        search: Search,
        rows: Rows,
        budgets: Sequence[Object],
        wanted: Sequence[tuple[str, int, int]],
        reasons: Counter[str],
    ) -> list[Candidate]:
        table = search.cluster.nodes
        queues = [self._reprieve_order(search, int(row), pod, budgets) for row in rows]
        has_victims = np.array([bool(queue) for queue in queues], dtype=np.bool_)
        if not has_victims.all():
            reasons[NO_VICTIMS] += int(np.count_nonzero(~has_victims))
            rows = rows[has_victims]
            queues = [queue for queue in queues if queue]
        if not queues:
            return []
        names = [name for name, _, _ in wanted]
        room = np.stack([table.allowed_pods[rows] - table.pod_count[rows], *(
            table.allocatable[index, rows] - table.requested[index, rows] for _, index, _ in wanted
        )]) - _promised(pod, search, rows, names)  # fmt: skip
        need = np.array([1, *(value for _, _, value in wanted)], dtype=np.int64)[:, None]
        depth = max(len(queue) for queue in queues)
        sizes = np.zeros((depth, len(need), len(rows)), dtype=np.int64)
        is_there = np.zeros((depth, len(rows)), dtype=np.bool_)
        for column, queue in enumerate(queues):
            for place, (other, _) in enumerate(queue):
                is_there[place, column] = True
                sizes[place, :, column] = (1, *(other.requests.amounts.get(name, 0) for name in names))
        room = room + sizes.sum(axis=0)
        fits = (need <= room).all(axis=0)
        is_victim = np.zeros_like(is_there)
        for place in range(depth):
            left = room - sizes[place]
            stays = (need <= left).all(axis=0)
            room = np.where(stays, left, room)
            is_victim[place] = ~stays & is_there[place]
        for column in (int(index) for index in np.flatnonzero(~fits)):
            for name, lacking in zip(("", *names), (need[:, 0] > room[:, column]), strict=True):
                if lacking:
                    reasons[f"Insufficient {name}" if name else "Too many pods"] += 1
        candidates = []
        for column in (int(index) for index in np.flatnonzero(fits & is_victim.any(axis=0))):
            chosen = [queues[column][place] for place in np.flatnonzero(is_victim[:, column])]
            candidates.append(
                Candidate(
                    node_name=table.names[int(rows[column])],
                    victims=tuple(by_importance(other for other, _ in chosen)),
                    budget_violations=sum(violates for _, violates in chosen),
                )
            )
        return candidates

    def _reprieve_order(
        self, search: Search, row: int, pod: PodInfo, budgets: Sequence[Object]
    ) -> list[tuple[PodInfo, bool]]:
        """Pods of lower priority in the order in which they are put back, and whether a budget protects them."""
        here = self._pods_on(search, row)
        lesser = here.pods[int(np.searchsorted(-here.priorities, -pod.priority, side="right")) :]
        if not budgets:
            return [(other, False) for other in lesser]
        violating, others = split_by_budgets(lesser, budgets)
        return [*((other, True) for other in violating), *((other, False) for other in others)]

    def _pods_on(self, search: Search, row: int) -> RowPods:
        table = search.cluster.nodes
        version = int(table.pods_version[row])
        known = self._rows.get(row)
        if known is None or known.version != version:
            pods = tuple(by_importance(table.pods_on(row).values()))
            priorities = np.array([pod.priority for pod in pods], dtype=np.int64)
            known = self._rows[row] = RowPods(version=version, pods=pods, priorities=priorities)
        return known


def _promised(pod: PodInfo, search: Search, rows: Rows, names: Sequence[str]) -> NDArray[np.int64]:
    """What nominated pods of at least this priority will take of each node: pods, then each resource."""
    taken = np.zeros((len(names) + 1, len(rows)), dtype=np.int64)
    column_of = {int(row): column for column, row in enumerate(rows)}
    table = search.cluster.nodes
    for other, node_name in search.cluster.nominations.relevant_to(pod):
        column = column_of.get(table.rows.get(node_name, -1))
        if column is not None and table.pod(other.uid) is None:
            taken[:, column] += np.array([1, *(other.requests.amounts.get(name, 0) for name in names)])
    return taken


def _leaves_by_preemption(pod: Object) -> bool:
    if not objects.is_deleting(pod):
        return False
    entry = objects.condition(pod, "DisruptionTarget") or {}
    return entry.get("status") == "True" and entry.get("reason") == "PreemptionByScheduler"


def _conforms() -> PostFilterPlugin:
    return DefaultPreemption()
