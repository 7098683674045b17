"""The scheduler's decisions, purely: which node a pod gets, and why. No I/O, no clock, no tasks.

Pods are decided one after another; each sees all earlier assignments. Every feasible node is scored, ties are broken by a
seeded generator: the same seed and the same input give the same placement.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from steersman.scheduler.cluster import Cluster
from steersman.scheduler.diagnosis import Diagnosis
from steersman.scheduler.equivalence import EquivalenceCache
from steersman.scheduler.framework import (
    SKIP,
    Errand,
    Framework,
    NoAnswer,
    Nomination,
    NoNomination,
    Rejection,
    Remedy,
    Scores,
    WeightedPlugin,
)
from steersman.scheduler.label_column import Rows
from steersman.scheduler.plugin_calls import pre_scored
from steersman.scheduler.plugin_calls import scored as raw_scores
from steersman.scheduler.pod_info import PodInfo
from steersman.scheduler.search import PodSearch, search, search_node

UNKNOWN_PROFILE = "profile not found for scheduler name"
LEAST_TO_SCORE = 100
"""So many feasible nodes are scored whatever ``percentageOfNodesToScore`` says."""


class NodeScore(Struct, frozen=True, kw_only=True):
    """One feasible node and what made up its score."""

    node_name: str
    total: int
    by_plugin: Mapping[str, int]
    """Normalized and weighted."""


class Decision(Struct, frozen=True, kw_only=True):
    """Where a pod goes, or why nowhere."""

    pod: PodInfo
    node_name: str = ""
    """Empty where no node fits."""
    feasible_count: int = 0
    node_count: int = 0
    diagnosis: Diagnosis | None = None
    nomination: Nomination | NoNomination | None = None
    """What preemption made of a failed search."""
    errands: tuple[Errand, ...] = ()
    """What other plugins want done about it."""
    best: tuple[NodeScore, ...] = ()
    """The chosen node first, then the runners-up; only where an explanation was asked for."""


class NotReserved(Struct, frozen=True, kw_only=True):
    """A node was found, and a plugin could not claim what the pod needs there."""

    plugin: str
    rejection: Rejection
    errands: tuple[Errand, ...] = ()


class SchedulerCore:
    """Decides for the pods of all profiles over one cluster. The frameworks' plugins belong to this cluster from then on:
    they remember things about it."""

    def __init__(self, frameworks: Mapping[str, Framework], cluster: Cluster, *, seed: int = 0) -> None:
        self.cluster = cluster
        self.frameworks = dict(frameworks)
        self._caches = {name: EquivalenceCache(framework, cluster) for name, framework in frameworks.items()}
        self._rng = random.Random(seed)
        self._next_row = 0

    def framework_of(self, pod: PodInfo) -> Framework | None:
        """The profile that ``spec.schedulerName`` asks for; None where it is not one of ours."""
        return self.frameworks.get(pod.scheduler_name)

    def decide(self, pod: PodInfo, *, runners_up: int = -1) -> Decision:
        """The whole way: filter, score, and preemption where nothing fits. Changes nothing. A pod that is nominated to a
        node gets that one where it fits, whatever the scores.

        With ``runners_up`` of 0 and more the decision explains the scores of the chosen node and as many others.
        """
        found = self._nominated(pod)
        if found is not None:
            return self.select(found, runners_up=runners_up)
        found = self.search(pod)
        if found.is_successful:
            return self.select(self.sampled(found), runners_up=runners_up)
        return self.give_up(found)

    def _nominated(self, pod: PodInfo) -> PodSearch | None:
        """The search of the node that was promised to the pod; None where it was promised none, or does not fit there."""
        name = self.cluster.nominations.node_of(pod.uid) or pod.nominated_node
        if name not in self.cluster.nodes.rows:
            return None
        return search_node(self.frameworks[pod.scheduler_name], pod, self.cluster, name)

    def search(self, pod: PodInfo, *, wants_alternatives: bool = False) -> PodSearch:
        """Filter only; ``select`` or ``give_up`` follow. Raises ``KeyError`` for a profile that is not ours."""
        name = pod.scheduler_name
        found = search(self.frameworks[name], self._caches[name], pod, self.cluster)
        found.wants_alternatives = wants_alternatives
        return found

    def select(self, found: PodSearch, *, more: Mapping[str, int] | None = None, runners_up: int = -1) -> Decision:
        """The best of the feasible nodes. ``more`` adds to the scores of nodes by name (extenders)."""
        entry = found.entry
        has_choice = found.count > 1 or runners_up >= 0
        others = self._global_scorers(found) if has_choice else []
        numbers: NDArray[np.intp] | None = None
        if entry is not None and found.all_local and not (more or others or entry.uneven):
            total = entry.ranked
        else:
            rows = found.rows()
            numbers = np.arange(len(found.feasible)) if isinstance(rows, slice) else rows
            total = self._total(found, rows, numbers, others, more)
        (ties,) = (total == total[total.argmax()]).nonzero()
        index = int(ties[0]) if len(ties) == 1 else int(ties[self._rng.randrange(len(ties))])
        row = index if numbers is None else int(numbers[index])
        return Decision(
            pod=found.pod,
            node_name=self.cluster.nodes.names[row],
            feasible_count=found.count,
            node_count=self.cluster.nodes.node_count,
            best=self._explain(found, others, total, numbers, index, runners_up) if runners_up >= 0 else (),
        )

    def sampled(self, found: PodSearch) -> PodSearch:
        """As many of the feasible nodes as the profile wants scored. Each pod begins after the last one's, so that all nodes
        get their turn. By default all nodes are scored."""
        share, node_count = found.framework.percentage_to_score, self.cluster.nodes.node_count
        limit = max(node_count * share // 100, LEAST_TO_SCORE)
        if not 0 < share < 100 or found.count <= limit:
            return found
        rows = np.flatnonzero(found.feasible)
        chosen = np.roll(rows, -int(np.searchsorted(rows, self._next_row)))[:limit]
        self._next_row = int(chosen[-1]) + 1
        return found.on(chosen)

    def give_up(self, found: PodSearch) -> Decision:
        """No node fits: say why and ask the post-filter plugins (preemption) for a way."""
        diagnosis = found.diagnose()
        nomination: Nomination | NoNomination | None = None
        messages: list[str] = []
        errands: list[Errand] = []
        if found.cluster.nodes.node_count:
            for plugin in found.framework.post_filter:
                outcome = plugin.post_filter(found.pod, found)
                if isinstance(outcome, Nomination):
                    nomination, messages = outcome, []
                    break
                if isinstance(outcome, NoAnswer):
                    nomination, messages = None, [outcome.message]
                    break
                if isinstance(outcome, NoNomination):
                    nomination = outcome
                if isinstance(outcome, Remedy) and outcome.errand is not None:
                    errands.append(outcome.errand)
                if outcome is not None:
                    messages.append(outcome.message)
        if messages:
            diagnosis = diagnosis.with_post_filter(", ".join(messages))
        return Decision(
            pod=found.pod,
            node_count=self.cluster.nodes.node_count,
            diagnosis=diagnosis,
            nomination=nomination,
            errands=tuple(errands),
        )

    def assume(self, pod: PodInfo, node_name: str) -> PodInfo | NotReserved:
        """Count ``pod`` on its node from now on, before the API knows. Plugins reserve what it needs; where one cannot,
        that is undone."""
        for plugin in self.frameworks[pod.scheduler_name].reserve:
            rejection = plugin.reserve(pod, node_name, self.cluster)
            if rejection is not None:
                return NotReserved(plugin=plugin.NAME, rejection=rejection, errands=self._unreserve(pod, node_name))
        assumed = replace(pod, node_name=node_name)
        self.cluster.nodes.add_pod(assumed)
        self.cluster.nominations.withdraw(pod.uid)
        return assumed

    def forget(self, assumed: PodInfo) -> tuple[Errand, ...]:
        """Undo ``assume``: binding failed. The errands undo what the API knows already."""
        errands = self._unreserve(assumed, assumed.node_name)
        current = self.cluster.nodes.pod(assumed.uid)
        if current is assumed:
            self.cluster.nodes.remove_pod(assumed.uid)
        return errands

    def _unreserve(self, pod: PodInfo, node_name: str) -> tuple[Errand, ...]:
        """Every plugin, also those that were not reached: in the reverse order."""
        asked = (
            plugin.unreserve(pod, node_name, self.cluster)
            for plugin in reversed(self.frameworks[pod.scheduler_name].reserve)
        )
        return tuple(errand for errand in asked if errand is not None)

    def explain(self, found: PodSearch, chosen_row: int, runners_up: int) -> tuple[NodeScore, ...]:
        """The scores of ``chosen_row`` and of the best others, by plugin."""
        rows = np.flatnonzero(found.feasible)
        others = self._global_scorers(found)
        total = self._total(found, rows, rows, others, None)
        return self._explain(found, others, total, rows, int(np.flatnonzero(rows == chosen_row)[0]), runners_up)

    def _explain(
        self,
        found: PodSearch,
        others: list[tuple[WeightedPlugin, Any]],
        total: Scores,
        numbers: NDArray[np.intp] | None,
        chosen: int,
        runners_up: int,
    ) -> tuple[NodeScore, ...]:
        """``total`` is by feasible node (``numbers`` are their rows), or by row where ``numbers`` is None, -1 for nodes that
        do not fit; ``chosen`` is an index of it."""
        picked = [chosen, *(index for index in _largest(total, runners_up + 1) if index != chosen)][: runners_up + 1]
        rows: Rows = slice(0, len(total)) if numbers is None else numbers
        by_plugin = self._parts(found, others, rows, np.array(picked, dtype=np.intp))
        return tuple(
            NodeScore(
                node_name=self.cluster.nodes.names[index if numbers is None else int(numbers[index])],
                total=sum(int(scores[place]) for scores in by_plugin.values()),
                by_plugin={name: int(scores[place]) for name, scores in by_plugin.items()},
            )
            for place, index in enumerate(picked)
        )

    def _parts(
        self, found: PodSearch, others: list[tuple[WeightedPlugin, Any]], rows: Rows, picked: NDArray[np.intp]
    ) -> dict[str, Scores]:
        """Weighted scores by plugin of the ``picked`` among ``rows``."""
        parts: dict[str, Scores] = {}
        entry = found.entry
        for position, raw in entry.raw.items() if entry is not None else ():
            scored = found.framework.score[position]
            normalize = getattr(scored.plugin, "normalize", None)
            scores = raw[rows]
            if normalize is not None and entry is not None:
                scores = normalize(entry.score_states[position], scores, rows)
            parts[scored.plugin.NAME] = scores[picked] * scored.weight
        for scored, state in others:
            parts[scored.plugin.NAME] = self._score(scored, state, rows)[picked] * scored.weight
        return parts

    def scores(self, found: PodSearch, rows: Rows) -> dict[str, Scores]:
        """Normalized, weighted scores of the feasible nodes by plugin."""
        alone = replace(found, entry=None)
        return {
            scored.plugin.NAME: self._score(scored, state, rows) * scored.weight
            for scored, state in self._global_scorers(alone)
        }

    def _total(
        self,
        found: PodSearch,
        rows: Rows,
        numbers: NDArray[np.intp],
        others: list[tuple[WeightedPlugin, Any]],
        more: Mapping[str, int] | None,
    ) -> Scores:
        """Weighted sum of the scores of ``rows``; what is the same for all nodes is left out."""
        total = np.zeros(len(numbers), dtype=np.int64)
        if len(numbers) == 1:
            return total
        if found.entry is not None:
            total += found.entry.partial[rows]
            for position in found.entry.uneven:
                scored = found.framework.score[position]
                state, raw = found.entry.score_states[position], found.entry.raw[position][rows]
                total += scored.plugin.normalize(state, raw, rows) * scored.weight
        for scored, state in others:
            total += self._score(scored, state, rows) * scored.weight
        if more:
            total += np.array([more.get(self.cluster.nodes.names[int(row)], 0) for row in numbers], dtype=np.int64)
        return total

    def _score(self, scored: WeightedPlugin, state: Any, rows: Rows) -> Scores:
        raw = raw_scores(scored.plugin, state, self.cluster.nodes, rows)
        normalize = getattr(scored.plugin, "normalize", None)
        return raw if normalize is None else normalize(state, raw, rows)

    def _global_scorers(self, found: PodSearch) -> list[tuple[WeightedPlugin, Any]]:
        """Plugins with something to say whose scores the entry does not hold, and their states."""
        result = []
        for scored in found.framework.score:
            plugin = scored.plugin
            if plugin.LOCAL and found.entry is not None:
                continue
            state = pre_scored(plugin, found.pod, self.cluster, found.feasible)
            if state is not SKIP:
                result.append((scored, state))
        return result


def _largest(total: Scores, count: int) -> list[int]:
    """Indexes of the ``count`` largest, the first of equals first; negative ones are left out."""
    ties = np.flatnonzero(total == total.max())[:count]
    if len(ties) < min(count, len(total)):
        rest = total.copy()
        rest[ties] = -1
        order = np.argsort(-rest, kind="stable")[: count - len(ties)]
        ties = np.concatenate([ties, order[rest[order] >= 0]])
    return [int(index) for index in ties]
