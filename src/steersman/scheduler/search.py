"""The search for nodes that one pod fits on: pre-filter, filter, and what a failed search says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from msgspec import Struct, field
from msgspec.structs import replace
from numpy.typing import NDArray

from steersman.scheduler.cluster import Cluster
from steersman.scheduler.diagnosis import EXTENDERS, Diagnosis
from steersman.scheduler.equivalence import (
    FITS,
    NO_NODE,
    Entry,
    EquivalenceCache,
    LocalRejection,
    LocalStates,
    local_states,
)
from steersman.scheduler.framework import (
    SKIP,
    Codes,
    Framework,
    OnlyNodes,
    Rejection,
    Search,
)
from steersman.scheduler.label_column import Mask, Rows
from steersman.scheduler.plugin_calls import filtered, pre_filtered
from steersman.scheduler.pod_info import PodInfo
from steersman.scheduler.promised import judge_promised, promised_rows, with_promised

Positions = NDArray[np.int8]


class PodSearch(Struct, kw_only=True, eq=False):
    """One search. ``feasible`` is over all rows of the table (holes are false)."""

    pod: PodInfo
    framework: Framework
    cluster: Cluster
    entry: Entry | None = None
    feasible: Mask = field(default_factory=lambda: np.empty(0, np.bool_))
    first: Positions = field(default_factory=lambda: np.empty(0, np.int8))
    """By row: position of the first filter plugin that rejects it."""
    all_local: bool = False
    """Only the cached answers of local plugins decided."""
    states: dict[int, Any] = field(default_factory=dict)
    codes: dict[int, Codes] = field(default_factory=dict)
    only: frozenset[str] | None = None
    only_by: tuple[str, ...] = ()
    rejection: Rejection | None = None
    rejected_by: str = ""
    extender_reasons: dict[str, tuple[str, bool]] = field(default_factory=dict)
    """Node name to (reason, unresolvable) as given by extenders; without a reason where one just left the node out."""
    wants_alternatives: bool = False
    """Extenders have a say about which node is cleared."""

    @property
    def is_successful(self) -> bool:
        return self.rejection is None and bool(self.feasible.any())

    @property
    def count(self) -> int:
        """How many nodes are feasible."""
        return int(np.count_nonzero(self.feasible))

    def rows(self) -> Rows:
        """The feasible rows: a slice where it is all of them."""
        if self.feasible.all():
            return slice(0, len(self.feasible))
        return np.flatnonzero(self.feasible)

    def names(self) -> list[str]:
        """The feasible nodes."""
        return [self.cluster.nodes.names[int(row)] for row in np.flatnonzero(self.feasible)]

    def on_nominated(self) -> PodSearch | None:
        """The same search of the pod's nominated node alone; None where it has none or does not fit there."""
        row = self.cluster.nodes.rows.get(self.pod.nominated_node, -1) if self.pod.nominated_node else -1
        if not 0 <= row < len(self.feasible) or not self.feasible[row]:
            return None
        return self.on(np.array([row], dtype=np.intp))

    def on(self, rows: NDArray[np.intp]) -> PodSearch:
        """The same search with only ``rows`` feasible."""
        feasible = np.zeros_like(self.feasible)
        feasible[rows] = True
        return replace(self, feasible=feasible, all_local=False)

    def restrict(self, names: frozenset[str], failed: Mapping[str, str], unresolvable: Mapping[str, str]) -> None:
        """Extenders left only ``names`` of the feasible nodes; the others have reasons."""
        self.all_local = False
        self.extender_reasons |= {name: (reason, False) for name, reason in failed.items()}
        self.extender_reasons |= {name: (reason, True) for name, reason in unresolvable.items()}
        rows = [row for name in names if (row := self.cluster.nodes.rows.get(name)) is not None]
        allowed = np.zeros_like(self.feasible)
        allowed[[row for row in rows if row < len(allowed)]] = True
        self.feasible = self.feasible & allowed

    def state_of(self, plugin: str) -> Any:
        names = (each.NAME for each in self.framework.filter)
        return next((self.states.get(position) for position, name in enumerate(names) if name == plugin), None)

    def reached(self, plugin: str) -> bool:
        names = [each.NAME for each in self.framework.filter]
        return plugin in names and (self.rejection is None or names.index(plugin) <= names.index(self.rejected_by))

    def resolvable_rows(self) -> NDArray[np.intp]:
        unresolvable = self._unresolvable()
        return np.flatnonzero(self.cluster.nodes.alive[: len(self.feasible)] & ~self.feasible & ~unresolvable)

    def is_unresolvable(self, node_name: str) -> bool:
        row = self.cluster.nodes.rows.get(node_name)
        return row is None or row >= len(self.feasible) or bool(self._unresolvable()[row])

    def fits(self, rows: NDArray[np.intp]) -> Mask:
        """Whether the pod fits now on each of ``rows``, from fresh states; promised places are counted in."""
        mask = _fits_now(self.framework, self.pod, self.cluster, rows)
        return _with_promised(self.framework, self.pod, self.cluster, rows, mask)

    def why_not(self, row: int) -> tuple[str, ...]:
        rows = np.array([row], dtype=np.intp)
        reasons = _reasons_now(self.framework, self.pod, self.cluster, rows)
        if reasons or not len(promised_rows(self.pod, self.cluster, rows)):
            return reasons
        with with_promised(self.pod, self.cluster, rows):
            return _reasons_now(self.framework, self.pod, self.cluster, rows)

    def lacking_resources(self) -> tuple[tuple[str, int, int], ...] | None:
        """Judged by which plugins take part: NodeResourcesFit as the last, and none other that reads pods."""
        active = sorted(self.states)
        if self.rejection is not None or self.extender_reasons or not active:
            return None
        *others, last = (self.framework.filter[position] for position in active)
        if last.NAME != "NodeResourcesFit" or any(plugin.READS_PODS or not plugin.LOCAL for plugin in others):
            return None
        resources: tuple[tuple[str, int, int], ...] = self.states[active[-1]].resources
        return resources

    def diagnose(self) -> Diagnosis:
        node_count = self.cluster.nodes.node_count
        if self.rejection is not None:
            return Diagnosis(
                node_count=node_count,
                plugins=frozenset({self.rejected_by}),
                pre_filter_message=", ".join(self.rejection.reasons),
            )
        if not node_count:
            everyone = frozenset(plugin.NAME for plugin in self.framework.filter)
            return Diagnosis(node_count=0, plugins=everyone)
        reasons: Counter[str] = Counter()
        rejected: Counter[str] = Counter()
        for position, code, count in self._rejections():
            plugin = self.framework.filter[position]
            rejected[plugin.NAME] += count
            for reason in plugin.rejection(self.states[position], code).reasons:
                reasons[reason] += count
        if self.only is not None:
            absent = node_count - len([name for name in self.only if name in self.cluster.nodes.rows])
            if absent:
                reasons[f"node(s) didn't satisfy plugin(s) [{' '.join(sorted(self.only_by))}]"] += absent
                rejected.update(dict.fromkeys(self.only_by, absent))
        for reason, _ in self.extender_reasons.values():
            if reason:
                reasons[reason] += 1
        extenders = {EXTENDERS} if self.extender_reasons else ()
        return Diagnosis(
            node_count=node_count,
            reasons=dict(reasons),
            rejected_nodes=dict(rejected),
            plugins=frozenset([*rejected, *extenders]),
        )

    def _rejections(self) -> list[tuple[int, int, int]]:
        """(position, code, number of nodes) of every first rejection."""
        found = []
        for position in np.unique(self.first):
            if position in (FITS, NO_NODE):
                continue
            codes, counts = np.unique(self.codes[int(position)][self.first == position], return_counts=True)
            found += [(int(position), int(code), int(count)) for code, count in zip(codes, counts, strict=True)]
        return found

    def _unresolvable(self) -> Mask:
        mask = np.zeros(len(self.feasible), dtype=np.bool_)
        if self.rejection is not None:
            mask[:] = self.rejection.unresolvable
            return mask
        if self.only is not None:
            mask[:] = True
            mask[[row for name in self.only if (row := self.cluster.nodes.rows.get(name)) is not None]] = False
        for position, code, _ in self._rejections():
            if self.framework.filter[position].rejection(self.states[position], code).unresolvable:
                mask |= (self.first == position) & (self.codes[position] == code)
        for name, (_, unresolvable) in self.extender_reasons.items():
            if unresolvable:
                mask[self.cluster.nodes.rows[name]] = True
        return mask


