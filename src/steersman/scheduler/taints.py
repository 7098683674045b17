"""Taints and the tolerations that answer them.

Source: "Taints and Tolerations" in the Kubernetes documentation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from msgspec import Struct

TAINT_UNSCHEDULABLE = "node.kubernetes.io/unschedulable"

HARD_EFFECTS = frozenset({"NoSchedule", "NoExecute"})
"""The effects that keep a pod away; ``PreferNoSchedule`` only makes a node less liked."""


class Taint(Struct, frozen=True):
    """One taint of a node."""

    key: str
    value: str
    effect: str


class Toleration(Struct, frozen=True):
    """One toleration of a pod. Empty ``key`` and empty ``effect`` stand for all."""

    key: str
    operator: str
    value: str
    effect: str

    def tolerates(self, taint: Taint) -> bool:
        if self.effect and self.effect != taint.effect:
            return False
        if self.key and self.key != taint.key:
            return False
        match self.operator:
            case "" | "Equal":
                return self.value == taint.value
            case "Exists":
                return True
            case _:
                return False


Taints = tuple[Taint, ...]
Tolerations = tuple[Toleration, ...]


def taints_of(node: Mapping[str, Any]) -> Taints:
    return tuple(
        Taint(entry.get("key") or "", entry.get("value") or "", entry.get("effect") or "")
        for entry in (node.get("spec") or {}).get("taints") or ()
    )


def tolerations_of(entries: Iterable[Mapping[str, Any]]) -> Tolerations:
    return tuple(
        Toleration(
            entry.get("key") or "", entry.get("operator") or "", entry.get("value") or "", entry.get("effect") or ""
        )
        for entry in entries
    )


def is_tolerated(taint: Taint, tolerations: Tolerations) -> bool:
    return any(toleration.tolerates(taint) for toleration in tolerations)


@lru_cache(maxsize=4096)
def first_untolerated(taints: Taints, tolerations: Tolerations) -> Taint | None:
    """The first taint with a hard effect that nothing tolerates."""
    for taint in taints:
        if taint.effect in HARD_EFFECTS and not is_tolerated(taint, tolerations):
            return taint
    return None


@lru_cache(maxsize=4096)
def count_disliked(taints: Taints, tolerations: Tolerations) -> int:
    """How many ``PreferNoSchedule`` taints nothing tolerates."""
    soft = tuple(toleration for toleration in tolerations if toleration.effect in ("", "PreferNoSchedule"))
    return sum(1 for taint in taints if taint.effect == "PreferNoSchedule" and not is_tolerated(taint, soft))
