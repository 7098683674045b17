"""The kubelet on the simulated runtime: what the agent itself costs, with no container and no API server to wait for.

``agent``: pods appear in a watch of a transport that only counts, and are driven to Running and then to their end.
``cluster``: the same against a real API server in this process, its cost included.
Target (issue "The kubelet, whole, on containerd"): the agent adds less than 15 ms a pod.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable

from steersman.aio.clock import SystemClock
from steersman.aio.tasks import TaskGroup
from steersman.apiserver.component import APIServer
from steersman.apiserver.config import APIServerConfig
from steersman.client.api import Client
from steersman.client.inprocess import InProcessTransport
from steersman.kubelet.fleet import FleetConfig, SimulatedFleet
from steersman.kubelet.instructions import PodUpdated, RuntimeReported
from steersman.kubelet.pod_machine import PodMachine
from steersman.kubelet.records import PodRecord
from steersman.kubelet.status import NodeFacts
from steersman.meta.objects import Object
from steersman.meta.resources import PODS, SERVICEACCOUNTS
from steersman.meta.wire import Request, Response, WatchFrame
from steersman.store.drivers.memory import MemoryStore

NODES = 10
PODS_A_NODE = 100
MANY_NODES = 1000
IDLE_S = 5.0
MACHINES = 2000


def pod(number: int, *, uid: str = "") -> Object:
    node = f"simulated-{number % NODES}"
    probe = {"httpGet": {"port": 80, "path": "/"}, "periodSeconds": 10}
    container = {"name": "main", "image": "registry.example/app:1", "readinessProbe": probe}
    metadata: Object = {"name": f"pod-{number}", "namespace": "default", "labels": {"app": "bench"}}
    if uid:
        metadata |= {"uid": uid, "generation": 1, "resourceVersion": "1", "creationTimestamp": "2026-01-01T00:00:00Z"}
    spec = {
        "nodeName": node,
        "containers": [container],
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 1,
        "automountServiceAccountToken": False,
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": {"phase": "Pending"}}


class Counting:
    """A transport that takes every write, counts it, and shows pods in a watch. Statuses written are remembered."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.running: set[str] = set()
        self.gone: set[str] = set()
        self._frames: asyncio.Queue[list[WatchFrame]] = asyncio.Queue()

    def show(self, kind: str, pods: list[Object]) -> None:
        self._frames.put_nowait([WatchFrame(type=kind, object=entry, data=b"") for entry in pods])

    async def send(self, request: Request) -> Response:
        self.requests[f"{request.method} {request.path.split('/')[-1]}"] += 1
        content = request.content
        if request.method == "PATCH" and request.path.endswith("/status") and "/pods/" in request.path:
            if content["status"].get("phase") == "Running":
                self.running.add(content["metadata"]["uid"])
        elif request.method == "DELETE":
            self.gone.add(content["preconditions"]["uid"] if content else "")
        if request.method == "POST":
            metadata = {**content["metadata"], "uid": "u", "resourceVersion": "1"}
            return Response(status=201, content={**content, "metadata": metadata})
        return Response(status=200, content=content or {})

    async def open(self, request: Request) -> Response:
        return Response(watch=self._watch(request.path.endswith("/pods")))

    async def _watch(self, pods: bool) -> AsyncIterator[list[WatchFrame]]:
        metadata = {"resourceVersion": "1", "annotations": {"k8s.io/initial-events-end": "true"}}
        yield [WatchFrame(type="BOOKMARK", object={"metadata": metadata}, data=b"")]
        while True:
            if pods:
                yield await self._frames.get()
            else:
                await asyncio.Event().wait()

    async def close(self) -> None:
        return None