def search(framework: Framework, cache: EquivalenceCache, pod: PodInfo, cluster: Cluster) -> PodSearch:
    """Find every node that ``pod`` fits on."""
    count = cluster.nodes.count
    found = PodSearch(pod=pod, framework=framework, cluster=cluster, feasible=np.zeros(count, dtype=np.bool_))
    entry = cache.find(pod)
    if entry is None:
        local = local_states(framework, pod, cluster)
        if isinstance(local, LocalRejection):
            found.rejection, found.rejected_by = local.rejection, local.plugin
            return found
        if local.only is not None:
            found.only, found.only_by = local.only, local.only_by
            _search_named(found, local)
            return found
        entry = cache.build(pod, local.states)
    found.entry = entry
    found.states = entry.states
    found.codes = entry.codes
    found.first = entry.first
    found.feasible = entry.first == FITS
    if not _filter_globally(found, slice(0, count)):
        return found
    found.all_local = found.states is entry.states
    _reserve_promised(found)
    return found


def search_node(framework: Framework, pod: PodInfo, cluster: Cluster, node_name: str) -> PodSearch | None:
    """A search of one node alone; None where ``pod`` does not fit there."""
    local = local_states(framework, pod, cluster)
    if isinstance(local, LocalRejection) or (local.only is not None and node_name not in local.only):
        return None
    count = cluster.nodes.count
    found = PodSearch(pod=pod, framework=framework, cluster=cluster, feasible=np.zeros(count, dtype=np.bool_))
    _search_named(found, replace(local, only=frozenset({node_name})))
    return found if found.is_successful else None


