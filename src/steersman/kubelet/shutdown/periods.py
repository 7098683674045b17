"""Graceful node shutdown, its pure part: which pods stop in which turn, and for how long.

Source: the documentation's "Graceful node shutdown" (KEP-2000, KEP-2712).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct

from steersman.kubelet.podspec import SYSTEM_CRITICAL_PRIORITY
from steersman.meta.objects import Object


class ShutdownPeriod(Struct, frozen=True, kw_only=True):
    """Pods of at least ``priority``, below the next period's, get ``grace_s``."""

    priority: int
    grace_s: int


class ShutdownTurn(Struct, frozen=True, kw_only=True):
    grace_s: int
    pods: tuple[Object, ...]

    def grace_of(self, pod: Object) -> int:
        """The pod's own where that is shorter."""
        own = pod["spec"].get("terminationGracePeriodSeconds")
        return self.grace_s if own is None else min(int(own), self.grace_s)


def shutdown_periods(total_s: float, critical_s: float, by_priority: Sequence[Any] = ()) -> tuple[ShutdownPeriod, ...]:
    """From ``shutdownGracePeriod`` and its siblings, the lowest priority first; empty where nothing is to be done."""
    if by_priority:
        entries = [
            ShutdownPeriod(
                priority=int(entry.get("priority") or 0), grace_s=int(entry.get("shutdownGracePeriodSeconds") or 0)
            )
            for entry in by_priority
        ]
        return tuple(sorted(entries, key=lambda entry: entry.priority))
    if total_s <= 0 or critical_s > total_s:
        return ()
    return (
        ShutdownPeriod(priority=0, grace_s=int(total_s - critical_s)),
        ShutdownPeriod(priority=SYSTEM_CRITICAL_PRIORITY, grace_s=int(critical_s)),
    )


def shutdown_turns(periods: Sequence[ShutdownPeriod], pods: Iterable[Object]) -> list[ShutdownTurn]:
    """In order; turns without pods are left out. A pod below every priority goes with the lowest."""
    groups: list[list[Object]] = [[] for _ in periods]
    for pod in pods:
        priority = int(pod["spec"].get("priority") or 0)
        index = max((number for number, period in enumerate(periods) if period.priority <= priority), default=0)
        groups[index].append(pod)
    return [
        ShutdownTurn(grace_s=period.grace_s, pods=tuple(group))
        for period, group in zip(periods, groups, strict=True)
        if group
    ]
