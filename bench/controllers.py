"""A Deployment from 0 to N replicas on 1,000 simulated nodes and back, for N of 500, 1,000, 2,000 and 5,000.

Controllers, API server and store (in memory) share this process and its event loop; a stand-in for scheduler and kubelets binds
each pod, lets it run and removes it, as fast as it can. The least number of writes that the semantics need from the controllers is
one create for each pod on the way up and one delete on the way down; ``writes a pod`` says how near that is, Events apart.
``growth`` is the CPU time for 5,000 over ten times that for 500: 1 is linear. Before the small size is measured, it is run once
to warm up; the garbage collector is set as ``steersman`` sets it in its programs.

``cluster`` is the same with nothing left out: scheduler, simulated kubelets and every controller in one process, on its one core.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from steersman.aio.clock import SystemClock
from steersman.aio.tasks import TaskGroup
from steersman.apiserver.component import APIServer
from steersman.apiserver.config import APIServerConfig
from steersman.client.api import Client
from steersman.client.informer import Change, Informer
from steersman.client.inprocess import InProcessTransport
from steersman.controllers.component import ControllerManager
from steersman.controllers.config import ControllerManagerConfig
from steersman.meta import objects, times
from steersman.meta.errors import NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import DEPLOYMENTS, NODES, PODS, SERVICEACCOUNTS, SERVICES
from steersman.meta.wire import Request, Response
from steersman.store.drivers.memory import MemoryStore
from steersman.testing import Cluster

NODES_COUNT = 1000
WARM_UP = 500
SIZES = (500, 1000, 2000, 5000)
CONTROLLERS = (
    "deployment-controller",
    "replicaset-controller",
    "endpoints-controller",
    "endpointslice-controller",
    "disruption-controller",
    "garbage-collector-controller",
)
DEADLINE_S = 300.0


@dataclass(slots=True)
class Counter:
    """Writes of the controllers."""

    handler: Callable[[Request], Awaitable[Response]]
    writes: dict[str, int] = field(default_factory=dict)

    async def __call__(self, request: Request) -> Response:
        if request.method != "GET":
            kind = request.path.split("/")[-2 if request.method in ("PUT", "PATCH", "DELETE") else -1]
            kind = "events" if "/events" in request.path else f"{request.method} {kind}"
            self.writes[kind] = self.writes.get(kind, 0) + 1
        return await self.handler(request)

    def take(self) -> tuple[int, int]:
        """(writes but for Events, Events) since the last call."""
        events = self.writes.pop("events", 0)
        total = sum(self.writes.values())
        self.writes.clear()
        return total, events


class Nodes:
    """Scheduler and kubelets in one: every pod that appears is bound and runs, every one that is deleted goes."""

    def __init__(self, client: Client, pods: Informer) -> None:
        self._client = client
        self._pending: asyncio.Queue[Object] = asyncio.Queue()
        self._number = 0
        self.running = 0
        pods.subscribe(self._changed)

    def _changed(self, change: Change) -> None:
        old, new = change.old, change.new
        if new is None:
            self.running -= 1
        elif old is None or objects.is_deleting(new) != objects.is_deleting(old):
            self.running += old is None
            self._pending.put_nowait(new)

    async def work(self) -> None:
        while True:
            pod = await self._pending.get()
            name, namespace = objects.name(pod), objects.namespace(pod)
            if objects.is_deleting(pod):
                try:
                    await self._client.delete(PODS, name, namespace=namespace, grace_period_s=0)
                except NotFound:
                    continue
                continue
            self._number += 1
            now = times.format_time(time.time())
            target = {"kind": "Node", "name": f"node-{self._number % NODES_COUNT}"}
            binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": target}
            address = f"10.{self._number >> 16 & 255}.{self._number >> 8 & 255}.{self._number & 255}"
            ready = {"type": "Ready", "status": "True", "lastTransitionTime": now}
            status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "conditions": [ready]}
            try:
                await self._client.create(PODS, binding, namespace=namespace, name=name, subresource="binding")
                await self._client.patch(PODS, name, {"status": status}, namespace=namespace, subresource="status")
            except NotFound:
                continue


def deployment() -> Object:
    labels = {"app": "bench"}
    container = {"name": "main", "image": "registry.example/app:1"}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [container], "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 1},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "bench", "namespace": "default"},
        "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template},
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """Seconds by the wall clock and of the CPU."""

    wall_s: float
    cpu_s: float


async def _scale(client: Client, nodes: Nodes, manager: ControllerManager, replicas: int) -> Took:
    """Until the Deployment's status says ``replicas`` and everything is at rest."""
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    await client.patch(DEPLOYMENTS, "bench", {"spec": {"replicas": replicas}}, namespace="default")
    async with asyncio.timeout(DEADLINE_S):
        while True:
            await asyncio.sleep(0.02)
            found = await client.get(DEPLOYMENTS, "bench", namespace="default")
            status = found.get("status") or {}
            is_there = (status.get("availableReplicas") or 0) == (status.get("replicas") or 0) == replicas
            if is_there and nodes.running == replicas and manager.quiet:
                return Took(wall_s=time.perf_counter() - began_s, cpu_s=time.process_time() - began_cpu_s)


