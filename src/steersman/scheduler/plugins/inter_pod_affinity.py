"""InterPodAffinity: pods that want to be near others or away from them, in both directions.

Filter: the pod's required terms, and the required anti-affinity of pods that run already. Score: preferred terms of the
pod and of the pods that run already, and their required affinity with ``hardPodAffinityWeight``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import NAMESPACES
from steersman.scheduler.affinity import PodTerm, pod_terms
from steersman.scheduler.cluster import Cluster
from steersman.scheduler.events import ClusterEvent, EventInterest
from steersman.scheduler.framework import (
    MAX_NODE_SCORE,
    SKIP,
    Codes,
    EnqueuePlugin,
    FilterPlugin,
    NormalizeScorePlugin,
    PreFilterPlugin,
    PreScorePlugin,
    Rejection,
    ScorePlugin,
    Scores,
)
from steersman.scheduler.label_column import ABSENT, LabelColumn, Mask, Rows
from steersman.scheduler.node_table import NodeTable
from steersman.scheduler.plugin_args import Args, boolean, integer, reject_unknown
from steersman.scheduler.pod_info import PodInfo
from steersman.scheduler.pod_tallies import CarriedTerm, Question, TermKind

_AFFINITY, _ANTI, _EXISTING_ANTI = 1, 2, 3
_REJECTIONS = {
    _AFFINITY: Rejection(reasons=("node(s) didn't match pod affinity rules",), unresolvable=True),
    _ANTI: Rejection(reasons=("node(s) didn't match pod anti-affinity rules",)),
    _EXISTING_ANTI: Rejection(reasons=("node(s) didn't satisfy existing pods anti-affinity rules",)),
}
_MEMO_LIMIT = 4096


class Domains(Struct, frozen=True, kw_only=True):
    """A set of domains of one topology key, as a flag by domain id; the last element stands for no label."""

    column: LabelColumn
    flags: Mask


class Rules(Struct, frozen=True, kw_only=True):
    """The state of filtering."""

    wanted: tuple[Domains, ...]
    """Required affinity: the node must be in all of these."""
    hated: tuple[Domains, ...]
    """The pod's anti-affinity: the node must be in none of these."""
    hated_by_others: tuple[Domains, ...]


