"""A cluster without nodes: API server, memory store, a clock that the test owns, and the controllers that it asks for."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from steersman.aio.clock import FakeClock
from steersman.aio.tasks import TaskGroup
from steersman.apiserver.component import APIServer
from steersman.apiserver.config import APIServerConfig
from steersman.client.api import Client
from steersman.client.inprocess import InProcessTransport
from steersman.controllers.component import ControllerManager
from steersman.controllers.config import ControllerManagerConfig
from steersman.controllers.kinds import REGISTRY
from steersman.meta import objects, times
from steersman.meta.errors import Forbidden, NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import NAMESPACES, NODES, PODS, SERVICEACCOUNTS, Resource
from steersman.meta.wire import Handler, Request, Response
from steersman.store.drivers.memory import MemoryStore

DEADLINE_ROUNDS = 400


@dataclass(slots=True)
class WriteLog:
    """Every write that controllers made, Events too; ``refuse`` makes the server refuse some of them."""

    writes: list[str] = field(default_factory=list)
    refused: tuple[str, str] | None = None

    def wrap(self, handler: Handler) -> Handler:
        async def handle(request: Request) -> Response:
            if request.method != "GET":
                self.writes.append(f"{request.method} {request.path}")
            if self.refused is not None and request.method == self.refused[0] and self.refused[1] in request.path:
                error = Forbidden("the test refuses it")
                return Response(status=error.code, content=error.status())
            return await handler(request)

        return handle

    def refuse(self, method: str, part_of_path: str) -> None:
        """From now on, until ``accept``: answer such requests of controllers with 403 and "the test refuses it"."""
        self.refused = (method, part_of_path)

    def accept(self) -> None:
        self.refused = None

    def take(self) -> list[str]:
        taken, self.writes = self.writes, []
        return taken

    def take_but_events(self) -> list[str]:
        return [write for write in self.take() if "/events" not in write]


@dataclass(slots=True)
class World:
    """``client`` is the administrator's; controllers write through ``log``."""

    clock: FakeClock
    client: Client
    server: APIServer
    log: WriteLog
    manager: ControllerManager
    group: TaskGroup
    task: asyncio.Task[None]
    make_manager: Callable[[], ControllerManager]

    async def restart(self) -> None:
        """Kill the controllers where they are, and start them anew: what they had in memory is lost."""
        self.task.cancel()
        await asyncio.wait({self.task})
        self.manager = self.make_manager()
        self.task = self.group.spawn(self.manager.run(), name="controllers")

    async def run_for_turns(self, turns: int) -> None:
        """Let everything run for a few turns of the event loop, which may end in the middle of anything."""
        for _ in range(turns):
            await asyncio.sleep(0)

    async def client_list(self, resource: Resource) -> Sequence[Object]:
        return (await self.client.list(resource, namespace="default")).items

    async def settle(self) -> None:
        """Until no controller has anything to do at this time."""
        calm = 0
        for _ in range(DEADLINE_ROUNDS):
            await self.clock.settle()
            calm = calm + 1 if self.manager.quiet else 0
            if calm >= 2:
                return
        raise AssertionError("the controllers do not come to rest")

    async def advance(self, seconds: float) -> None:
        await self.clock.advance(seconds)
        await self.settle()

    async def prove_idle(self) -> None:
        """A second reconcile of everything writes nothing, and tells nothing again."""
        await self.settle()
        self.log.take()
        for runner in self.manager.runners:
            runner.requeue_everything()
        await self.settle()
        written = self.log.take()
        assert written == []

    async def create(self, resource: Resource, obj: Object) -> Object:
        created = await self.client.create(resource, obj)
        await self.settle()
        return created

    async def get(self, resource: Resource, name: str, namespace: str = "default") -> Object:
        return await self.client.get(resource, name, namespace=namespace if resource.namespaced else "")

    async def exists(self, resource: Resource, name: str, namespace: str = "default") -> bool:
        try:
            await self.get(resource, name, namespace)
        except NotFound:
            return False
        return True

    async def list(self, resource: Resource, namespace: str = "default") -> Sequence[Object]:
        return (await self.client.list(resource, namespace=namespace if resource.namespaced else "")).items

    async def patch(
        self, resource: Resource, name: str, patch: Object, namespace: str = "default", **how: Any
    ) -> Object:
        patched = await self.client.patch(
            resource, name, patch, namespace=namespace if resource.namespaced else "", **how
        )
        await self.settle()
        return patched

    async def set_status(self, resource: Resource, obj: Object, **status: Any) -> Object:
        """Change parts of an object's status, as the component does that it belongs to."""
        fresh = await self.client.get(resource, objects.name(obj), namespace=objects.namespace(obj))
        fresh = {**fresh, "status": {**(fresh.get("status") or {}), **status}}
        return await self.client.update(resource, fresh, subresource="status")

    async def add_nodes(self, *names: str, **labels: str) -> None:
        for name in names:
            node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}
            created = await self.client.create(NODES, node)
            now = times.format_time(self.clock.now())
            ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": now, "lastTransitionTime": now}
            await self.set_status(NODES, created, conditions=[ready])
            await self.client.patch(NODES, name, {"spec": {"taints": None}})
        await self.settle()

    async def run_pods(self, pods: Iterable[Object] | None = None, *, node: str = "", ready: bool = True) -> None:
        """Do what a scheduler and a kubelet do: bind pods that are not bound, and let them run."""
        found = await self.list(PODS, "") if pods is None else pods
        for number, pod in enumerate(found):
            if not objects.is_deleting(pod) and (pod.get("status") or {}).get("phase", "Pending") == "Pending":
                await self.run_pod(pod, node=node, address=f"10.0.0.{number + 1}", ready=ready)
        await self.settle()

    async def run_pod(self, pod: Object, *, node: str = "", address: str = "10.0.0.1", ready: bool = True) -> None:
        if node and not pod["spec"].get("nodeName"):
            binding = {
                "apiVersion": "v1", "kind": "Binding", "metadata": {"name": objects.name(pod)},
                "target": {"kind": "Node", "name": node},
            }  # fmt: skip
            await self.client.create(
                PODS, binding, namespace=objects.namespace(pod), name=objects.name(pod), subresource="binding"
            )
        now = times.format_time(self.clock.now())
        condition = {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": now}
        await self.set_status(
            PODS, pod, phase="Running", conditions=[condition], podIP=address, podIPs=[{"ip": address}]
        )

    async def finish_pods(self, phase: str, pods: Iterable[Object], exit_code: int = 0) -> None:
        now = times.format_time(self.clock.now())
        for pod in pods:
            terminated = {"exitCode": exit_code, "finishedAt": now, "startedAt": now}
            statuses = [
                {"name": entry["name"], "image": "", "imageID": "", "ready": False, "restartCount": 0,
                 "state": {"terminated": terminated}}
                for entry in pod["spec"]["containers"]
            ]  # fmt: skip
            ready = {"type": "Ready", "status": "False", "lastTransitionTime": now}
            await self.set_status(PODS, pod, phase=phase, conditions=[ready], containerStatuses=statuses)
        await self.settle()

    async def reap_pods(self) -> None:
        """Do what a kubelet does with pods that are being deleted: stop them and let them go."""
        for pod in await self.list(PODS, ""):
            if objects.is_deleting(pod):
                await self.client.delete(PODS, objects.name(pod), namespace=objects.namespace(pod), grace_period_s=0)
        await self.settle()


async def start_world(group: TaskGroup, *controllers: str, **config: Any) -> World:
    """Boot a world that runs only the named controllers. It ends with ``group``."""
    clock = FakeClock()
    server = APIServer(
        store=MemoryStore(clock=clock),
        clock=clock,
        config=APIServerConfig(reconcile_endpoints=False),
        rng=random.Random(1),
    )
    await server.start()
    log = WriteLog()

    def make_manager() -> ControllerManager:
        return ControllerManager(
            client=Client(InProcessTransport(log.wrap(server.handle))),
            clock=clock,
            config=ControllerManagerConfig(controllers=controllers, **config),
            rng=random.Random(2),
            controllers=REGISTRY,
        )

    manager = make_manager()
    world = World(
        clock=clock,
        client=Client(InProcessTransport(server.handle)),
        server=server,
        log=log,
        manager=manager,
        group=group,
        task=group.spawn(manager.run(), name="controllers"),
        make_manager=make_manager,
    )
    if not await world.exists(NAMESPACES, "default"):
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}}
        await world.client.create(NAMESPACES, namespace)
    await world.client.create(
        SERVICEACCOUNTS,
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "default"}},
    )
    await asyncio.sleep(0)
    await world.settle()
    return world
