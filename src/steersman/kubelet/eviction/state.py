"""Which thresholds are met and for how long, and which conditions the node has because of them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct, field

from steersman.kubelet.eviction.signals import Observations
from steersman.kubelet.eviction.thresholds import ALLOCATABLE_MEMORY, CONDITION_OF, MEMORY, Threshold


def met(thresholds: Sequence[Threshold], observations: Observations, *, reclaimed: bool = False) -> list[Threshold]:
    """Those of whose signal less is available than they want. ``reclaimed``: their minimum reclaim counts too."""
    found = []
    for threshold in thresholds:
        observed = observations.get(threshold.signal)
        if observed is None:
            continue
        wanted = threshold.value.of(observed.capacity)
        if reclaimed and threshold.min_reclaim is not None:
            wanted += threshold.min_reclaim.of(observed.capacity)
        if wanted > observed.available:
            found.append(threshold)
    return found


def by_urgency(thresholds: Sequence[Threshold]) -> list[Threshold]:
    """Memory first: a node without memory can do nothing else."""
    return sorted(thresholds, key=lambda item: item.signal not in (MEMORY, ALLOCATABLE_MEMORY))


class EvictionState(Struct):
    """Fed with observations, one after another. Times are monotonic seconds."""

    thresholds: Sequence[Threshold]
    transition_s: float
    conditions: frozenset[str] = frozenset()
    """Pressure conditions that were observed within the transition period."""
    _first_met_s: dict[Threshold, float] = field(default_factory=dict)
    _condition_seen_s: dict[str, float] = field(default_factory=dict)
    _unresolved: list[Threshold] = field(default_factory=list)

    def update(self, observations: Observations, now_s: float) -> list[Threshold]:
        """The thresholds to act on now: met for as long as their grace, or met before and not yet reclaimed enough."""
        found = met(self.thresholds, observations)
        found += [item for item in met(self._unresolved, observations, reclaimed=True) if item not in found]
        self._first_met_s = {item: self._first_met_s.get(item, now_s) for item in found}
        for item in found:
            self._condition_seen_s[CONDITION_OF[item.signal]] = now_s
        self.conditions = frozenset(
            kind for kind, seen_s in self._condition_seen_s.items() if now_s - seen_s < self.transition_s
        )
        self._unresolved = [item for item, first_s in self._first_met_s.items() if now_s - first_s >= item.grace_s]
        return by_urgency(self._unresolved)
