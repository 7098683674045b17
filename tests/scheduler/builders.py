"""Small pods and nodes for tests of the scheduler."""

from __future__ import annotations

from typing import Any

from steersman.meta.objects import Object
from steersman.scheduler.cluster import Cluster
from steersman.scheduler.component import default_configuration
from steersman.scheduler.core import Decision, SchedulerCore
from steersman.scheduler.pod_info import PodInfo, parse_pod


def node(
    name: str = "n1",
    *,
    cpu: str = "4",
    memory: str = "32Gi",
    pods: str = "110",
    labels: dict[str, str] | None = None,
    taints: list[Object] | None = None,
    unschedulable: bool = False,
    images: list[Object] | None = None,
    more: dict[str, str] | None = None,
) -> Object:
    spec: Object = {}
    if taints:
        spec["taints"] = taints
    if unschedulable:
        spec["unschedulable"] = True
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "uid": f"node-{name}", "labels": {"kubernetes.io/hostname": name, **(labels or {})}},
        "spec": spec,
        "status": {
            "allocatable": {"cpu": cpu, "memory": memory, "pods": pods, **(more or {})},
            "images": images or [],
        },
    }  # fmt: skip


def pod(
    name: str = "p1",
    *,
    namespace: str = "default",
    cpu: str = "",
    memory: str = "",
    requests: dict[str, str] | None = None,
    labels: dict[str, str] | None = None,
    node_name: str = "",
    priority: int | None = None,
    status: Object | None = None,
    metadata: Object | None = None,
    image: str = "image",
    **spec: Any,
) -> Object:
    wanted = {key: value for key, value in (("cpu", cpu), ("memory", memory)) if value} | (requests or {})
    container: Object = {"name": "main", "image": image}
    if wanted:
        container["resources"] = {"requests": wanted}
    result: Object = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name, "namespace": namespace, "uid": f"{namespace}-{name}", "labels": labels or {},
            **(metadata or {}),
        },
        "spec": {"containers": [container], **spec},
        "status": status or {},
    }  # fmt: skip
    if node_name:
        result["spec"]["nodeName"] = node_name
    if priority is not None:
        result["spec"]["priority"] = priority
    return result


def cluster_of(*objects: Object) -> Cluster:
    """A cluster with these nodes and (bound) pods."""
    cluster = Cluster()
    for obj in objects:
        if obj["kind"] == "Node":
            cluster.nodes.put_node(obj)
        else:
            cluster.nodes.add_pod(parse_pod(obj))
    return cluster


def core_of(cluster: Cluster, *, seed: int = 0) -> SchedulerCore:
    return SchedulerCore(default_configuration().frameworks, cluster, seed=seed)


def place(core: SchedulerCore, obj: Object) -> Decision:
    """Decide about a pod and count it on its node."""
    info = parse_pod(obj)
    decision = core.decide(info)
    if decision.node_name:
        assumed = core.assume(info, decision.node_name)
        assert isinstance(assumed, PodInfo)
    return decision
