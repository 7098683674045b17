"""How many pods of a kind each node has, kept current instead of counted: what makes affinity and spreading fast.

Pods are grouped by what selectors can see of them (namespace and labels). A ``Tally`` answers "how many pods that match
this selector in these namespaces does each node run" as one column; it is computed from the groups when it is first
asked for and follows every change afterwards. ``CarriedTerm`` is the same for affinity terms that running pods carry.

Bounds: at most ``TALLY_LIMIT`` tallies are kept; the one that was not asked for the longest goes first. Groups and carried
terms live as long as a pod has them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Literal

import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

from steersman.meta.selectors import LabelSelector
from steersman.scheduler.affinity import PodTerm
from steersman.scheduler.pod_info import Labels, PodInfo

TALLY_LIMIT = 1024

Counts = NDArray[np.int32]
TermKind = Literal["required", "required_anti", "preferred", "preferred_anti"]


class Question(Struct, frozen=True, kw_only=True):
    """What a tally counts."""

    selectors: tuple[LabelSelector, ...]
    """All must match."""
    namespaces: frozenset[str] | None
    """Only pods of these; None for all."""
    running_only: bool = False
    """Leave out pods that are being deleted."""

    def includes(self, namespace: str, labels: Mapping[str, str]) -> bool:
        if self.namespaces is not None and namespace not in self.namespaces:
            return False
        return all(selector.matches(labels) for selector in self.selectors)


class Tally(Struct, kw_only=True, eq=False):
    """Pods that answer a question, by node row."""

    counts: Counts
    total: int = 0


class Group(Struct, kw_only=True, eq=False):
    """Pods that no selector can tell apart."""

    namespace: str
    labels: Mapping[str, str]
    running: dict[int, int] = field(default_factory=dict)
    """Row to number of pods that are not being deleted."""
    deleting: dict[int, int] = field(default_factory=dict)
    tallies: list[tuple[Question, Tally]] = field(default_factory=list)
    """The tallies this group counts in."""


class CarriedTerm(Struct, kw_only=True, eq=False):
    """An affinity term and how many pods carry it, by node row."""

    kind: TermKind
    term: PodTerm
    counts: Counts
    total: int = 0


class PodTallies:
    """All groups, tallies and carried terms of a cluster."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._groups: dict[tuple[str, Labels], Group] = {}
        self._tallies: OrderedDict[Question, Tally] = OrderedDict()
        self._carried: dict[tuple[TermKind, PodTerm], CarriedTerm] = {}
        self.carried_version = 0
        """Rises when a term appears that no pod carried before, or disappears."""

    def tally(self, question: Question) -> Tally:
        """The answer as a live column: do not keep it across changes of other pods without asking again."""
        tally = self._tallies.get(question)
        if tally is not None:
            self._tallies.move_to_end(question)
            return tally
        tally = Tally(counts=np.zeros(self._capacity, dtype=np.int32))
        for group in self._groups.values():
            if question.includes(group.namespace, group.labels):
                group.tallies.append((question, tally))
                for rows in (group.running,) if question.running_only else (group.running, group.deleting):
                    for row, count in rows.items():
                        tally.counts[row] += count
                        tally.total += count
        self._tallies[question] = tally
        if len(self._tallies) > TALLY_LIMIT:
            forgotten, _ = self._tallies.popitem(last=False)
            for group in self._groups.values():
                group.tallies = [entry for entry in group.tallies if entry[0] != forgotten]
        return tally

    @property
    def has_carried(self) -> bool:
        return bool(self._carried)

    def carried(self) -> list[CarriedTerm]:
        """Every term that a pod on some node carries."""
        return list(self._carried.values())

    def count(self, pod: PodInfo, row: int, sign: int) -> None:
        """``pod`` came to (1) or left (-1) the node at ``row``."""
        key = (pod.namespace, pod.label_set)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = self._new_group(pod)
        rows = group.deleting if pod.is_terminating else group.running
        left = rows.get(row, 0) + sign
        if left:
            rows[row] = left
        else:
            del rows[row]
            if not (group.running or group.deleting):
                del self._groups[key]
        for question, tally in group.tallies:
            if not (question.running_only and pod.is_terminating):
                tally.counts[row] += sign
                tally.total += sign
        if not pod.terms.is_empty:
            self._count_terms(pod, row, sign)

    def grow(self, capacity: int) -> None:
        self._capacity = capacity
        holders: list[Tally | CarriedTerm] = [*self._tallies.values(), *self._carried.values()]
        for holder in holders:
            grown = np.zeros(capacity, dtype=np.int32)
            grown[: len(holder.counts)] = holder.counts
            holder.counts = grown

    def _new_group(self, pod: PodInfo) -> Group:
        return Group(
            namespace=pod.namespace,
            labels=pod.labels,
            tallies=[
                (question, tally)
                for question, tally in self._tallies.items()
                if question.includes(pod.namespace, pod.labels)
            ],
        )

    def _count_terms(self, pod: PodInfo, row: int, sign: int) -> None:
        terms = pod.terms
        by_kind: tuple[tuple[TermKind, tuple[PodTerm, ...]], ...] = (
            ("required", terms.required),
            ("required_anti", terms.required_anti),
            ("preferred", terms.preferred),
            ("preferred_anti", terms.preferred_anti),
        )
        for kind, carried_terms in by_kind:
            for term in carried_terms:
                carried = self._carried.get((kind, term))
                if carried is None:
                    counts = np.zeros(self._capacity, dtype=np.int32)
                    carried = self._carried[kind, term] = CarriedTerm(kind=kind, term=term, counts=counts)
                    self.carried_version += 1
                carried.counts[row] += sign
                carried.total += sign
                if not carried.total:
                    del self._carried[kind, term]
                    self.carried_version += 1
