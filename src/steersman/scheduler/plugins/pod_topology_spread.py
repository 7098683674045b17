"""PodTopologySpread: keep the pods that a constraint selects evenly spread over the domains of a topology.

Hard constraints (``DoNotSchedule``) filter, soft ones (``ScheduleAnyway``) score. Pods without constraints of their own get
the default ones, which select the pod's siblings by its Services and its owner.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, get_args

import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import REPLICASETS, REPLICATIONCONTROLLERS, SERVICES, STATEFULSETS
from steersman.meta.selectors import LabelSelector
from steersman.scheduler.cluster import Cluster, Lister
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
from steersman.scheduler.node_selection import matching_nodes
from steersman.scheduler.node_table import NodeTable
from steersman.scheduler.plugin_args import Args, ArgsError, reject_unknown
from steersman.scheduler.pod_info import PodInfo
from steersman.scheduler.pod_tallies import Question
from steersman.scheduler.taints import first_untolerated
from steersman.scheduler.topology_spread import (
    HOSTNAME,
    SYSTEM_DEFAULTS,
    Action,
    Constraint,
    constraints_of,
    default_selector,
)

_NO_LABEL, _SKEWED = 1, 2
_REASON = "node(s) didn't match pod topology spread constraints"
_REJECTIONS = {
    _NO_LABEL: Rejection(reasons=(f"{_REASON} (missing required label)",), unresolvable=True),
    _SKEWED: Rejection(reasons=(_REASON,)),
}
_MEMO_LIMIT = 4096


class Limit(Struct, frozen=True, kw_only=True):
    """A hard constraint at work: which domains are full."""

    column: LabelColumn
    is_full: Mask
    """By domain id; the last element stands for nodes without the label and is never asked."""


class Preference(Struct, frozen=True, kw_only=True):
    """A soft constraint at work."""

    column: LabelColumn
    max_skew: int
    weight: float
    per_node: NDArray[np.int32] | None = None
    """For the hostname: matching pods by row."""
    per_domain: NDArray[np.float64] | None = None
    """Otherwise: matching pods by domain id."""


class Preferences(Struct, frozen=True, kw_only=True):
    """The state of scoring."""

    constraints: tuple[Preference, ...]
    is_ignored: Mask
    """By row: nodes that lack a topology key and get no score."""


class PodTopologySpread(Struct, kw_only=True, eq=False):
    NAME: ClassVar[str] = "PodTopologySpread"
    LOCAL: ClassVar[bool] = False
    READS_PODS: ClassVar[bool] = True

    defaults: tuple[Mapping[str, Any], ...] = SYSTEM_DEFAULTS
    has_system_defaults: bool = True
    _default_constraints: Mapping[Action, tuple[Constraint, ...]] = field(default_factory=dict)
    """Without a selector: each pod has its own."""
    _selectors: dict[bytes, LabelSelector] = field(default_factory=dict)
    """By the signature of the pod."""
    _selectors_version: int = -1
    _siblings: tuple[Lister, ...] = ()
    """What default selectors are made from."""

    def __post_init__(self) -> None:
        self._default_constraints = {action: constraints_of(self.defaults, action, {}) for action in get_args(Action)}

    @classmethod
    def from_args(cls, args: Args) -> PodTopologySpread:
        reject_unknown(args, ("defaultConstraints", "defaultingType"))
        kind = args.get("defaultingType") or "System"
        stated = tuple(args.get("defaultConstraints") or ())
        if kind not in ("System", "List"):
            raise ArgsError(f'defaultingType: Unsupported value: "{kind}": supported values: "System", "List"')
        if kind == "System":
            if stated:
                raise ArgsError('defaultingType: Invalid value: "System": when .defaultConstraints are not empty')
            return cls()
        _check_defaults(stated)
        return cls(defaults=stated, has_system_defaults=False)

    # -- filter ------------------------------------------------------------------------------------------------------

    def pre_filter(self, pod: PodInfo, cluster: Cluster) -> Any:
        constraints = self._constraints(pod, "DoNotSchedule", cluster)
        if not constraints:
            return SKIP
        table = cluster.nodes
        columns = [table.column(constraint.topology_key) for constraint in constraints]
        candidates = table.alive[: table.count].copy()
        for column in columns:
            candidates &= column.ids[: table.count] != ABSENT
        return tuple(
            _limit(constraint, column, _counted(constraint, pod, table, candidates), pod, table)
            for constraint, column in zip(constraints, columns, strict=True)
        )

    def filter(self, state: Any, table: NodeTable, rows: Rows) -> Codes:
        codes = np.zeros(table.alive[rows].shape, dtype=np.int64)
        for limit in reversed(state):
            ids = limit.column.ids[rows]
            codes = np.where(limit.is_full[ids], _SKEWED, codes)
            codes = np.where(ids == ABSENT, _NO_LABEL, codes)
        return codes

    def rejection(self, state: Any, code: int) -> Rejection:
        return _REJECTIONS[code]

    # -- score -------------------------------------------------------------------------------------------------------

    def pre_score(self, pod: PodInfo, cluster: Cluster, feasible: Mask) -> Any:
        constraints = self._constraints(pod, "ScheduleAnyway", cluster)
        if not constraints:
            return SKIP
        table = cluster.nodes
        needs_all_keys = bool(pod.template.spread_constraints) or not self.has_system_defaults
        columns = [table.column(constraint.topology_key) for constraint in constraints]
        complete = table.alive[: table.count].copy()
        if needs_all_keys:
            for column in columns:
                complete &= column.ids[: table.count] != ABSENT
        scored = feasible & complete
        return Preferences(
            constraints=tuple(
                _preference(constraint, column, pod, table, complete, scored)
                for constraint, column in zip(constraints, columns, strict=True)
            ),
            is_ignored=~complete,
        )

    def score(self, state: Any, table: NodeTable, rows: Rows) -> Scores:
        total = np.zeros(table.alive[rows].shape, dtype=np.float64)
        for preference in state.constraints:
            ids = preference.column.ids[rows]
            if preference.per_node is not None:
                count = preference.per_node[rows].astype(np.float64)
            else:
                count = preference.per_domain[ids]
            total += np.where(ids != ABSENT, count * preference.weight + (preference.max_skew - 1), 0.0)
        total[state.is_ignored[rows]] = 0.0
        return np.floor(total + 0.5).astype(np.int64)

    def normalize(self, state: Any, scores: Scores, rows: Rows) -> Scores:
        """Fewer matching pods are better."""
        ignored = state.is_ignored[rows]
        counted = scores[~ignored]
        if not len(counted):
            return np.zeros_like(scores)
        least, most = int(counted.min()), int(counted.max())
        if most == 0:
            return np.where(ignored, 0, MAX_NODE_SCORE)
        return np.where(ignored, 0, MAX_NODE_SCORE * (most + least - scores) // most)

    # -- events ------------------------------------------------------------------------------------------------------

    def events(self) -> Sequence[EventInterest]:
        return (
            EventInterest(
                resource="Pod",
                actions=frozenset({"Add", "UpdatePodLabel", "UpdatePodToleration", "Delete"}),
                hint=self._after_pod_change,
            ),
            EventInterest(
                resource="Node",
                actions=frozenset({"Add", "Delete", "UpdateNodeLabel", "UpdateNodeTaint"}),
                hint=self._after_node_change,
            ),
        )

    def _after_pod_change(self, pod: PodInfo, event: ClusterEvent) -> bool:
        if not all(_is_involved(other, pod) for other in (event.old, event.new) if other is not None):
            return False
        constraints = self._known_constraints(pod)
        if event.old is not None and event.new is not None:
            if objects.uid(event.new) == pod.uid and event.action == "UpdatePodToleration":
                return any(constraint.honors_taints for constraint in constraints)
            before, after = objects.labels(event.old), objects.labels(event.new)
            return any(
                constraint.selector.matches(before) != constraint.selector.matches(after) for constraint in constraints
            )
        labels = objects.labels(event.new if event.new is not None else event.old or {})
        return any(constraint.selector.matches(labels) for constraint in constraints)

    def _after_node_change(self, pod: PodInfo, event: ClusterEvent) -> bool:
        keys = [constraint.topology_key for constraint in self._known_constraints(pod)]

        def is_domain(node: Object | None) -> bool:
            return node is not None and all(key in objects.labels(node) for key in keys)

        if event.old is None or event.new is None:
            return is_domain(event.old if event.new is None else event.new)
        if is_domain(event.old) != is_domain(event.new):
            return True
        if not is_domain(event.new):
            return False
        before, after = objects.labels(event.old), objects.labels(event.new)
        taints_changed = (event.old.get("spec") or {}).get("taints") != (event.new.get("spec") or {}).get("taints")
        return taints_changed or any(before[key] != after[key] for key in keys)

    def _known_constraints(self, pod: PodInfo) -> tuple[Constraint, ...]:
        """Hard constraints without looking at the cluster: hard default ones keep no selector here."""
        if pod.template.spread_constraints:
            return constraints_of(pod.template.spread_constraints, "DoNotSchedule", pod.labels)
        return self._default_constraints["DoNotSchedule"]

    def _constraints(self, pod: PodInfo, action: Action, cluster: Cluster) -> tuple[Constraint, ...]:
        if pod.template.spread_constraints:
            return constraints_of(pod.template.spread_constraints, action, pod.labels)
        constraints = self._default_constraints[action]
        if not constraints:
            return ()
        selector = self._default_selector(pod, cluster)
        if selector.is_everything:
            return ()
        return tuple(
            Constraint(max_skew=entry.max_skew, topology_key=entry.topology_key, selector=selector)
            for entry in constraints
        )

    def _default_selector(self, pod: PodInfo, cluster: Cluster) -> LabelSelector:
        """Memoised until a Service or an owner changes."""
        if not self._siblings:
            self._siblings = tuple(map(cluster.lister, (SERVICES, REPLICATIONCONTROLLERS, REPLICASETS, STATEFULSETS)))
        version = sum(lister.version for lister in self._siblings)
        if version != self._selectors_version or len(self._selectors) > _MEMO_LIMIT:
            self._selectors.clear()
            self._selectors_version = version
        found = self._selectors.get(pod.signature)
        if found is None:
            found = self._selectors[pod.signature] = default_selector(pod, cluster)
        return found


def _check_defaults(stated: Sequence[Mapping[str, Any]]) -> None:
    seen = set()
    for index, entry in enumerate(stated):
        path = f"defaultConstraints[{index}]"
        reject_unknown(entry, ("maxSkew", "topologyKey", "whenUnsatisfiable", "labelSelector"), path)
        if int(entry.get("maxSkew") or 0) <= 0:
            raise ArgsError(f"{path}.maxSkew: Invalid value: {entry.get('maxSkew')}: not in valid range (0, inf)")
        if not entry.get("topologyKey"):
            raise ArgsError(f"{path}.topologyKey: Required value: can not be empty")
        if entry.get("whenUnsatisfiable") not in ("DoNotSchedule", "ScheduleAnyway"):
            raise ArgsError(f'{path}.whenUnsatisfiable: Unsupported value: "{entry.get("whenUnsatisfiable")}"')
        if entry.get("labelSelector") is not None:
            raise ArgsError(
                f"{path}.labelSelector: Forbidden: constraint must not define a selector, as they deduced for each pod"
            )
        kind = (entry["topologyKey"], entry["whenUnsatisfiable"])
        if kind in seen:
            raise ArgsError(f"{path}: Duplicate value: {kind[0]}, {kind[1]}")
        seen.add(kind)


def _counted(constraint: Constraint, pod: PodInfo, table: NodeTable, candidates: Mask) -> Mask:
    """The nodes among ``candidates`` (rows ``[:count]``) whose pods and domains the constraint counts."""
    rows = slice(0, table.count)
    if constraint.honors_affinity and not pod.template.node_affinity.is_everything:
        candidates = candidates & matching_nodes(pod.template.node_affinity, table, rows)
    if constraint.honors_taints:
        tolerations = pod.template.tolerations
        open_sets = np.array([first_untolerated(taints, tolerations) is None for taints in table.taint_sets])
        candidates = candidates & open_sets[table.taint_set[rows]]
    return candidates


def _counts(constraint: Constraint, pod: PodInfo, table: NodeTable) -> NDArray[np.int32]:
    """Matching pods by row. A selector that selects everything counts nothing (so upstream)."""
    if constraint.selector.is_everything:
        return np.zeros(table.count, dtype=np.int32)
    question = Question(selectors=(constraint.selector,), namespaces=frozenset({pod.namespace}), running_only=True)
    return table.tallies.tally(question).counts[: table.count]


def _limit(constraint: Constraint, column: LabelColumn, counted: Mask, pod: PodInfo, table: NodeTable) -> Limit:
    ids, counts = column.ids[: table.count], _counts(constraint, pod, table)
    if not counted.all():
        ids, counts = ids[counted], counts[counted]
    size = len(column) + 1
    is_domain = np.bincount(ids, minlength=size) > 0
    matching = np.bincount(ids, weights=counts, minlength=size)
    least = 0.0
    if int(np.count_nonzero(is_domain)) >= constraint.min_domains and is_domain.any():
        least = float(matching[is_domain].min())
    matches_itself = 1 if constraint.selector.matches(pod.labels) else 0
    return Limit(column=column, is_full=matching + matches_itself - least > constraint.max_skew)


def _preference(
    constraint: Constraint, column: LabelColumn, pod: PodInfo, table: NodeTable, complete: Mask, scored: Mask
) -> Preference:
    if constraint.topology_key == HOSTNAME:
        return Preference(
            column=column,
            max_skew=constraint.max_skew,
            weight=math.log(int(np.count_nonzero(scored)) + 2),
            per_node=_counts(constraint, pod, table),
        )
    ids = column.ids[: table.count]
    size = len(column) + 1
    is_candidate = np.bincount(ids[scored] + 1, minlength=size) > 0
    counted = _counted(constraint, pod, table, complete) & (ids != ABSENT)
    weights = _counts(constraint, pod, table)[counted].astype(np.float64)
    matching: NDArray[np.float64] = np.bincount(ids[counted], weights=weights, minlength=size).astype(np.float64)
    return Preference(
        column=column,
        max_skew=constraint.max_skew,
        weight=math.log(int(np.count_nonzero(is_candidate)) + 2),
        per_domain=matching,
    )


def _is_involved(other: Object, pod: PodInfo) -> bool:
    """A pod on (or promised) a node in the same namespace, or the pod itself."""
    if objects.uid(other) == pod.uid:
        return True
    placed = (other.get("spec") or {}).get("nodeName") or (other.get("status") or {}).get("nominatedNodeName")
    return bool(placed) and objects.namespace(other) == pod.namespace


def _conforms() -> tuple[
    PreFilterPlugin, FilterPlugin, PreScorePlugin, ScorePlugin, NormalizeScorePlugin, EnqueuePlugin
]:
    plugin = PodTopologySpread()
    return plugin, plugin, plugin, plugin, plugin, plugin
