"""DefaultPreemption: when nothing fits, find the node where it takes the least harm to make the pod fit.

A node's victims are minimal: all pods of lower priority are taken away, then as many as possible are put back, those whose
eviction would violate a PodDisruptionBudget and the most important first. Where only resources are short, all nodes are
judged at once, in columns; else node by node against the table itself, which is restored afterwards.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from msgspec import Struct, field
from msgspec.structs import replace
from numpy.typing import NDArray

from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import PODDISRUPTIONBUDGETS
from steersman.scheduler.diagnosis import PREEMPTION_UNHELPFUL, Diagnosis
from steersman.scheduler.framework import NoAnswer, Nomination, NoNomination, PostFilterPlugin, Search
from steersman.scheduler.plugin_args import Args, ArgsError, integer, reject_unknown
from steersman.scheduler.plugin_calls import PluginFailed
from steersman.scheduler.pod_info import PodInfo
from steersman.scheduler.victim_columns import VictimColumns
from steersman.scheduler.victims import Candidate, best, by_importance, split_by_budgets

NO_VICTIMS = "No preemption victims found for incoming pod"
Rows = NDArray[np.intp]


class DefaultPreemption(Struct, kw_only=True, eq=False):
    NAME: ClassVar[str] = "DefaultPreemption"

    min_candidate_percentage: int = 10
    min_candidates: int = 100
    _columns: VictimColumns = field(default_factory=VictimColumns)

    @classmethod
    def from_args(cls, args: Args) -> DefaultPreemption:
        reject_unknown(args, ("minCandidateNodesPercentage", "minCandidateNodesAbsolute"))
        percentage = integer(args, "minCandidateNodesPercentage", 10, least=0, most=100)
        absolute = integer(args, "minCandidateNodesAbsolute", 100, least=0, most=2**31 - 1)
        if not (percentage or absolute):
            raise ArgsError("minCandidateNodesPercentage, minCandidateNodesAbsolute: Invalid value: both are 0")
        return cls(min_candidate_percentage=percentage, min_candidates=absolute)

    def post_filter(self, pod: PodInfo, search: Search) -> Nomination | NoNomination | NoAnswer:
        obstacle = self._ineligible(pod, search)
        if obstacle:
            return NoNomination(message=f"preemption: {obstacle}", clear_nomination=False)
        rows = search.resolvable_rows()
        reasons: Counter[str] = Counter()
        failures: list[str] = []
        candidates = self._candidates(pod, search, rows, reasons, failures) if len(rows) else []
        if failures and not candidates:
            different = list(dict.fromkeys(failures))
            failed = different[0] if len(different) == 1 else f"[{', '.join(different)}]"
            return NoAnswer(message=f"preemption: {failed}")
        if not candidates:
            node_count = search.cluster.nodes.node_count
            if len(rows) < node_count:
                reasons[PREEMPTION_UNHELPFUL] += node_count - len(rows)
            message = Diagnosis(node_count=node_count, reasons=dict(reasons)).message
            return NoNomination(message=f"preemption: {message}")
        nominations = tuple(_nomination(candidate) for candidate in candidates) if search.wants_alternatives else ()
        return replace(_nomination(best(candidates)), alternatives=nominations)

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

    def _candidates(
        self, pod: PodInfo, search: Search, rows: Rows, reasons: Counter[str], failures: list[str]
    ) -> list[Candidate]:
        """``reasons`` and ``failures`` collect why nodes cannot be cleared, and what plugins failed with."""
        budgets = list(search.cluster.lister(PODDISRUPTIONBUDGETS).all())
        wanted = search.lacking_resources()
        if wanted is None or search.wants_alternatives:
            return self._clear_nodes(pod, search, rows, budgets, reasons, failures)
        protected = self._protected(pod, search, rows, budgets)
        found = self._clear_nodes(pod, search, rows[protected], budgets, reasons, failures)
        candidate = self._clear_at_once(pod, search, rows[~protected], wanted, reasons)
        return [*found, candidate] if candidate else found

    # -- node by node ------------------------------------------------------------------------------------------------

    def _clear_nodes(
        self,
        pod: PodInfo,
        search: Search,
        rows: Rows,
        budgets: Sequence[Object],
        reasons: Counter[str],
        failures: list[str],
    ) -> list[Candidate]:
        """Some candidates: upstream's minimum number of them, beginning at a node that differs from pod to pod."""
        if not len(rows):
            return []
        limit = max(len(rows) * self.min_candidate_percentage // 100, self.min_candidates)
        offset = zlib.crc32(pod.uid.encode()) % len(rows)
        harmless: list[Candidate] = []
        violating: list[Candidate] = []
        for row in np.roll(rows, -offset):
            try:
                candidate = self._clear_node(pod, search, int(row), budgets, reasons)
            except PluginFailed as failure:
                failures.append(str(failure))
                continue
            if candidate is not None:
                (violating if candidate.budget_violations else harmless).append(candidate)
                if harmless and len(harmless) + len(violating) >= limit:
                    break
        return [*harmless, *violating]

    def _clear_node(
        self, pod: PodInfo, search: Search, row: int, budgets: Sequence[Object], reasons: Counter[str]
    ) -> Candidate | None:
        table = search.cluster.nodes
        lesser = [other for other in self._columns.pods_on(table, row) if other.priority < pod.priority]
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
                if not self._still_fits(search, only):
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

    @staticmethod
    def _still_fits(search: Search, only: Rows) -> bool:
        """A plugin that fails here leaves the victim a victim."""
        try:
            return bool(search.fits(only)[0])
        except PluginFailed:
            return False

    # -- all nodes at once -------------------------------------------------------------------------------------------

    def _protected(self, pod: PodInfo, search: Search, rows: Rows, budgets: Sequence[Object]) -> NDArray[np.bool_]:
        """Nodes where the eviction of some pod would violate a budget; these are judged one by one."""
        protected = np.zeros(len(rows), dtype=np.bool_)
        for index, row in enumerate(rows) if budgets else ():
            pods = self._columns.pods_on(search.cluster.nodes, int(row))
            lesser = [other for other in pods if other.priority < pod.priority]
            protected[index] = bool(split_by_budgets(lesser, budgets)[0])
        return protected

    def _clear_at_once(
        self,
        pod: PodInfo,
        search: Search,
        rows: Rows,
        wanted: Sequence[tuple[str, int, int]],
        reasons: Counter[str],
    ) -> Candidate | None:
        table = search.cluster.nodes
        has_lower = self._columns.has_lower(table, rows, pod.priority)
        if not has_lower.all():
            reasons[NO_VICTIMS] += int(np.count_nonzero(~has_lower))
            rows = rows[has_lower]
        if not len(rows):
            return None
        names = [name for name, _, _ in wanted]
        promised = _promised(pod, search, rows, names)
        candidate, shortage = self._columns.clear(table, rows, pod.priority, wanted, promised)
        for name, lacking in zip(("", *names), shortage.lacking, strict=True):
            if lacking.any():
                reasons[f"Insufficient {name}" if name else "Too many pods"] += int(np.count_nonzero(lacking))
        return candidate


def _nomination(candidate: Candidate) -> Nomination:
    return Nomination(
        node_name=candidate.node_name, victims=candidate.victims, budget_violations=candidate.budget_violations
    )


def _promised(pod: PodInfo, search: Search, rows: Rows, names: Sequence[str]) -> NDArray[np.int64]:
    """What nominated pods of at least this priority will take of each node: pods, then each resource."""
    taken = np.zeros((len(names) + 1, len(rows)), dtype=np.int64)
    table, nominations = search.cluster.nodes, search.cluster.nominations
    if not len(nominations):
        return taken
    slots = nominations.before(pod, table)
    column_of = np.full(table.capacity, -1, dtype=np.intp)
    column_of[rows] = np.arange(len(rows))
    slots = slots[column_of[nominations.rows(slots)] >= 0]
    columns = column_of[nominations.rows(slots)]
    np.add.at(taken[0], columns, 1)
    for place, name in enumerate(names, start=1):
        np.add.at(taken[place], columns, nominations.amounts(slots, name))
    return taken


def _leaves_by_preemption(pod: Object) -> bool:
    if not objects.is_deleting(pod):
        return False
    entry = objects.condition(pod, "DisruptionTarget") or {}
    return entry.get("status") == "True" and entry.get("reason") == "PreemptionByScheduler"


def _conforms() -> PostFilterPlugin:
    return DefaultPreemption()