async def _until(holds: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 120
    while not holds():
        if time.monotonic() > deadline_s:
            raise TimeoutError("the benchmark's pods did not get there")
        await asyncio.sleep(0.01)


async def _agent() -> dict[str, float]:
    api = Counting()
    fleet = SimulatedFleet(
        client=Client(api), clock=SystemClock(), config=FleetConfig(images_present=True), rng=random.Random(1)
    )
    fleet.add(NODES)
    total = NODES * PODS_A_NODE
    async with TaskGroup("bench") as group:
        group.spawn(fleet.run(), name="fleet")
        await _until(fleet.ready)
        pods = [pod(number, uid=f"uid-{number}") for number in range(total)]
        began_s, cpu_s = time.perf_counter(), time.process_time()
        api.show("ADDED", pods)
        await _until(lambda: len(api.running) == total)
        start_s, start_cpu_s = time.perf_counter() - began_s, time.process_time() - cpu_s
        await _until(lambda: fleet.idle)
        idle_cpu_s = time.process_time()
        await asyncio.sleep(IDLE_S)
        idle_cpu_s = time.process_time() - idle_cpu_s
        writes = sum(api.requests.values())
        deleted = [
            {**entry, "metadata": {**entry["metadata"], "deletionTimestamp": "2026-01-01T00:00:01Z",
                                   "deletionGracePeriodSeconds": 1}}
            for entry in pods
        ]  # fmt: skip
        began_s, cpu_s = time.perf_counter(), time.process_time()
        api.show("MODIFIED", deleted)
        await _until(lambda: len(api.gone) == total)
        stop_s, stop_cpu_s = time.perf_counter() - began_s, time.process_time() - cpu_s
    return {
        "kubelet/agent/pods_started_per_s": total / start_s,
        "kubelet/agent/cpu_ms_per_pod_started": start_cpu_s / total * 1000,
        "kubelet/agent/pods_stopped_per_s": total / stop_s,
        "kubelet/agent/cpu_ms_per_pod_stopped": stop_cpu_s / total * 1000,
        "kubelet/agent/requests_per_pod_started": writes / total,
        f"kubelet/agent/idle_cpu_percent_{total}_pods": idle_cpu_s / IDLE_S * 100,
    }


async def _cluster() -> dict[str, float]:
    clock = SystemClock()
    server = APIServer(store=MemoryStore(clock=clock), clock=clock, config=APIServerConfig(), rng=random.Random(1))
    await server.start()
    client = Client(InProcessTransport(server.handle))
    await client.create(
        SERVICEACCOUNTS,
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "default"}},
    )
    fleet = SimulatedFleet(client=client, clock=clock, config=FleetConfig(images_present=True), rng=random.Random(1))
    fleet.add(NODES)
    total = NODES * PODS_A_NODE
    async with TaskGroup("bench") as group:
        group.spawn(fleet.run(), name="fleet")
        await _until(fleet.ready)
        began_s = time.perf_counter()
        for number in range(total):
            await client.create(PODS, pod(number))
        feeds = fleet.shared.feeds.pods

        def all_run() -> bool:
            return sum(1 for entry in feeds.list() if entry["status"].get("phase") == "Running") == total

        await _until(all_run)
        start_s = time.perf_counter() - began_s
    await server.close()
    return {"kubelet/cluster/pods_created_and_started_per_s": total / start_s}


async def _many_nodes() -> dict[str, float]:
    api = Counting()
    fleet = SimulatedFleet(
        client=Client(api), clock=SystemClock(), config=FleetConfig(images_present=True), rng=random.Random(1)
    )
    cpu_s, began_s = time.process_time(), time.perf_counter()
    fleet.add(MANY_NODES)
    async with TaskGroup("bench") as group:
        group.spawn(fleet.run(), name="fleet")
        await _until(fleet.ready)
        ready_s, ready_cpu_s = time.perf_counter() - began_s, time.process_time() - cpu_s
        cpu_s = time.process_time()
        await asyncio.sleep(IDLE_S)
        idle_cpu_s = time.process_time() - cpu_s
    return {
        f"kubelet/fleet/{MANY_NODES}_nodes_ready_s": ready_s,
        "kubelet/fleet/cpu_ms_per_node_ready": ready_cpu_s / MANY_NODES * 1000,
        f"kubelet/fleet/idle_cpu_percent_{MANY_NODES}_nodes": idle_cpu_s / IDLE_S * 100,
    }


def _machine() -> dict[str, float]:
    """One event through the pure machine, status included."""
    machine = PodMachine(pod(1, uid="u"), NodeFacts(host_ips=("192.0.2.1",)))
    machine.handle(RuntimeReported(record=PodRecord(uid="u")), 0.0)
    event = PodUpdated(pod=pod(1, uid="u"))
    began_s = time.perf_counter()
    for _ in range(MACHINES):
        machine.handle(event, 0.0)
    return {"kubelet/machine/us_per_event": (time.perf_counter() - began_s) / MACHINES * 1e6}


def run() -> dict[str, float]:
    logging.getLogger("steersman.client.events").setLevel(logging.ERROR)
    results = _machine()
    for case in (_agent, _cluster, _many_nodes):
        results |= asyncio.run(case())
    return results


if __name__ == "__main__":
    for name, value in run().items():
        print(f"{name:60} {value:12.3f}")
