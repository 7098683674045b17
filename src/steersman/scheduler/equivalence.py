"""Answers that pods share: of pods with one signature, what each node's row alone decides is computed once.

An ``Entry`` holds, for every node, the first plugin that rejects it and the weighted sum of the scores that need no
comparison with other nodes. When pods come or go only their nodes' rows are computed again; when a node itself changes
(``NodeTable.epoch``) the entry starts afresh. This is what lets a burst of equal pods cost microseconds each while every pod
still sees all earlier assignments (``bench/scheduler.py``: SchedulingBasic).

Nodes are of few sizes and fill up in equal steps, so that what plugins say of a row's amounts is remembered by those amounts
(``RowAnswer``): asking the plugins about one row costs 60 µs in NumPy, remembering 4.

Bounds: entries of one table together hold at most ``CELL_LIMIT`` cells, the least recently used goes first; each
remembers at most ``ANSWER_LIMIT`` answers and then forgets them all.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

from steersman.scheduler.cluster import Cluster
from steersman.scheduler.framework import (
    SKIP,
    Codes,
    Framework,
    OnlyNodes,
    Rejection,
    Scores,
)
from steersman.scheduler.label_column import Mask, Rows
from steersman.scheduler.node_table import NodeTable
from steersman.scheduler.plugin_calls import filtered, pre_filtered, pre_scored
from steersman.scheduler.plugin_calls import scored as raw_scores
from steersman.scheduler.pod_info import PodInfo

CELL_LIMIT = 4_000_000
ANSWER_LIMIT = 4096
ROWS_ONE_BY_ONE = 8
"""So many changed rows are looked up one by one; of more, plugins are asked at once."""
FITS = 127
"""In ``first``: no plugin rejects the node. Other values are positions in ``Framework.filter``."""
NO_NODE = -1
"""In ``first``: the row is a hole."""


class RowAnswer(Struct, frozen=True, kw_only=True):
    """What the plugins that read pods say of a row with certain amounts."""

    first: int
    """The first of them that rejects it, or ``FITS``."""
    codes: tuple[tuple[int, int], ...]
    """(position in ``Framework.filter``, code)."""
    raw: tuple[tuple[int, int], ...]
    """(position in ``Framework.score``, score before normalization)."""
    weighted: int
    """Sum of those scores that are not normalized, by weight."""


class Entry(Struct, kw_only=True, eq=False):
    """What local plugins say about pods of one signature, for all rows."""

    epoch: int
    position: int
    states: dict[int, Any] = field(default_factory=dict)
    """State of each local filter plugin that takes part, by position in ``Framework.filter``."""
    score_states: dict[int, Any] = field(default_factory=dict)
    first: NDArray[np.int8] = field(default_factory=lambda: np.empty(0, np.int8))
    first_by_node: NDArray[np.int8] = field(default_factory=lambda: np.empty(0, np.int8))
    """``first`` of the plugins that do not read pods."""
    codes: dict[int, Codes] = field(default_factory=dict)
    raw: dict[int, Scores] = field(default_factory=dict)
    """Scores before normalization, by position in ``Framework.score``."""
    fixed: Scores = field(default_factory=lambda: np.empty(0, np.int64))
    """``partial`` of the plugins that do not read pods."""
    partial: Scores = field(default_factory=lambda: np.empty(0, np.int64))
    """Weighted sum of the scores that are not normalized."""
    ranked: Scores = field(default_factory=lambda: np.empty(0, np.int64))
    """``partial`` where the node fits, -1 elsewhere."""
    uneven: tuple[int, ...] = ()
    """Positions in ``Framework.score`` of normalized plugins whose raw scores differ."""
    answers: dict[bytes, RowAnswer] | None = None
    """By ``NodeTable.amounts_of``; None where a plugin looks at more of a node's pods."""


