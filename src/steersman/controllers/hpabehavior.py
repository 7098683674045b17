"""From what the metrics ask for to what may be done now: stabilisation windows and rates of change.

Source: "Horizontal Pod Autoscaling / configurable scaling behavior" in the Kubernetes documentation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct, field

LARGEST = 2**31 - 1
WITHIN = ("DesiredWithinRange", "the desired count is within the acceptable range")
TOO_MANY = ("TooManyReplicas", "the desired replica count is more than the maximum replica count")
TOO_FEW = ("TooFewReplicas", "the desired replica count is less than the minimum replica count")
TOO_FAST_UP = ("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate")
TOO_FAST_DOWN = ("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate")
STABILIZED_UP = (
    "ScaleUpStabilized",
    "recent recommendations were lower than current one, applying the lowest recent recommendation",
)
STABILIZED_DOWN = (
    "ScaleDownStabilized",
    "recent recommendations were higher than current one, applying the highest recent recommendation",
)
READY = ("ReadyForNewScale", "recommended size matches current size")


class Memory(Struct):
    """One autoscaler's past: what was recommended and what was done. Lost with the process, as upstream's is."""

    recommendations: list[tuple[float, int]] = field(default_factory=list)
    """(when, how many replicas)."""
    ups: list[tuple[float, int]] = field(default_factory=list)
    """(when, replicas added)."""
    downs: list[tuple[float, int]] = field(default_factory=list)

    def scaled(self, before: int, after: int, now_s: float) -> None:
        """The target was resized."""
        (self.ups if after > before else self.downs).append((now_s, abs(after - before)))

    def forget_before(self, oldest_s: float) -> None:
        self.recommendations = [entry for entry in self.recommendations if entry[0] >= oldest_s]
        self.ups = [entry for entry in self.ups if entry[0] >= oldest_s]
        self.downs = [entry for entry in self.downs if entry[0] >= oldest_s]


class Verdict(Struct, frozen=True, kw_only=True):
    """How many replicas, and (reason, message) of the conditions AbleToScale and ScalingLimited."""

    replicas: int
    able: tuple[str, str]
    limited: tuple[str, str]
    is_limited: bool


def normalize(
    current: int,
    desired: int,
    least: int,
    most: int,
    behavior: Mapping[str, Any] | None,
    memory: Memory,
    default_window_s: float,
    now_s: float,
) -> Verdict:
    """What may be done now; remembers ``desired`` as a recommendation."""
    if behavior is None:
        stable = max(
            [count for at_s, count in memory.recommendations if at_s >= now_s - default_window_s], default=desired
        )
        stable, able = max(stable, desired), STABILIZED_DOWN
    else:
        stable, able = _stabilized(current, desired, behavior, memory, default_window_s, now_s)
    memory.recommendations.append((now_s, desired))
    replicas, limited = _limited(current, stable, least, most, behavior, memory, now_s)
    return Verdict(
        replicas=replicas,
        able=READY if stable == desired else able,
        limited=limited,
        is_limited=replicas != stable,
    )


def _stabilized(
    current: int, desired: int, behavior: Mapping[str, Any], memory: Memory, default_window_s: float, now_s: float
) -> tuple[int, tuple[str, str]]:
    up_s = _window_s(behavior, "scaleUp", 0.0)
    down_s = _window_s(behavior, "scaleDown", default_window_s)
    up = min([desired, *(count for at_s, count in memory.recommendations if at_s > now_s - up_s)])
    down = max([desired, *(count for at_s, count in memory.recommendations if at_s > now_s - down_s)])
    recommendation = min(max(current, up), down)
    return recommendation, STABILIZED_UP if desired >= current else STABILIZED_DOWN


def _window_s(behavior: Mapping[str, Any], direction: str, default_s: float) -> float:
    seconds = (behavior.get(direction) or {}).get("stabilizationWindowSeconds")
    return default_s if seconds is None else float(seconds)


def _limited(
    current: int,
    desired: int,
    least: int,
    most: int,
    behavior: Mapping[str, Any] | None,
    memory: Memory,
    now_s: float,
) -> tuple[int, tuple[str, str]]:
    if behavior is None:
        if desired < least:
            return least, TOO_FEW
        rate = max(2 * current, 4)
        ceiling, why = (rate, TOO_FAST_UP) if most > rate else (most, TOO_MANY)
        return (ceiling, why) if desired > ceiling else (desired, WITHIN)
    if desired > current:
        rate = max(_up_limit(current, behavior.get("scaleUp") or {}, memory, now_s), current)
        ceiling, why = (rate, TOO_FAST_UP) if most > rate else (most, TOO_MANY)
        if desired > ceiling:
            return ceiling, why
    elif desired < current:
        rate = min(_down_limit(current, behavior.get("scaleDown") or {}, memory, now_s), current)
        floor, why = (rate, TOO_FAST_DOWN) if least < rate else (least, TOO_FEW)
        if desired < floor:
            return floor, why
    return desired, WITHIN


_DEFAULT_UP: Sequence[Mapping[str, Any]] = (
    {"type": "Pods", "value": 4, "periodSeconds": 15},
    {"type": "Percent", "value": 100, "periodSeconds": 15},
)
_DEFAULT_DOWN: Sequence[Mapping[str, Any]] = ({"type": "Percent", "value": 100, "periodSeconds": 15},)


def _up_limit(current: int, rules: Mapping[str, Any], memory: Memory, now_s: float) -> int:
    select = rules.get("selectPolicy") or "Max"
    if select == "Disabled":
        return current
    proposed = []
    for policy in rules.get("policies") or _DEFAULT_UP:
        start = _at_start(current, policy, memory, now_s)
        grown = start + policy["value"]
        if policy["type"] == "Percent":
            grown = math.ceil(start * (1 + policy["value"] / 100))
        proposed.append(grown)
    return int(min(proposed) if select == "Min" else max(proposed))


def _down_limit(current: int, rules: Mapping[str, Any], memory: Memory, now_s: float) -> int:
    select = rules.get("selectPolicy") or "Max"
    if select == "Disabled":
        return current
    proposed = []
    for policy in rules.get("policies") or _DEFAULT_DOWN:
        start = _at_start(current, policy, memory, now_s)
        shrunk = start - policy["value"]
        if policy["type"] == "Percent":
            shrunk = int(start * (1 - policy["value"] / 100))
        proposed.append(shrunk)
    return int(max(proposed) if select == "Min" else min(proposed))


def _at_start(current: int, policy: Mapping[str, Any], memory: Memory, now_s: float) -> int:
    """How many replicas there were when the policy's period began."""
    since_s = now_s - policy["periodSeconds"]
    return current - _changed(memory.ups, since_s) + _changed(memory.downs, since_s)


def _changed(events: Sequence[tuple[float, int]], since_s: float) -> int:
    return sum(count for at_s, count in events if at_s > since_s)
