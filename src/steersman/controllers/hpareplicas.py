"""How many replicas a metric asks for: desired = ceil(current × usage / target), made careful about pods without a value.

Source: "Horizontal Pod Autoscaling / algorithm details" in the Kubernetes documentation.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from steersman.controllers import pods as podstate
from steersman.controllers.metricsapi import MetricsUnavailable, Sample, Samples
from steersman.meta import objects, times
from steersman.meta.objects import Object
from steersman.meta.quantities import to_milli

LARGEST = 2**31 - 1


class Tolerances(Struct, frozen=True, kw_only=True):
    """Ratios of usage to target within 1 - ``down`` and 1 + ``up`` change nothing."""

    down: float
    up: float

    def covers(self, ratio: float) -> bool:
        return 1.0 - self.down <= ratio <= 1.0 + self.up


class Readiness(Struct, frozen=True, kw_only=True):
    """How long CPU samples of a young pod are doubted."""

    now_s: float
    cpu_initialization_s: float
    initial_readiness_s: float


class Proposal(Struct, frozen=True, kw_only=True):
    """``average`` is the usage of one pod in thousandths, ``utilization`` the same in percent of the requests."""

    replicas: int
    average: int = 0
    utilization: int = 0


class _Groups(Struct, frozen=True, kw_only=True):
    ready: int
    unready: frozenset[str]
    missing: frozenset[str]
    samples: Mapping[str, Sample]
    """Of pods that count."""


def by_utilization(
    current: int,
    target_percent: int,
    samples: Samples,
    pods: Sequence[Object],
    resource: str,
    container: str,
    tolerances: Tolerances,
    readiness: Readiness,
) -> Proposal:
    """Usage in percent of what the pods request. Raises ``MetricsUnavailable``."""
    groups = _groups(samples, pods, resource, readiness)
    requests = {objects.name(pod): _request(pod, resource, container) for pod in pods}

    def ratio(values: Mapping[str, int]) -> tuple[float, int, int]:
        known = [name for name in values if name in requests]
        used, requested = sum(values[name] for name in known), sum(requests[name] for name in known)
        if not requested:
            raise MetricsUnavailable("no metrics returned matched known pods")
        percent = used * 100 // requested
        return percent / target_percent, percent, used // len(known)

    values = {name: sample.milli for name, sample in groups.samples.items()}
    first, percent, average = ratio(values)
    fallback = max(100, target_percent)
    filled = _filled(values, groups, first, below={name: requests[name] * fallback // 100 for name in groups.missing})
    second = ratio(filled)[0] if filled is not None else first
    replicas = _replicas(current, groups, first, second, filled, tolerances)
    return Proposal(replicas=replicas, average=average, utilization=percent)


def by_average(
    current: int,
    target_milli: int,
    samples: Samples,
    pods: Sequence[Object],
    resource: str,
    tolerances: Tolerances,
    readiness: Readiness,
) -> Proposal:
    """A plain average over the pods. Raises ``MetricsUnavailable``."""
    groups = _groups(samples, pods, resource, readiness)

    def ratio(values: Mapping[str, int]) -> tuple[float, int]:
        average = sum(values.values()) // len(values)
        return average / target_milli, average

    values = {name: sample.milli for name, sample in groups.samples.items()}
    first, average = ratio(values)
    filled = _filled(values, groups, first, below=dict.fromkeys(groups.missing, target_milli))
    second = ratio(filled)[0] if filled is not None else first
    return Proposal(replicas=_replicas(current, groups, first, second, filled, tolerances), average=average)


def by_value(
    current: int, target_milli: int, value_milli: int, pods: Iterable[Object], tolerances: Tolerances
) -> Proposal:
    """One value for all pods together, as of an object or from outside."""
    ratio = value_milli / target_milli
    if current == 0:
        return Proposal(replicas=min(math.ceil(ratio), LARGEST), average=value_milli)
    if tolerances.covers(ratio):
        return Proposal(replicas=current, average=value_milli)
    found = list(pods)
    if not found:
        raise MetricsUnavailable(
            "unable to calculate ready pods: no pods returned by selector while calculating replica count"
        )
    ready = sum(podstate.phase(pod) == "Running" and podstate.is_ready(pod) for pod in found)
    return Proposal(replicas=min(math.ceil(ratio * ready), LARGEST), average=value_milli)


def by_value_per_pod(status_replicas: int, target_milli: int, value_milli: int, tolerances: Tolerances) -> Proposal:
    """One value, shared out over the pods that there are."""
    replicas = status_replicas
    ratio = value_milli / (target_milli * status_replicas) if status_replicas else math.inf
    if not tolerances.covers(ratio):
        replicas = min(math.ceil(value_milli / target_milli), LARGEST)
    average = math.ceil(value_milli / status_replicas) if status_replicas else value_milli
    return Proposal(replicas=replicas, average=average)


def _groups(samples: Samples, pods: Sequence[Object], resource: str, readiness: Readiness) -> _Groups:
    if not pods:
        raise MetricsUnavailable("no pods returned by selector while calculating replica count")
    unready, missing, ignored, ready = set(), set(), set(), 0
    for pod in pods:
        name = objects.name(pod)
        if objects.is_deleting(pod) or podstate.phase(pod) == "Failed":
            ignored.add(name)
        elif podstate.phase(pod) == "Pending":
            unready.add(name)
        elif name not in samples:
            missing.add(name)
        elif resource == "cpu" and _is_doubtful(pod, samples[name], readiness):
            unready.add(name)
        else:
            ready += 1
    counted = {name: sample for name, sample in samples.items() if name not in ignored and name not in unready}
    if not counted:
        raise MetricsUnavailable("did not receive metrics for targeted pods (pods might be unready)")
    return _Groups(ready=ready, unready=frozenset(unready), missing=frozenset(missing), samples=counted)


def _is_doubtful(pod: Object, sample: Sample, readiness: Readiness) -> bool:
    """The pod is starting: its CPU says nothing of its load."""
    entry, started = objects.condition(pod, "Ready"), (pod.get("status") or {}).get("startTime")
    if entry is None or not started:
        return True
    started_s, since_s = times.parse_time(started), times.parse_time(entry["lastTransitionTime"])
    if started_s + readiness.cpu_initialization_s > readiness.now_s:
        return bool(entry["status"] == "False" or sample.at_s < since_s + sample.window_s)
    return bool(entry["status"] == "False" and started_s + readiness.initial_readiness_s > since_s)


def _filled(
    values: Mapping[str, int], groups: _Groups, ratio: float, below: Mapping[str, int]
) -> dict[str, int] | None:
    """``values`` with what is assumed of pods without one, against the direction of the change; None: nothing is assumed."""
    scales_up_with_unready = bool(groups.unready) and ratio > 1.0
    if not scales_up_with_unready and not groups.missing:
        return None
    filled = dict(values)
    if ratio < 1.0:
        filled |= below
    elif ratio > 1.0:
        filled |= dict.fromkeys(groups.missing, 0)
    if scales_up_with_unready:
        filled |= dict.fromkeys(groups.unready, 0)
    return filled


def _replicas(
    current: int,
    groups: _Groups,
    first: float,
    second: float,
    filled: Mapping[str, int] | None,
    tolerances: Tolerances,
) -> int:
    if filled is None:
        return current if tolerances.covers(first) else min(math.ceil(first * groups.ready), LARGEST)
    turns_round = (first < 1.0 < second) or (second < 1.0 < first)
    if tolerances.covers(second) or turns_round:
        return current
    replicas = min(math.ceil(second * len(filled)), LARGEST)
    contradicts = (second < 1.0 and replicas > current) or (second > 1.0 and replicas < current)
    return current if contradicts else replicas


def _request(pod: Object, resource: str, container: str) -> int:
    """What the pod (or one container of it) requests, in thousandths. Raises ``MetricsUnavailable`` where it does not say."""
    spec = pod.get("spec") or {}
    pod_level = (spec.get("resources") or {}).get("requests") or {}
    if pod_level and not container:
        if resource not in pod_level:
            raise MetricsUnavailable(f"missing pod-level request for {resource} in Pod {objects.name(pod)}")
        return to_milli(pod_level[resource])
    sidecars = (entry for entry in spec.get("initContainers") or () if entry.get("restartPolicy") == "Always")
    total, found = 0, not container
    for entry in [*(spec.get("containers") or ()), *sidecars]:
        if container and entry["name"] != container:
            continue
        found = True
        requests = (entry.get("resources") or {}).get("requests") or {}
        if resource not in requests:
            raise MetricsUnavailable(
                f"missing request for {resource} in container {entry['name']} of Pod {objects.name(pod)}"
            )
        total += to_milli(requests[resource])
    if not found:
        raise MetricsUnavailable(f"container {container} not found in Pod {objects.name(pod)}")
    return total
