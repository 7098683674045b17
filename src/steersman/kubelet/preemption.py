"""Room for a critical pod: which running pods go so that it fits (upstream's CriticalPodAdmissionHandler). Pure.

Guaranteed pods are spared first, then Burstable ones; among equals as few as possible go, and of these the smallest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from steersman.kubelet import podspec
from steersman.kubelet.admission import Shortage
from steersman.meta.objects import Object
from steersman.meta.podtotals import pod_totals

REASON: Final = "Preempting"
MESSAGE: Final = "Preempted in order to admit critical pod"
DISRUPTION: Final = "Pod was preempted by Kubelet to accommodate a critical pod."

Requirements = Mapping[str, int]
"""What has to be freed, by resource: thousandths of CPUs, bytes, pods."""


class PreemptionError(Exception):
    """All pods together would not free enough."""


def pods_to_preempt(pod: Mapping[str, Any], pods: Iterable[Object], shortages: Sequence[Shortage]) -> list[Object]:
    """Raises ``PreemptionError``."""
    wanted = {item.resource: item.missing for item in shortages}
    groups: dict[str, list[Object]] = {"BestEffort": [], "Burstable": [], "Guaranteed": []}
    for other in pods:
        if is_preemptable(pod, other):
            groups[podspec.qos_class(other)].append(other)
    best_effort, burstable, guaranteed = groups["BestEffort"], groups["Burstable"], groups["Guaranteed"]
    short = _less(wanted, [*best_effort, *burstable, *guaranteed])
    if short:
        raise PreemptionError(_no_set(short))
    from_guaranteed = _nearest(guaranteed, _less(wanted, [*best_effort, *burstable]))
    from_burstable = _nearest(burstable, _less(wanted, [*best_effort, *from_guaranteed]))
    from_best_effort = _nearest(best_effort, _less(wanted, [*from_burstable, *from_guaranteed]))
    return [*from_best_effort, *from_burstable, *from_guaranteed]


def is_preemptable(preemptor: Mapping[str, Any], pod: Mapping[str, Any]) -> bool:
    if podspec.is_critical(preemptor) and not podspec.is_critical(pod):
        return True
    own, other = preemptor["spec"].get("priority"), pod["spec"].get("priority")
    return own is not None and other is not None and int(own) > int(other)


def _nearest(pods: Sequence[Object], wanted: Requirements) -> list[Object]:
    """Again and again the pod that leaves the least to be freed."""
    left, chosen = list(pods), []
    while wanted:
        if not left:
            raise PreemptionError(_no_set(wanted))
        best = min(left, key=lambda pod: (_distance(wanted, pod), _request(pod, "memory"), _request(pod, "cpu")))
        left.remove(best)
        chosen.append(best)
        wanted = _less(wanted, [best])
    return chosen


def _distance(wanted: Requirements, pod: Object) -> float:
    """Each resource weighs the same: what is left of it as a share of what is wanted, squared."""
    return sum((max(amount - _request(pod, name), 0) / amount) ** 2 for name, amount in wanted.items())


def _less(wanted: Requirements, pods: Iterable[Object]) -> dict[str, int]:
    freed = list(pods)
    left = {name: amount - sum(_request(pod, name) for pod in freed) for name, amount in wanted.items()}
    return {name: amount for name, amount in left.items() if amount > 0}


def _request(pod: Object, name: str) -> int:
    return 1 if name == "pods" else pod_totals(pod["spec"], "requests").get(name, 0)


def _no_set(wanted: Requirements) -> str:
    listed = "".join(f"(res: {name}, q: {amount}), " for name, amount in wanted.items())
    return f"no set of running pods found to reclaim resources: [{listed}]"
