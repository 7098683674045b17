"""How much a pod asks for and is limited to, all of its containers together.

Source: "Resource sharing within containers" of the sidecar documentation, pod-level resources and in-place resize.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Literal

from steersman.meta.quantities import quantity

Amounts = dict[str, Fraction]
Part = Literal["requests", "limits"]
_POD_LEVEL = ("cpu", "memory")
_HUGEPAGES = "hugepages-"


def pod_amounts(pod: Mapping[str, Any], part: Part) -> Amounts:
    """A pod's total of ``requests`` or ``limits``: its containers and sidecars, or what an init container needs at its time,
    whichever is more; amounts for the whole pod win; plus overhead where there is something to add it to.

    While a resize is under way a container counts with the most of what it asks for, what it was granted and what it has.
    """
    spec = pod.get("spec") or {}
    resized = _Resized(pod)
    total: Amounts = {}
    for container in spec.get("containers") or ():
        _add(total, resized.amounts(container, part))
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in spec.get("initContainers") or ():
        if container.get("restartPolicy") == "Always":
            amounts = resized.amounts(container, part)
            _add(total, amounts)
            _add(sidecars, amounts)
            _raise_to(peak, sidecars)
        else:
            together = dict(sidecars)
            _add(together, _amounts(container, part))
            _raise_to(peak, together)
    _raise_to(total, peak)
    for name, amount in _amounts(spec, part).items():
        if name in _POD_LEVEL or name.startswith(_HUGEPAGES):
            total[name] = amount
    for name, value in (spec.get("overhead") or {}).items():
        if part == "requests" or name in total:
            total[name] = total.get(name, Fraction(0)) + quantity(value)
    return total


class _Resized:
    """What containers have and were granted, where the kubelet has said so."""

    def __init__(self, pod: Mapping[str, Any]) -> None:
        status = pod.get("status") or {}
        self._statuses: dict[str, Mapping[str, Any]] = {
            entry["name"]: entry
            for field in ("containerStatuses", "initContainerStatuses")
            for entry in status.get(field) or ()
            if entry.get("resources") is not None
        }
        self._is_infeasible = bool(self._statuses) and any(
            entry.get("type") == "PodResizePending" and entry.get("reason") == "Infeasible"
            for entry in status.get("conditions") or ()
        )

    def amounts(self, container: Mapping[str, Any], part: Part) -> Amounts:
        status = self._statuses.get(container.get("name") or "")
        wanted = _amounts(container, part)
        if status is None:
            return wanted
        found = {} if self._is_infeasible else wanted
        _raise_to(found, _amounts(status, part))
        if part == "requests":
            granted = status.get("allocatedResources") or {}
            _raise_to(found, {name: quantity(value) for name, value in granted.items()})
        return found


def _amounts(holder: Mapping[str, Any], part: Part) -> Amounts:
    resources = holder.get("resources") or {}
    found = {name: quantity(value) for name, value in (resources.get(part) or {}).items()}
    if part == "requests":
        found |= {name: quantity(value) for name, value in (resources.get("limits") or {}).items() if name not in found}
    return found


def _add(total: Amounts, amounts: Mapping[str, Fraction]) -> None:
    for name, amount in amounts.items():
        total[name] = total.get(name, Fraction(0)) + amount


def _raise_to(total: Amounts, amounts: Mapping[str, Fraction]) -> None:
    for name, amount in amounts.items():
        total[name] = max(total.get(name, Fraction(0)), amount)


def is_best_effort(pod: Mapping[str, Any]) -> bool:
    """Neither it nor a container of it asks for or is limited in CPU or memory."""
    said = (pod.get("status") or {}).get("qosClass")
    if said:
        return bool(said == "BestEffort")
    spec = pod.get("spec") or {}
    holders = [spec] if spec.get("resources") is not None else []
    if not holders:
        holders = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    for holder in holders:
        resources = holder.get("resources") or {}
        for part in ("requests", "limits"):
            amounts = resources.get(part) or {}
            if any(name in amounts and quantity(amounts[name]) > 0 for name in _POD_LEVEL):
                return False
    return True