class InterPodAffinity(Struct, kw_only=True, eq=False):
    NAME: ClassVar[str] = "InterPodAffinity"
    LOCAL: ClassVar[bool] = False
    READS_PODS: ClassVar[bool] = True

    hard_pod_affinity_weight: int = 1
    ignores_preferences_of_others: bool = False
    _matching: dict[Any, list[CarriedTerm]] = field(default_factory=dict)
    _matching_version: tuple[int, ...] = ()

    @classmethod
    def from_args(cls, args: Args) -> InterPodAffinity:
        reject_unknown(args, ("hardPodAffinityWeight", "ignorePreferredTermsOfExistingPods"))
        return cls(
            hard_pod_affinity_weight=integer(args, "hardPodAffinityWeight", 1, least=0, most=100),
            ignores_preferences_of_others=boolean(args, "ignorePreferredTermsOfExistingPods"),
        )

    # -- filter ------------------------------------------------------------------------------------------------------

    def pre_filter(self, pod: PodInfo, cluster: Cluster) -> Any:
        table = cluster.nodes
        others = tuple(
            domains
            for carried in self._carried_about(pod, cluster, ("required_anti",))
            if (domains := _domains_with(table, carried.term.topology_key, carried.counts)) is not None
        )
        terms = pod.terms
        if not (others or terms.required or terms.required_anti):
            return SKIP
        hated = []
        for term in terms.required_anti:
            counts = table.tallies.tally(_question((term,), cluster)).counts
            domains = _domains_with(table, term.topology_key, counts)
            if domains is not None:
                hated.append(domains)
        return Rules(wanted=self._wanted(pod, cluster), hated=tuple(hated), hated_by_others=others)

    def filter(self, state: Any, table: NodeTable, rows: Rows) -> Codes:
        codes = np.zeros(table.alive[rows].shape, dtype=np.int64)
        for domains in state.hated_by_others:
            codes[domains.flags[domains.column.ids[rows]]] = _EXISTING_ANTI
        for domains in state.hated:
            codes[domains.flags[domains.column.ids[rows]]] = _ANTI
        for domains in state.wanted:
            codes[~domains.flags[domains.column.ids[rows]]] = _AFFINITY
        return codes

    def rejection(self, state: Any, code: int) -> Rejection:
        return _REJECTIONS[code]

    def _wanted(self, pod: PodInfo, cluster: Cluster) -> tuple[Domains, ...]:
        """Domains with a pod that matches all required terms. The first of pods that want each other may go anywhere that
        has the topology keys, or none of them could ever start."""
        terms = pod.terms.required
        if not terms:
            return ()
        table = cluster.nodes
        question = _question(terms, cluster)
        counts = table.tallies.tally(question).counts
        found = [_domains_with(table, term.topology_key, counts) for term in terms]
        if all(domains is None for domains in found) and question.includes(pod.namespace, pod.labels):
            return tuple(_everywhere(table.column(term.topology_key)) for term in terms)
        return tuple(
            domains if domains is not None else _nowhere(table.column(term.topology_key))
            for term, domains in zip(terms, found, strict=True)
        )

    # -- score -------------------------------------------------------------------------------------------------------

    def pre_score(self, pod: PodInfo, cluster: Cluster, feasible: Mask) -> Any:
        """By topology key: the column, and the sum of weights by domain id."""
        terms = pod.terms
        has_preferences = bool(terms.preferred or terms.preferred_anti)
        if self.ignores_preferences_of_others and not has_preferences:
            return SKIP
        table = cluster.nodes
        weights: dict[str, NDArray[np.float64]] = {}

        def add(key: str, counts: NDArray[np.int32], weight: int) -> None:
            mine = weights.get(key)
            if mine is None:
                mine = weights[key] = np.zeros(table.count, dtype=np.float64)
            mine += counts[: table.count] * float(weight)

        for sign, preferred in ((1, terms.preferred), (-1, terms.preferred_anti)):
            for term in preferred:
                tally = table.tallies.tally(_question((term,), cluster))
                if tally.total:
                    add(term.topology_key, tally.counts, sign * term.weight)
        kinds: tuple[TermKind, ...] = ("required", "preferred", "preferred_anti")
        for carried in self._carried_about(pod, cluster, kinds):
            weight = self.hard_pod_affinity_weight if carried.kind == "required" else carried.term.weight
            if weight:
                add(carried.term.topology_key, carried.counts, -weight if carried.kind == "preferred_anti" else weight)
        state = []
        for key, by_row in weights.items():
            column = table.column(key)
            ids = column.ids[: table.count]
            state.append((column, np.bincount(ids + 1, weights=by_row, minlength=len(column) + 1)))
        return tuple(state) if any(sums[1:].any() for _, sums in state) else SKIP

    def score(self, state: Any, table: NodeTable, rows: Rows) -> Scores:
        total = np.zeros(table.alive[rows].shape, dtype=np.float64)
        for column, sums in state:
            ids = column.ids[rows]
            total += np.where(ids != ABSENT, sums[ids + 1], 0.0)
        return total.astype(np.int64)

    def normalize(self, state: Any, scores: Scores, rows: Rows) -> Scores:
        least, most = int(scores.min()), int(scores.max())
        if most == least:
            return np.zeros_like(scores)
        return (MAX_NODE_SCORE * ((scores - least) / (most - least))).astype(np.int64)

    def _carried_about(self, pod: PodInfo, cluster: Cluster, kinds: tuple[TermKind, ...]) -> list[CarriedTerm]:
        """Terms of pods on nodes that speak of ``pod``. Memoised by what terms can see of it."""
        tallies = cluster.nodes.tallies
        if not tallies.has_carried:
            return []
        version = (tallies.carried_version, cluster.lister(NAMESPACES).version)
        if version != self._matching_version or len(self._matching) > _MEMO_LIMIT:
            self._matching.clear()
            self._matching_version = version
        key = (pod.namespace, pod.label_set)
        found = self._matching.get(key)
        if found is None:
            labels = cluster.namespace_labels(pod.namespace)
            found = self._matching[key] = [
                carried for carried in tallies.carried() if carried.term.matches(pod.namespace, pod.labels, labels)
            ]
        return [carried for carried in found if carried.kind in kinds] if found else found

    # -- events ------------------------------------------------------------------------------------------------------

    def events(self) -> Sequence[EventInterest]:
        return (
            EventInterest(
                resource="Pod", actions=frozenset({"Add", "UpdatePodLabel", "Delete"}), hint=_after_pod_change
            ),
            EventInterest(resource="Node", actions=frozenset({"Add", "UpdateNodeLabel"}), hint=_after_node_change),
        )


