"""The workloads of upstream's ``test/integration/scheduler_perf``: nodes, pods before, pods that are measured, churn.

Nodes have 4 CPUs, 32Gi and 110 pods. Objects are as a client sends them; names and namespaces are filled in by ``named``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

Object = dict[str, Any]

HOSTNAME, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"
BEFORE, MEASURED = "sched-0", "sched-1"
"""Namespaces of the pods that are there before and of those that are measured."""
_BOTH = [BEFORE, MEASURED]


class Churn(Struct, frozen=True, kw_only=True):
    """Objects that come, and perhaps go again, while pods are measured."""

    objects: tuple[Object, ...]
    interval_s: float
    recreates: bool
    """The object of the last time goes before the next one comes."""


class Workload(Struct, frozen=True, kw_only=True):
    """Pods that are there before, and pods that are measured."""

    name: str
    nodes: int
    before: int
    measured: int
    pod: Object
    pod_before: Object
    zones: tuple[str, ...] = ("zone1",)
    """Dealt out to the nodes in turn."""
    churn: Churn | None = None
    is_full: bool = False
    """The pods before fill the nodes: more nodes take more of them."""

    @property
    def row(self) -> str:
        return f"{self.name}/{self.nodes}Nodes"

    def sized(self, nodes: int) -> Workload:
        """The same on another number of nodes: on fewer with fewer pods, on more with the same, unless they fill the nodes.
        No more pods than fit where each wants a node of its own."""
        share = nodes / self.nodes
        before = int(self.before * share)
        return replace(
            self, nodes=nodes, before=before if self.is_full else min(self.before, before),
            measured=min(self.measured, max(min(200, nodes // 2), int(self.measured * share))),
        )  # fmt: skip


def node(number: int, zones: tuple[str, ...] = ("zone1",)) -> Object:
    name = f"node-{number}"
    capacity = {"cpu": "4", "memory": "32Gi", "pods": "110"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {HOSTNAME: name, ZONE: zones[number % len(zones)]}},
        "spec": {},
        "status": {
            "capacity": capacity,
            "allocatable": capacity,
            "conditions": [{"type": "Ready", "status": "True", "reason": "Simulated"}],
        },
    }


def pod(*, cpu: str = "100m", priority: int | None = None, color: str = "", limits: bool = True, **spec: Any) -> Object:
    amounts = {"cpu": cpu, "memory": "500Mi"}
    metadata: Object = {"labels": {"color": color}} if color else {}
    container = {
        "name": "pause",
        "image": "registry.k8s.io/pause:3.10.1",
        "ports": [{"containerPort": 80}],
        "resources": {"requests": amounts, **({"limits": amounts} if limits else {})},
    }
    made: Object = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"containers": [container], **spec},
    }
    if priority is not None:
        made["spec"]["priority"] = priority
    return made


def named(template: Object, name: str, namespace: str) -> Object:
    return {**template, "metadata": {**template["metadata"], "name": name, "namespace": namespace}}


def _affinity(kind: str, key: str, color: str, *, preferred: bool = False) -> Object:
    term = {"topologyKey": key, "labelSelector": {"matchLabels": {"color": color}}, "namespaces": _BOTH}
    if preferred:
        return {kind: {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": term}]}}
    return {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


_PLAIN = pod()
_NODE_AFFINITY = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
    {"matchExpressions": [{"key": ZONE, "operator": "In", "values": ["zone1", "zone2"]}]}]}}}  # fmt: skip
_SPREAD = [
    {"maxSkew": 5, "topologyKey": ZONE, "whenUnsatisfiable": "DoNotSchedule",
     "labelSelector": {"matchLabels": {"color": "blue"}}}
]  # fmt: skip
_TOO_LARGE = pod(cpu="9", priority=10, limits=False)
_CHURN_NODE = {
    "apiVersion": "v1", "kind": "Node", "metadata": {},
    "status": {"capacity": {"pods": "0"}, "conditions": [{"type": "Ready", "status": "True"}]},
}  # fmt: skip
_CHURN_SERVICE = {
    "apiVersion": "v1", "kind": "Service", "metadata": {},
    "spec": {"selector": {"app": "foo"}, "ports": [{"protocol": "TCP", "port": 8080, "targetPort": 8080}]},
}  # fmt: skip


def _alike(name: str, template: Object, *, before: int, measured: int, **more: Any) -> Workload:
    return Workload(name=name, nodes=5000, before=before, measured=measured, pod=template, pod_before=template, **more)


BASIC = _alike("SchedulingBasic", _PLAIN, before=1000, measured=10000)

WORKLOADS: tuple[Workload, ...] = (
    BASIC,
    _alike("PodAntiAffinity", pod(color="green", affinity=_affinity("podAntiAffinity", HOSTNAME, "green")),
           before=1000, measured=2000),
    _alike("PodAffinity", pod(color="blue", affinity=_affinity("podAffinity", ZONE, "blue")), before=5000, measured=5000),
    _alike("PreferredPodAffinity", pod(color="red", affinity=_affinity("podAffinity", HOSTNAME, "red", preferred=True)),
           before=5000, measured=5000),
    _alike("PreferredPodAntiAffinity",
           pod(color="yellow", affinity=_affinity("podAntiAffinity", HOSTNAME, "yellow", preferred=True)),
           before=5000, measured=5000),
    Workload(name="TopologySpreading", nodes=5000, before=5000, measured=5000, pod_before=_PLAIN,
             pod=pod(color="blue", topologySpreadConstraints=_SPREAD), zones=("moon-1", "moon-2", "moon-3")),
    _alike("NodeAffinity", pod(affinity=_NODE_AFFINITY), before=5000, measured=5000),
    Workload(name="PreemptionBasic", nodes=1000, before=4000, measured=1000,
             pod_before=pod(cpu="900m", terminationGracePeriodSeconds=0), pod=pod(cpu="3", priority=10), is_full=True),
    _alike("Unschedulable", _PLAIN, before=100, measured=10000,
           churn=Churn(objects=(_TOO_LARGE,), interval_s=0.2, recreates=False)),
    _alike("MixedChurn", _PLAIN, before=0, measured=10000,
           churn=Churn(objects=(_CHURN_NODE, _TOO_LARGE, _CHURN_SERVICE), interval_s=1.0, recreates=True)),
)  # fmt: skip

GROWTH = (500, 1000, 5000, 15000)
"""Node counts over which growth is shown."""


def growth(workloads: Iterable[Workload]) -> Iterable[Workload]:
    """Each at the sizes of ``GROWTH`` that are not its own."""
    return (workload.sized(nodes) for workload in workloads for nodes in GROWTH if nodes != workload.nodes)


def chosen(wanted: Iterable[str]) -> list[Workload]:
    """Workloads by name (``SchedulingBasic``) or row (``SchedulingBasic/500Nodes``); all without any. Raises ``ValueError``
    for a name that is none."""
    names = list(wanted)
    if not names:
        return list(WORKLOADS)
    by_name = {each.name: each for each in WORKLOADS}
    found = []
    for text in names:
        name, _, size = text.partition("/")
        if name not in by_name:
            raise ValueError(f"no workload is named {name}; there are {', '.join(by_name)}")
        workload = by_name[name]
        found.append(workload.sized(int(size.removesuffix("Nodes"))) if size else workload)
    return found
