"""``/metrics/resources``: what every pod that has not ended requests and is limited to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from steersman.scheduler.cluster import Cluster
from steersman.scheduler.pod_info import PodInfo
from steersman.scheduler.pod_requests import pod_requests
from steersman.scheduler.queue import SchedulingQueue

_LABELS = ("namespace", "pod", "node", "scheduler", "priority", "resource", "unit")
_BYTES = ("memory", "storage", "ephemeral-storage")


def exposition(cluster: Cluster, queue: SchedulingQueue) -> bytes:
    """In Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Amounts(cluster, queue))
    return generate_latest(registry)


class _Amounts(Collector):
    def __init__(self, cluster: Cluster, queue: SchedulingQueue) -> None:
        self._cluster = cluster
        self._queue = queue

    def describe(self) -> Iterator[Metric]:
        return iter(())

    def collect(self) -> Iterator[Metric]:
        words = "broken down by pod, with the unit of the resource if any."
        requests = GaugeMetricFamily(
            "kube_pod_resource_request", f"Resources requested by pods, {words}", labels=_LABELS
        )
        limits = GaugeMetricFamily("kube_pod_resource_limit", f"Resource limits of pods, {words}", labels=_LABELS)
        placed = {pod.uid: pod for pod in self._cluster.nodes.pods()}
        waiting = (queued.pod for queued in self._queue.pods() if queued.pod.uid not in placed)
        for pod in (*placed.values(), *waiting):
            _add(requests, pod, pod_requests(_without_status(pod.obj)).amounts)
            _add(limits, pod, pod_requests(_with_limits(pod.obj)).amounts)
        yield requests
        yield limits


def _add(family: GaugeMetricFamily, pod: PodInfo, amounts: Mapping[str, int]) -> None:
    stated = pod.obj["spec"].get("priority")
    for resource, amount in amounts.items():
        if amount:
            value = amount / 1000 if resource == "cpu" else amount
            family.add_metric(
                [pod.namespace, pod.name, pod.node_name, pod.scheduler_name, "" if stated is None else str(stated),
                 resource, _unit(resource)],
                value,
            )  # fmt: skip


def _unit(resource: str) -> str:
    if resource == "cpu":
        return "cores"
    if resource in _BYTES or resource.startswith("hugepages-"):
        return "bytes"
    return "integer" if resource.startswith("attachable-volumes-") else ""


def _without_status(obj: Mapping[str, Any]) -> dict[str, Any]:
    return {"spec": obj["spec"]}


def _with_limits(obj: Mapping[str, Any]) -> dict[str, Any]:
    """The same pod with its limits in the place of its requests, which add up alike; overhead counts where there is a limit."""

    def swapped(owner: Mapping[str, Any]) -> dict[str, Any]:
        return {**owner, "resources": {"requests": (owner.get("resources") or {}).get("limits") or {}}}

    spec = obj["spec"]
    limited = {
        **spec,
        **{name: [swapped(each) for each in spec.get(name) or ()] for name in ("containers", "initContainers")},
        "resources": {"requests": (spec.get("resources") or {}).get("limits") or {}},
        "overhead": None,
    }
    found = {name for name, amount in pod_requests({"spec": limited}).amounts.items() if amount}
    overhead = {name: amount for name, amount in (spec.get("overhead") or {}).items() if name in found}
    return {"spec": {**limited, "overhead": overhead}}