class LocalRejection(Struct, frozen=True, kw_only=True):
    """A local plugin rejected the pod before any node was looked at."""

    plugin: str
    rejection: Rejection


class LocalStates(Struct, frozen=True, kw_only=True):
    """The result of the local plugins' ``pre_filter``."""

    states: dict[int, Any]
    only: frozenset[str] | None = None
    only_by: tuple[str, ...] = ()


def local_states(framework: Framework, pod: PodInfo, cluster: Cluster) -> LocalStates | LocalRejection:
    """Ask every local filter plugin about the pod."""
    states: dict[int, Any] = {}
    only: frozenset[str] | None = None
    only_by: list[str] = []
    for position, plugin in enumerate(framework.filter):
        if not plugin.LOCAL:
            continue
        state = pre_filtered(plugin, pod, cluster)
        if state is SKIP:
            continue
        if isinstance(state, Rejection):
            return LocalRejection(plugin=plugin.NAME, rejection=state)
        if isinstance(state, OnlyNodes):
            only = state.names if only is None else only & state.names
            only_by.append(plugin.NAME)
            state = state.state
        states[position] = state
    return LocalStates(states=states, only=only, only_by=tuple(only_by))


class EquivalenceCache:
    """Entries of one framework over one cluster."""

    def __init__(self, framework: Framework, cluster: Cluster) -> None:
        self._framework = framework
        self._cluster = cluster
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()
        self._local_scores = tuple(position for position, scored in enumerate(framework.score) if scored.plugin.LOCAL)
        self._normalized = frozenset(
            position for position in self._local_scores if hasattr(framework.score[position].plugin, "normalize")
        )
        self._reading_filters = tuple(
            position for position, plugin in enumerate(framework.filter) if plugin.LOCAL and plugin.READS_PODS
        )
        self._reading_scores = tuple(
            position for position in self._local_scores if framework.score[position].plugin.READS_PODS
        )

    def find(self, pod: PodInfo) -> Entry | None:
        """The entry for pods like ``pod``, brought up to date; None where there is none yet."""
        entry = self._entries.get(pod.signature)
        if entry is None:
            return None
        table = self._cluster.nodes
        if entry.epoch != table.epoch:
            del self._entries[pod.signature]
            return None
        changed = table.changed_since(entry.position)
        if changed is None or len(changed) > table.count:
            del self._entries[pod.signature]
            return None
        self._entries.move_to_end(pod.signature)
        if changed:
            rows = set(changed)
            if len(rows) <= ROWS_ONE_BY_ONE:
                for row in rows:
                    self._refresh_row(entry, row)
            else:
                self._refresh(entry, np.array(sorted(rows), dtype=np.intp))
            entry.position = table.position
        return entry

    def build(self, pod: PodInfo, states: dict[int, Any]) -> Entry:
        """A new entry. ``states`` come from ``local_states`` just now."""
        framework, table = self._framework, self._cluster.nodes
        rows = slice(0, table.count)
        entry = Entry(epoch=table.epoch, position=table.position, states=states)
        first = np.where(table.alive[rows], FITS, NO_NODE).astype(np.int8)
        for position, state in states.items():
            if not framework.filter[position].READS_PODS:
                codes = filtered(framework.filter[position], state, table, rows)
                if codes.any():
                    entry.codes[position] = codes
                    np.minimum(first, np.where(codes != 0, position, FITS).astype(np.int8), out=first)
        entry.first_by_node = first
        entry.first = first.copy()
        for position in self._reading_filters:
            if position in states:
                entry.codes[position] = np.zeros(table.count, dtype=np.int64)
        self._start_scores(entry, pod, table, rows)
        self._refresh(entry, rows)
        reading = [framework.filter[position] for position in self._reading_filters if position in states]
        reading += [framework.score[each].plugin for each in self._reading_scores if each in entry.score_states]
        entry.answers = {} if all(getattr(plugin, "READS_AMOUNTS", False) for plugin in reading) else None
        self._keep(pod.signature, entry)
        return entry

    def _start_scores(self, entry: Entry, pod: PodInfo, table: NodeTable, rows: Rows) -> None:
        framework = self._framework
        uneven: list[int] = []
        feasible: Mask = entry.first == FITS
        for position in self._local_scores:
            scored = framework.score[position]
            plugin = scored.plugin
            state = pre_scored(plugin, pod, self._cluster, feasible)
            if state is SKIP:
                continue
            entry.score_states[position] = state
            entry.raw[position] = raw_scores(plugin, state, table, rows).copy()
            if position in self._normalized and (plugin.READS_PODS or entry.raw[position].any()):
                uneven.append(position)
        entry.uneven = tuple(uneven)
        entry.fixed = np.zeros(table.count, dtype=np.int64)
        for position, raw in entry.raw.items():
            if position not in self._normalized and position not in self._reading_scores:
                entry.fixed += raw * framework.score[position].weight
        entry.partial = entry.fixed.copy()
        entry.ranked = np.empty(table.count, dtype=np.int64)

    def _refresh_row(self, entry: Entry, row: int) -> None:
        """As ``_refresh``, of one row, by what was said of another with the same amounts where that is known."""
        if entry.answers is None:
            self._refresh(entry, slice(row, row + 1))
            return
        amounts = self._cluster.nodes.amounts_of(row)
        answer = entry.answers.get(amounts)
        if answer is None:
            self._refresh(entry, slice(row, row + 1))
            if len(entry.answers) >= ANSWER_LIMIT:
                entry.answers.clear()
            entry.answers[amounts] = self._answer(entry, row)
            return
        for position, code in answer.codes:
            entry.codes[position][row] = code
        for position, raw in answer.raw:
            entry.raw[position][row] = raw
        first = min(int(entry.first_by_node[row]), answer.first)
        partial = int(entry.fixed[row]) + answer.weighted
        entry.first[row] = first
        entry.partial[row] = partial
        entry.ranked[row] = partial if first == FITS else -1

    def _answer(self, entry: Entry, row: int) -> RowAnswer:
        """What the entry holds of ``row`` now."""
        codes = tuple(
            (position, int(entry.codes[position][row]))
            for position in self._reading_filters
            if position in entry.states
        )
        return RowAnswer(
            first=min((position for position, code in codes if code), default=FITS),
            codes=codes,
            raw=tuple((each, int(entry.raw[each][row])) for each in self._reading_scores if each in entry.score_states),
            weighted=int(entry.partial[row] - entry.fixed[row]),
        )

    def _refresh(self, entry: Entry, rows: Rows) -> None:
        """Ask again about ``rows`` whose pods changed."""
        framework, table = self._framework, self._cluster.nodes
        first = entry.first_by_node[rows].copy()
        for position in self._reading_filters:
            state = entry.states.get(position)
            if position in entry.states:
                codes = filtered(framework.filter[position], state, table, rows)
                entry.codes[position][rows] = codes
                rejected = codes != 0
                if np.count_nonzero(rejected):
                    np.minimum(first, np.where(rejected, position, FITS).astype(np.int8), out=first)
        entry.first[rows] = first
        partial = entry.fixed[rows]
        for position in self._reading_scores:
            if position in entry.score_states:
                scored = framework.score[position]
                raw = raw_scores(scored.plugin, entry.score_states[position], table, rows)
                if position not in self._normalized:
                    partial = partial + raw * scored.weight
                entry.raw[position][rows] = raw
        entry.partial[rows] = partial
        entry.ranked[rows] = np.where(first == FITS, partial, -1)

    def _keep(self, signature: bytes, entry: Entry) -> None:
        self._entries[signature] = entry
        cells = max(1, self._cluster.nodes.count) * 8
        while len(self._entries) > max(1, CELL_LIMIT // cells):
            self._entries.popitem(last=False)
