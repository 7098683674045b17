"""What a pod's containers ask for together.

Containers run side by side and add up. Init containers run one after another and each needs room beside the sidecars
(restartable init containers) that started before it. Source: KEP-753 (sidecar containers).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Literal

from steersman.meta.quantities import quantity

Part = Literal["requests", "limits"]


def container_totals(spec: Mapping[str, Any], part: Part) -> dict[str, Fraction]:
    """Amounts by resource name, without the pod's own ``resources`` and without overhead. Raises ``ValueError`` for amounts that are
    no quantities."""
    totals: dict[str, Fraction] = {}
    for container in spec.get("containers") or ():
        _add(totals, _amounts(container, part))
    beside: dict[str, Fraction] = {}
    peaks: dict[str, Fraction] = {}
    for container in spec.get("initContainers") or ():
        own = _amounts(container, part)
        if container.get("restartPolicy") == "Always":
            _add(totals, own)
            _add(beside, own)
            _raise_to(peaks, beside)
        else:
            with_sidecars = dict(beside)
            _add(with_sidecars, own)
            _raise_to(peaks, with_sidecars)
    _raise_to(totals, peaks)
    return totals


def pod_totals(spec: Mapping[str, Any], part: Part) -> Mapping[str, int]:
    """What the pod as a whole has: ``container_totals`` with the pod's own ``resources`` in their place and its overhead added,
    to limits only where there is one. Milli-CPU, bytes, counts."""
    key = (id(spec), part)
    known = _known.get(key)
    if known is not None and known[0] is spec:
        return known[1]
    if len(_known) >= REMEMBERED:
        _known.clear()
    result = _pod_totals(spec, part)
    _known[key] = (spec, result)
    return result


REMEMBERED = 4096
"""Specs are asked about again and again, and never change: what was computed for the last so many is kept."""
_known: dict[tuple[int, Part], tuple[Mapping[str, Any], Mapping[str, int]]] = {}


def _pod_totals(spec: Mapping[str, Any], part: Part) -> dict[str, int]:
    totals = container_totals(spec, part)
    totals.update(_amounts(spec, part))
    overhead = {name: quantity(amount) for name, amount in (spec.get("overhead") or {}).items()}
    _add(totals, {name: amount for name, amount in overhead.items() if part == "requests" or totals.get(name)})
    return {name: whole(name, amount) for name, amount in totals.items()}


def whole(name: str, amount: Fraction) -> int:
    """``amount`` of resource ``name`` in the unit that it is counted in: thousandths of a CPU, ones of all else."""
    return math.ceil(amount * 1000 if name == "cpu" else amount)


def _amounts(container: Mapping[str, Any], part: Part) -> dict[str, Fraction]:
    amounts = (container.get("resources") or {}).get(part) or {}
    return {name: quantity(amount) for name, amount in amounts.items()}


def _add(totals: dict[str, Fraction], amounts: Mapping[str, Fraction]) -> None:
    for name, amount in amounts.items():
        totals[name] = totals.get(name, Fraction(0)) + amount


def _raise_to(totals: dict[str, Fraction], amounts: Mapping[str, Fraction]) -> None:
    for name, amount in amounts.items():
        if name not in totals or totals[name] < amount:
            totals[name] = amount