def _search_named(found: PodSearch, local: LocalStates) -> None:
    """Only some nodes are in question (a DaemonSet's pod names one): look at their rows and nothing else."""
    table, framework = found.cluster.nodes, found.framework
    assert local.only is not None
    if not local.only:
        names = sorted(local.only_by)
        text = f" {names[0]}" if len(names) == 1 else f"(s) [{' '.join(names)}] simultaneously"
        found.rejection = Rejection(reasons=(f"node(s) didn't satisfy plugin{text}",), unresolvable=True)
        found.rejected_by = names[0]
        return
    rows = np.array(sorted(table.rows[name] for name in local.only if name in table.rows), dtype=np.intp)
    found.states = dict(local.states)
    found.first = np.full(table.count, NO_NODE, dtype=np.int8)
    found.first[rows] = FITS
    for position, state in local.states.items():
        _note(found, position, rows, filtered(framework.filter[position], state, table, rows))
    found.feasible = found.first == FITS
    if _filter_globally(found, rows):
        _reserve_promised(found)


def _note(found: PodSearch, position: int, rows: Rows, codes: Codes) -> None:
    """Record what one plugin says about ``rows``; ``found.first`` must be the search's own."""
    rejected = codes != 0
    if not rejected.any():
        return
    whole = np.zeros(len(found.first), dtype=np.int64)
    whole[rows] = codes
    found.codes[position] = whole
    found.first[rows] = np.minimum(found.first[rows], np.where(rejected, position, FITS).astype(np.int8))


def _filter_globally(found: PodSearch, rows: Rows) -> bool:
    """Ask the plugins that look beyond one row. False where one rejected the pod as a whole."""
    framework, pod, cluster = found.framework, found.pod, found.cluster
    copied = found.entry is None
    for position, plugin in enumerate(framework.filter):
        if plugin.LOCAL:
            continue
        state = pre_filtered(plugin, pod, cluster)
        if state is SKIP:
            continue
        if isinstance(state, Rejection):
            found.rejection, found.rejected_by = state, plugin.NAME
            found.feasible = np.zeros_like(found.feasible)
            return False
        if not copied:
            found.states, found.codes, found.first = dict(found.states), dict(found.codes), found.first.copy()
            copied = True
        if isinstance(state, OnlyNodes):
            found.only = state.names if found.only is None else found.only & state.names
            found.only_by = (*found.only_by, plugin.NAME)
            state = state.state
            named = np.zeros(cluster.nodes.capacity, dtype=np.bool_)
            named[[cluster.nodes.rows[name] for name in found.only if name in cluster.nodes.rows]] = True
            found.first[~named[: len(found.first)]] = NO_NODE
        found.states[position] = state
        asked = _left(found, rows) if getattr(plugin, "BY_NODE", False) else rows
        _note(found, position, asked, filtered(plugin, state, cluster.nodes, asked))
    if copied:
        found.feasible = found.first == FITS
    return True