async def _measure() -> dict[str, float]:
    clock = SystemClock()
    server = APIServer(
        store=MemoryStore(clock=clock),
        clock=clock,
        config=APIServerConfig(reconcile_endpoints=False),
        rng=random.Random(1),
    )
    await server.start()
    client = Client(InProcessTransport(server.handle))
    counter = Counter(server.handle)
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "default"}}
    await client.create(SERVICEACCOUNTS, account)
    for number in range(NODES_COUNT):
        await client.create(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"node-{number}"}})
    ports = [{"port": 80}]
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "bench", "namespace": "default"}}
    await client.create(SERVICES, {**service, "spec": {"selector": {"app": "bench"}, "ports": ports}})
    await client.create(DEPLOYMENTS, deployment())
    manager = ControllerManager(
        client=Client(InProcessTransport(counter)),
        clock=clock,
        config=ControllerManagerConfig(controllers=CONTROLLERS),
        rng=random.Random(2),
    )
    results: dict[str, float] = {}
    async with TaskGroup("bench") as group:
        pods = Informer(client, PODS, clock=clock)
        nodes = Nodes(client, pods)
        group.spawn(pods.run(), name="pods")
        for number in range(16):
            group.spawn(nodes.work(), name=f"nodes-{number}")
        group.spawn(manager.run(), name="controllers")
        for replicas in (0, WARM_UP, 0):
            await _scale(client, nodes, manager, replicas)
        counter.take()
        cpu_s: dict[tuple[str, int], float] = {}
        for size in SIZES:
            for way, replicas in (("up", size), ("down", 0)):
                gc.collect()
                took = await _scale(client, nodes, manager, replicas)
                writes, events = counter.take()
                cpu_s[way, size] = took.cpu_s
                results[f"{way}-{size}/seconds"] = took.wall_s
                results[f"{way}-{size}/cpu-ms-a-pod"] = took.cpu_s / size * 1e3
                results[f"{way}-{size}/writes-a-pod"] = writes / size
                results[f"{way}-{size}/events"] = events
        for way in ("up", "down"):
            small, large = min(SIZES), max(SIZES)
            results[f"{way}/growth"] = cpu_s[way, large] / cpu_s[way, small] / (large / small)
    await server.close()
    return results


async def _measure_cluster() -> dict[str, float]:
    results: dict[str, float] = {}
    async with Cluster(nodes=NODES_COUNT) as cluster:
        await cluster.client.create(DEPLOYMENTS, deployment())
        for way, replicas in (("up", max(SIZES)), ("down", 0)):
            began_s = time.perf_counter()
            scale = {"spec": {"replicas": replicas}}
            await cluster.client.patch(DEPLOYMENTS, "bench", scale, namespace="default")

            async def is_done(wanted: int = replicas) -> bool:
                status = (await cluster.client.get(DEPLOYMENTS, "bench", namespace="default")).get("status", {})
                return {status.get("replicas", 0), status.get("readyReplicas", 0)} == {wanted}

            await cluster.eventually(is_done)
            results[f"cluster/{way}-{max(SIZES)}/seconds"] = time.perf_counter() - began_s
    return results


def run() -> dict[str, float]:
    logging.getLogger("steersman").setLevel(logging.WARNING)
    gc.set_threshold(50_000, 20, 50)
    return asyncio.run(_measure()) | asyncio.run(_measure_cluster())


if __name__ == "__main__":
    for name, value in run().items():
        print(f"{name:32} {value:10.3f}")
