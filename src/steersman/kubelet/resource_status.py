"""What a pod's status says of resources: granted to and set on each container, and on the pod as a whole.

The rules are upstream's (``convertContainerStatusResources``, ``convertToAPIPodLevelResourcesStatus``): of a running container
the runtime's word counts for CPU and for the memory limit, its allocation for everything else.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from msgspec import Struct, field

from steersman.kubelet.allocation import Amounts
from steersman.kubelet.records import ContainerRecord
from steersman.meta.objects import Object
from steersman.meta.podtotals import Part, pod_totals
from steersman.meta.quantities import format_binary, format_decimal, quantity, to_milli

LEAST_REQUEST_MILLI = 2
LEAST_LIMIT_MILLI = 10
"""What cgroups can express: where allocated and actual CPU are both below, the allocated amount is shown."""


class PodTotals(Struct, frozen=True, kw_only=True):
    """Sums over one pod's containers as quantities."""

    requests: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, str] = field(default_factory=dict)


def totals_of(pod: Mapping[str, Any]) -> PodTotals:
    return PodTotals(requests=_quantities(pod, "requests"), limits=_quantities(pod, "limits"))


def _quantities(pod: Mapping[str, Any], part: Part) -> dict[str, str]:
    return {name: _format(name, amount) for name, amount in pod_totals(pod["spec"], part).items()}


def _format(name: str, amount: int) -> str:
    if name == "cpu":
        return format_decimal(Fraction(amount, 1000))
    is_bytes = name in ("memory", "ephemeral-storage") or name.startswith("hugepages-")
    return format_binary(amount) if is_bytes else format_decimal(amount)


def pod_resources_status(pod: Mapping[str, Any], totals: PodTotals, actuated: Amounts | None) -> Object:
    """``status.resources``. ``actuated``: what the pod's cgroup is set to, while the pod runs."""
    resources: Object = dict(pod["spec"].get("resources") or {})
    requests, limits = dict(totals.requests), dict(totals.limits)
    if actuated is not None:
        requests, limits = dict(resources.get("requests") or {}), dict(resources.get("limits") or {})
        if "memory" in totals.requests:
            requests.setdefault("memory", totals.requests["memory"])
        _put_cpu(requests, actuated.cpu_request_milli, LEAST_REQUEST_MILLI)
        _put_cpu(limits, actuated.cpu_limit_milli, LEAST_LIMIT_MILLI)
        _put(limits, "memory", actuated.memory_limit_bytes)
    for part, amounts in (("requests", requests), ("limits", limits)):
        resources.pop(part, None)
        if amounts:
            resources[part] = amounts
    return resources


def container_resources_status(allocated: Mapping[str, Any], record: ContainerRecord) -> Object:
    """``containerStatuses[].resources`` of a container that was granted ``allocated``."""
    reported = record.status.resources
    if record.state != "RUNNING" or reported is None:
        return dict(allocated)
    resources: Object = dict(allocated)
    if resources.get("limits"):
        limits = resources["limits"] = dict(resources["limits"])
        if reported.cpu_period > 0 and reported.cpu_quota > 0:
            _put_cpu(limits, -(-reported.cpu_quota * 1000 // reported.cpu_period), LEAST_LIMIT_MILLI)
        _put(limits, "memory", reported.memory_limit_bytes)
    if resources.get("requests"):
        requests = resources["requests"] = dict(resources["requests"])
        if reported.cpu_shares > 0:
            _put_cpu(requests, -(-reported.cpu_shares * 1000 // 1024), LEAST_REQUEST_MILLI)
    return resources


def _put_cpu(amounts: Object, actual_milli: int, least_milli: int) -> None:
    if actual_milli > least_milli or (actual_milli > 0 and to_milli(amounts.get("cpu", 0)) > least_milli):
        _put(amounts, "cpu", actual_milli)


def _put(amounts: Object, name: str, actual: int) -> None:
    """As it is written already where that is the same amount; 0 is not known."""
    if actual <= 0:
        return
    value = Fraction(actual, 1000) if name == "cpu" else Fraction(actual)
    if name not in amounts or quantity(amounts[name]) != value:
        amounts[name] = _format(name, actual)