def _left(found: PodSearch, rows: Rows) -> NDArray[np.intp]:
    """Those of ``rows`` that nothing has rejected so far."""
    fitting = found.first == FITS
    asked = np.zeros_like(fitting)
    asked[rows] = True
    return np.flatnonzero(fitting & asked)


def _reserve_promised(found: PodSearch) -> None:
    """Nodes promised to other pods fit only if they do with those pods on them, too."""
    if not len(found.cluster.nominations):
        return
    rows = promised_rows(found.pod, found.cluster, np.flatnonzero(found.feasible))
    if not len(rows):
        return
    found.states, found.codes, found.first = dict(found.states), dict(found.codes), found.first.copy()
    is_rejected = np.zeros(len(found.first), dtype=np.bool_)

    def judge(group: NDArray[np.intp]) -> None:
        is_rejected[group] = not _note_now(found, group)

    judge_promised(found.framework, found.pod, found.cluster, rows, judge)
    is_rejected[rows] |= found.first[rows] != FITS
    rejected = np.flatnonzero(is_rejected)
    if len(rejected):
        found.all_local = False
        found.feasible = found.feasible.copy()
        found.feasible[rejected] = False


def _note_now(found: PodSearch, rows: NDArray[np.intp]) -> bool:
    """Record what every plugin says about ``rows`` as they are now, added to what was said before. False where one rejects
    the pod as a whole."""
    for position, plugin in enumerate(found.framework.filter):
        state = pre_filtered(plugin, found.pod, found.cluster)
        if state is SKIP:
            continue
        if isinstance(state, Rejection):
            return False
        state = state.state if isinstance(state, OnlyNodes) else state
        codes = filtered(plugin, state, found.cluster.nodes, rows)
        if np.count_nonzero(codes):
            found.states[position] = state
            whole = found.codes.get(position)
            whole = np.zeros(len(found.first), dtype=np.int64) if whole is None else whole.copy()
            whole[rows] = codes
            found.codes[position] = whole
            found.first[rows] = np.minimum(found.first[rows], np.where(codes != 0, position, FITS).astype(np.int8))
    return True


def _fits_now(framework: Framework, pod: PodInfo, cluster: Cluster, rows: NDArray[np.intp]) -> Mask:
    mask = np.ones(len(rows), dtype=np.bool_)
    for plugin in framework.filter:
        state = pre_filtered(plugin, pod, cluster)
        if state is SKIP:
            continue
        if isinstance(state, Rejection):
            return np.zeros(len(rows), dtype=np.bool_)
        if isinstance(state, OnlyNodes):
            mask &= np.array([cluster.nodes.names[row] in state.names for row in rows], dtype=np.bool_)
            state = state.state
        mask &= filtered(plugin, state, cluster.nodes, rows) == 0
        if not mask.any():
            break
    return mask


def _reasons_now(framework: Framework, pod: PodInfo, cluster: Cluster, rows: NDArray[np.intp]) -> tuple[str, ...]:
    """Why the one row of ``rows`` does not fit, by the first filter that rejects it."""
    for plugin in framework.filter:
        state = pre_filtered(plugin, pod, cluster)
        if state is SKIP:
            continue
        if isinstance(state, Rejection):
            return state.reasons
        if isinstance(state, OnlyNodes):
            state = state.state
        code = int(filtered(plugin, state, cluster.nodes, rows)[0])
        if code:
            reasons: tuple[str, ...] = plugin.rejection(state, code).reasons
            return reasons
    return ()


def _with_promised(framework: Framework, pod: PodInfo, cluster: Cluster, rows: NDArray[np.intp], mask: Mask) -> Mask:
    """``mask`` of ``rows``, less those that ``pod`` does not fit on once the pods promised to them are there."""
    if not len(cluster.nominations):
        return mask
    fits = dict(zip(rows.tolist(), mask.tolist(), strict=True))

    def judge(group: NDArray[np.intp]) -> None:
        fits.update(zip(group.tolist(), _fits_now(framework, pod, cluster, group).tolist(), strict=True))

    judge_promised(framework, pod, cluster, promised_rows(pod, cluster, rows[mask]), judge)
    return np.array([*fits.values()], dtype=np.bool_)


def _conforms(found: PodSearch) -> Search:
    return found
