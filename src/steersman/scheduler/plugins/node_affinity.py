"""NodeAffinity: node selectors, required and preferred node affinity, and the affinity that a profile adds to all pods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from msgspec import Struct

from steersman.scheduler.affinity import (
    NodeSelectorTerm,
    PreferredNodeTerm,
    RequiredNodeAffinity,
    node_selector_terms,
    preferred_node_terms,
)
from steersman.scheduler.cluster import Cluster
from steersman.scheduler.events import ClusterEvent, EventInterest
from steersman.scheduler.framework import (
    SKIP,
    Codes,
    EnqueuePlugin,
    FilterPlugin,
    NormalizeScorePlugin,
    OnlyNodes,
    PreFilterPlugin,
    PreScorePlugin,
    Rejection,
    ScorePlugin,
    Scores,
    default_normalize,
)
from steersman.scheduler.label_column import Mask, Rows
from steersman.scheduler.node_selection import matching_nodes, matching_term, node_matches
from steersman.scheduler.node_table import NodeTable
from steersman.scheduler.plugin_args import Args, ArgsError, reject_unknown
from steersman.scheduler.pod_info import PodInfo

_POD, _ADDED = 1, 2
_REJECTIONS = {
    _POD: Rejection(reasons=("node(s) didn't match Pod's node affinity/selector",), unresolvable=True),
    _ADDED: Rejection(reasons=("node(s) didn't match scheduler-enforced node affinity",), unresolvable=True),
}
_CONFLICT = Rejection(reasons=("pod affinity terms conflict",), unresolvable=True)


class NodeAffinity(Struct, frozen=True, kw_only=True):
    NAME: ClassVar[str] = "NodeAffinity"
    LOCAL: ClassVar[bool] = True
    READS_PODS: ClassVar[bool] = False

    added: RequiredNodeAffinity | None = None
    added_preferred: tuple[PreferredNodeTerm, ...] = ()

    @classmethod
    def from_args(cls, args: Args) -> NodeAffinity:
        reject_unknown(args, ("addedAffinity",))
        affinity = args.get("addedAffinity") or {}
        kinds = ("requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution")
        reject_unknown(affinity, kinds, "addedAffinity")
        required = affinity.get(kinds[0])
        added = None
        if required is not None:
            terms = node_selector_terms(required.get("nodeSelectorTerms") or ())
            if not terms:
                raise ArgsError(f"addedAffinity.{kinds[0]}.nodeSelectorTerms: Required value")
            added = RequiredNodeAffinity(terms=terms)
            if any(term.is_malformed for term in terms):
                raise ArgsError(f"addedAffinity.{kinds[0]}.nodeSelectorTerms: Invalid value: not a node selector")
        return cls(added=added, added_preferred=preferred_node_terms(affinity))

    def pre_filter(self, pod: PodInfo, cluster: Cluster) -> Any:
        affinity = pod.template.node_affinity
        if affinity.is_everything and self.added is None:
            return SKIP
        names = _names_required(affinity.terms)
        if names is None:
            return affinity
        return OnlyNodes(state=affinity, names=names) if names else _CONFLICT

    def filter(self, state: Any, table: NodeTable, rows: Rows) -> Codes:
        codes = np.where(matching_nodes(state, table, rows), 0, _POD)
        if self.added is not None:
            codes = np.where(matching_nodes(self.added, table, rows), codes, _ADDED)
        return codes

    def rejection(self, state: Any, code: int) -> Rejection:
        return _REJECTIONS[code]

    def pre_score(self, pod: PodInfo, cluster: Cluster, feasible: Mask) -> Any:
        return (*self.added_preferred, *pod.template.preferred_nodes) or SKIP

    def score(self, state: Any, table: NodeTable, rows: Rows) -> Scores:
        total = np.zeros(table.alive[rows].shape, dtype=np.int64)
        for preferred in state:
            total += np.where(matching_term(preferred.term, table, rows), preferred.weight, 0)
        return total

    def normalize(self, state: Any, scores: Scores, rows: Rows) -> Scores:
        return default_normalize(scores, reverse=False)

    def events(self) -> Sequence[EventInterest]:
        def matches_now(pod: PodInfo, event: ClusterEvent) -> bool:
            affinity, new = pod.template.node_affinity, event.new or {}
            if self.added is not None and not node_matches(self.added, new):
                return False
            if not node_matches(affinity, new):
                return False
            return event.old is None or not node_matches(affinity, event.old)

        return (EventInterest(resource="Node", actions=frozenset({"Add", "UpdateNodeLabel"}), hint=matches_now),)


def _names_required(terms: tuple[NodeSelectorTerm, ...] | None) -> frozenset[str] | None:
    """The only nodes that the terms allow by name; None where some term does not speak of names."""
    allowed: frozenset[str] = frozenset()
    for term in terms or ():
        named = [values for _, wanted, values in term.fields if wanted]
        if not named:
            return None
        allowed |= frozenset.intersection(*named)
    return allowed if terms else None


def _conforms() -> tuple[
    PreFilterPlugin, FilterPlugin, PreScorePlugin, ScorePlugin, NormalizeScorePlugin, EnqueuePlugin
]:
    plugin = NodeAffinity()
    return plugin, plugin, plugin, plugin, plugin, plugin
