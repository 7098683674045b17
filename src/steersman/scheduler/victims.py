"""Choosing victims: which pods of a node would have to go, and which node is the best to clear.

Source: "Pod Priority and Preemption" in the Kubernetes documentation.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

from msgspec import Struct

from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.scheduler.affinity import selector_or_nothing
from steersman.scheduler.pod_info import PodInfo, started_at

PRIORITY_OFFSET = 2**31
"""Added to each victim's priority, so that fewer victims are better among equals also below zero."""


class Candidate(Struct, frozen=True, kw_only=True):
    """A node that could be cleared."""

    node_name: str
    victims: tuple[PodInfo, ...]
    """The most important first; never empty."""
    budget_violations: int


def by_importance(pods: Iterable[PodInfo]) -> list[PodInfo]:
    """The most important first: by priority, then by how long they have run."""
    return sorted(pods, key=lambda pod: (-pod.priority, started_at(pod)))


def split_by_budgets(pods: Sequence[PodInfo], budgets: Sequence[Object]) -> tuple[list[PodInfo], list[PodInfo]]:
    """(pods whose eviction would violate a PodDisruptionBudget, the others), each in the given order, when all of them
    were evicted in that order."""
    allowed = [int((budget.get("status") or {}).get("disruptionsAllowed") or 0) for budget in budgets]
    selectors = [selector_or_nothing((budget.get("spec") or {}).get("selector")) for budget in budgets]
    violating: list[PodInfo] = []
    others: list[PodInfo] = []
    for pod in pods:
        violates = False
        for index, budget in enumerate(budgets) if pod.labels else ():
            if objects.namespace(budget) != pod.namespace or selectors[index].is_everything:
                continue
            if not selectors[index].matches(pod.labels):
                continue
            if pod.name in ((budget.get("status") or {}).get("disruptedPods") or {}):
                continue
            allowed[index] -= 1
            violates = violates or allowed[index] < 0
        (violating if violates else others).append(pod)
    return violating, others


class Harm(Protocol):
    """A node that could be cleared, and of which pods; the most important pod first."""

    @property
    def victims(self) -> tuple[PodInfo, ...]: ...

    @property
    def budget_violations(self) -> int: ...


H = TypeVar("H", bound=Harm)


def best(candidates: Sequence[H]) -> H:
    """The least harm: fewest violated budgets, then the least important most important victim, then the smallest sum of
    priorities, then the fewest victims, then those that started latest; the first of equals."""

    def harm(candidate: H) -> tuple[float, ...]:
        highest = candidate.victims[0].priority
        earliest_s = min(started_at(pod) for pod in candidate.victims if pod.priority == highest)
        return (
            candidate.budget_violations,
            highest,
            sum(pod.priority + PRIORITY_OFFSET for pod in candidate.victims),
            len(candidate.victims),
            -earliest_s if earliest_s < math.inf else -math.inf,
        )

    return min(candidates, key=harm)
