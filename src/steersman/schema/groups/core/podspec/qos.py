"""Quality of service of a pod: who is evicted and throttled first.

Source: "Pod Quality of Service Classes" in the Kubernetes documentation; pod-level resources (KEP-2837) decide where a pod
has them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any

import msgspec

from steersman.meta.objects import Object
from steersman.meta.quantities import quantity

_COMPUTE = ("cpu", "memory")


def qos_class(pod: Object) -> str:
    """As computed from the specification: ``Guaranteed``, ``Burstable`` or ``BestEffort``."""
    spec = pod.get("spec") or {}
    own = spec.get("resources")
    if own and (own.get("requests") or own.get("limits")):
        return _class_of(_encode([own]))
    containers = (*(spec.get("containers") or ()), *(spec.get("initContainers") or ()))
    return _class_of(_encode([container.get("resources") or {} for container in containers]))


_encode = msgspec.json.Encoder().encode


@lru_cache(maxsize=1024)
def _class_of(written: bytes) -> str:
    """``written``: the requirements as JSON. Remembered, as the pods of a workload all have the same."""
    requirements: Sequence[Mapping[str, Any]] = msgspec.json.decode(written)
    requests: dict[str, Fraction] = {}
    limits: dict[str, Fraction] = {}
    is_guaranteed = True
    for entry in requirements:
        _add(requests, entry.get("requests"))
        if len(_add(limits, entry.get("limits"))) != len(_COMPUTE):
            is_guaranteed = False
    if not requests and not limits:
        return "BestEffort"
    if is_guaranteed and all(limits.get(name) == value for name, value in requests.items()):
        return "Guaranteed" if len(requests) == len(limits) else "Burstable"
    return "Burstable"


def _add(totals: dict[str, Fraction], amounts: Mapping[str, Any] | None) -> set[str]:
    """Adds what is above zero; the names of those."""
    found = set()
    for name in _COMPUTE:
        amount = (amounts or {}).get(name)
        if amount is None:
            continue
        try:
            value = quantity(amount)
        except ValueError:
            continue
        if value.numerator > 0:
            found.add(name)
            totals[name] = totals[name] + value if name in totals else value
    return found
