"""The scheduler on upstream's scheduler_perf workloads: pods placed per second.

Rows ``scheduler-core/<workload>/<nodes>Nodes/pods_per_s`` are of the pure core without an API, ``…/p99_us`` the time of one
decision. Rows ``scheduler/…`` are of the whole scheduler against an API server with a memory store, both on one event loop
of one process: pods are created first, then bound. Nodes have 4 CPUs, 32Gi and 110 pods; pods ask for 100m and 500Mi, as
upstream's do.
"""

from __future__ import annotations

import asyncio
import logging
import random
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from steersman.aio.clock import SystemClock
from steersman.apiserver.component import APIServer
from steersman.apiserver.config import APIServerConfig
from steersman.client.api import Client
from steersman.client.inprocess import InProcessTransport
from steersman.meta.objects import Object
from steersman.meta.resources import NODES, PODS
from steersman.scheduler.cluster import Cluster
from steersman.scheduler.component import Scheduler, SchedulerConfig, default_configuration
from steersman.scheduler.configuration import LeaderElection
from steersman.scheduler.core import SchedulerCore
from steersman.scheduler.framework import Nomination
from steersman.scheduler.pod_info import PodInfo, parse_pod
from steersman.store.drivers.memory import MemoryStore

ZONES = 3
HOSTNAME, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Pods that are there before, and pods that are measured."""

    name: str
    nodes: int
    before: int
    measured: int
    pod: Callable[[int], Object]
    pod_before: Callable[[int], Object] | None = None


def node(number: int) -> Object:
    name = f"node-{number}"
    return {
        "kind": "Node",
        "metadata": {"name": name, "uid": name, "labels": {HOSTNAME: name, ZONE: f"zone-{number % ZONES}"}},
        "spec": {},
        "status": {"allocatable": {"cpu": "4", "memory": "32Gi", "pods": "110"}},
    }


def pod(
    name: str, *, cpu: str = "100m", memory: str = "500Mi", priority: int = 0, color: str = "blue", **spec: object
) -> Object:
    return {
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "uid": name, "labels": {"color": color}},
        "spec": {
            "schedulerName": "default-scheduler",
            "priority": priority,
            "containers": [
                {"name": "pause", "image": "pause", "resources": {"requests": {"cpu": cpu, "memory": memory}}}
            ],
            **spec,
        },
        "status": {},
    }


def term(key: str, color: str) -> Object:
    return {"topologyKey": key, "labelSelector": {"matchLabels": {"color": color}}}


def affinity(kind: str, entry: Object, *, preferred: bool = False) -> Object:
    if preferred:
        return {kind: {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": entry}]}}
    return {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [entry]}}


def node_affinity() -> Object:
    expression = {"key": ZONE, "operator": "In", "values": ["zone-0", "zone-1"]}
    terms = [{"matchExpressions": [expression]}]
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}


SPREAD = [
    {"maxSkew": 5, "topologyKey": ZONE, "whenUnsatisfiable": "DoNotSchedule",
     "labelSelector": {"matchLabels": {"color": "blue"}}}
]  # fmt: skip


def workloads() -> Iterable[Workload]:
    for nodes in (500, 1000, 5000, 15000):
        yield Workload(name="SchedulingBasic", nodes=nodes, before=1000, measured=10000, pod=lambda i: pod(f"p{i}"))
    yield Workload(
        name="SchedulingPodAntiAffinity", nodes=5000, before=1000, measured=2000,
        pod=lambda i: pod(f"p{i}", color="green", affinity=affinity("podAntiAffinity", term(HOSTNAME, "green"))),
    )  # fmt: skip
    yield Workload(
        name="SchedulingPodAffinity", nodes=5000, before=5000, measured=5000,
        pod=lambda i: pod(f"p{i}", affinity=affinity("podAffinity", term(ZONE, "blue"))),
    )  # fmt: skip
    yield Workload(
        name="SchedulingPreferredPodAffinity", nodes=5000, before=5000, measured=5000,
        pod=lambda i: pod(f"p{i}", affinity=affinity("podAffinity", term(HOSTNAME, "blue"), preferred=True)),
    )  # fmt: skip
    yield Workload(
        name="SchedulingPreferredPodAntiAffinity", nodes=5000, before=5000, measured=5000,
        pod=lambda i: pod(f"p{i}", affinity=affinity("podAntiAffinity", term(HOSTNAME, "blue"), preferred=True)),
    )  # fmt: skip
    yield Workload(
        name="TopologySpreading", nodes=5000, before=5000, measured=5000,
        pod=lambda i: pod(f"p{i}", topologySpreadConstraints=SPREAD),
    )  # fmt: skip
    yield Workload(
        name="SchedulingNodeAffinity", nodes=5000, before=5000, measured=5000,
        pod=lambda i: pod(f"p{i}", affinity=node_affinity()),
    )  # fmt: skip
    yield Workload(
        name="PreemptionBasic", nodes=1000, before=4000, measured=1000,
        pod_before=lambda i: pod(f"low{i}", cpu="900m"), pod=lambda i: pod(f"p{i}", cpu="3", priority=10),
    )  # fmt: skip


def measure(workload: Workload) -> dict[str, float]:
    """Place the pods of one workload."""
    cluster = Cluster()
    for number in range(workload.nodes):
        cluster.nodes.put_node(node(number))
    core = SchedulerCore(default_configuration().frameworks, cluster, seed=1)
    before = workload.pod_before or (lambda number: pod(f"before{number}"))
    for number in range(workload.before):
        _place(core, before(number))
    pods = [workload.pod(number) for number in range(workload.measured)]
    took_s = []
    started_s = time.perf_counter()
    for obj in pods:
        began_s = time.perf_counter()
        _place(core, obj)
        took_s.append(time.perf_counter() - began_s)
    total_s = time.perf_counter() - started_s
    took_s.sort()
    prefix = f"scheduler-core/{workload.name}/{workload.nodes}Nodes"
    return {
        f"{prefix}/pods_per_s": len(pods) / total_s,
        f"{prefix}/p99_us": took_s[int(len(took_s) * 0.99)] * 1e6,
    }


def _place(core: SchedulerCore, obj: Object) -> None:
    info = parse_pod(obj)
    decision = core.decide(info)
    if isinstance(decision.nomination, Nomination):
        for victim in decision.nomination.victims:
            core.cluster.nodes.remove_pod(victim.uid)
        decision = core.decide(info)
    if not decision.node_name:
        raise RuntimeError(f"{info.key}: {decision.diagnosis and decision.diagnosis.message}")
    if not isinstance(core.assume(info, decision.node_name), PodInfo):
        raise RuntimeError(f"{info.key} was not reserved")


def api_workloads() -> Iterable[Workload]:
    for nodes in (500, 1000, 5000):
        yield Workload(name="SchedulingBasic", nodes=nodes, before=0, measured=10000, pod=lambda i: pod(f"p{i}"))
    yield Workload(
        name="TopologySpreading", nodes=5000, before=0, measured=5000,
        pod=lambda i: pod(f"p{i}", topologySpreadConstraints=SPREAD),
    )  # fmt: skip


async def measure_api(workload: Workload) -> dict[str, float]:
    """Pods bound per second through the API."""
    clock = SystemClock()
    server = APIServer(
        store=MemoryStore(clock=clock),
        clock=clock,
        config=APIServerConfig(disabled_admission_plugins=("ServiceAccount", "Priority", "TaintNodesByCondition")),
        rng=random.Random(1),
    )
    await server.start()
    client = Client(InProcessTransport(server.handle))
    for number in range(workload.nodes):
        made = node(number)
        await client.create(NODES, _as_sent(made))
        await client.patch(NODES, f"node-{number}", {"status": made["status"]}, subresource="status")
    for number in range(workload.measured):
        await client.create(PODS, _as_sent(workload.pod(number)))
    configuration = replace(default_configuration(), leader_election=LeaderElection(leader_elect=False))
    scheduler = Scheduler(client=client, clock=clock, config=SchedulerConfig(configuration=configuration))
    task = asyncio.create_task(scheduler.run())
    while not scheduler.ready():  # noqa: ASYNC110 - a benchmark may poll
        await asyncio.sleep(0.001)
    started_s = time.perf_counter()
    while int(scheduler.shell.cluster.nodes.pod_count.sum()) < workload.measured or scheduler.shell.binding:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    total_s = time.perf_counter() - started_s
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await server.close()
    return {f"scheduler/{workload.name}/{workload.nodes}Nodes/pods_per_s": workload.measured / total_s}


def _as_sent(obj: Object) -> Object:
    return {
        "apiVersion": "v1",
        **obj,
        "metadata": {key: obj["metadata"][key] for key in obj["metadata"] if key != "uid"},
    }


def run() -> dict[str, float]:
    results: dict[str, float] = {}
    for workload in workloads():
        results |= measure(workload)
    logging.disable(logging.WARNING)
    for workload in api_workloads():
        results |= asyncio.run(measure_api(workload))
    logging.disable(logging.NOTSET)
    return results


if __name__ == "__main__":
    wanted = sys.argv[1:]
    for each in workloads():
        if not wanted or each.name in wanted:
            for row, value in measure(each).items():
                print(f"{row:70} {value:12.1f}")
    logging.disable(logging.WARNING)
    for each in api_workloads():
        if not wanted or f"api-{each.name}" in wanted:
            for row, value in asyncio.run(measure_api(each)).items():
                print(f"{row:70} {value:12.1f}")