def _question(terms: Sequence[PodTerm], cluster: Cluster) -> Question:
    """Pods that match all ``terms``."""
    namespaces: frozenset[str] | None = None
    for term in terms:
        if term.namespace_selector.is_everything:
            continue
        allowed = term.namespaces | cluster.namespaces_matching(term.namespace_selector)
        namespaces = allowed if namespaces is None else namespaces & allowed
    return Question(selectors=tuple(term.selector for term in terms), namespaces=namespaces)


def _domains_with(table: NodeTable, topology_key: str, counts: NDArray[np.int32]) -> Domains | None:
    """Domains in which some node has a count; None where there are none."""
    column = table.column(topology_key)
    ids = column.ids[np.flatnonzero(counts[: table.count])]
    flags = np.zeros(len(column) + 1, dtype=np.bool_)
    flags[ids] = True
    flags[ABSENT] = False
    return Domains(column=column, flags=flags) if flags.any() else None


def _everywhere(column: LabelColumn) -> Domains:
    flags = np.ones(len(column) + 1, dtype=np.bool_)
    flags[ABSENT] = False
    return Domains(column=column, flags=flags)


def _nowhere(column: LabelColumn) -> Domains:
    return Domains(column=column, flags=np.zeros(len(column) + 1, dtype=np.bool_))


def _matches_all(terms: Sequence[PodTerm], pod: Object) -> bool:
    """As upstream's hints judge: by namespace names only, without namespace labels."""
    return bool(terms) and all(term.matches(objects.namespace(pod), objects.labels(pod), {}) for term in terms)


def _after_pod_change(pod: PodInfo, event: ClusterEvent) -> bool:
    old, new = event.old, event.new
    if old is not None and new is not None and objects.uid(new) == pod.uid:
        return True
    for other in (old, new):
        if other is not None and not (
            (other.get("spec") or {}).get("nodeName") or (other.get("status") or {}).get("nominatedNodeName")
        ):
            return False
    terms = pod.terms
    if new is not None:
        near_now = _matches_all(terms.required, new) and (old is None or not _matches_all(terms.required, old))
        away_now = (
            old is not None and _matches_all(terms.required_anti, old) and not _matches_all(terms.required_anti, new)
        )
        return near_now or away_now
    assert old is not None
    theirs = pod_terms((old.get("spec") or {}).get("affinity"), objects.namespace(old), objects.labels(old))
    return _matches_all(terms.required_anti, old) or _matches_all(theirs.required_anti, pod.obj)


def _after_node_change(pod: PodInfo, event: ClusterEvent) -> bool:
    after = objects.labels(event.new or {})
    if event.old is None:
        return bool(pod.terms.required_anti) or any(term.topology_key in after for term in pod.terms.required)
    before = objects.labels(event.old)
    return any(
        term.topology_key in after and before.get(term.topology_key) != after[term.topology_key]
        for term in pod.terms.required
    ) or any(
        term.topology_key in before and before[term.topology_key] != after.get(term.topology_key)
        for term in pod.terms.required_anti
    )


def _conforms() -> tuple[
    PreFilterPlugin, FilterPlugin, PreScorePlugin, ScorePlugin, NormalizeScorePlugin, EnqueuePlugin
]:
    plugin = InterPodAffinity()
    return plugin, plugin, plugin, plugin, plugin, plugin
