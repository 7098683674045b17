"""A runtime without containers: sandboxes and containers are rows in memory that walk through configured stages.

Thousands of them cost no process and no file. What a container does is its ``Behaviour``: how long it takes to pull,
start and stop, when it exits and how, what its probes find. The default one starts at once and runs until it is
stopped; a pod's annotation ``simulated.steersman.dev/behaviour`` sets others by container name. Everything is driven by
the clock, the timers and the random numbers that are handed in, so that a run can be repeated exactly.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import asdict, replace

from steersman.aio.broadcast import Broadcaster
from steersman.aio.clock import Clock
from steersman.aio.timers import Timers
from steersman.kubelet.runtimes.addresses import PodAddresses
from steersman.kubelet.runtimes.api import (
    ALL_STATS,
    EVERY_CONTAINER,
    EVERY_SANDBOX,
    AlreadyExists,
    AttachRequest,
    CgroupDriver,
    ExecRequest,
    FailedPrecondition,
    NotFound,
    PortConnection,
    Runtime,
    RuntimeHandler,
    RuntimeServiceError,
    RuntimeStatus,
    Session,
    Unimplemented,
    Version,
)
from steersman.kubelet.runtimes.behaviour import Behaviour
from steersman.kubelet.runtimes.containers import (
    Container,
    ContainerConfig,
    ContainerEvent,
    ContainerEventType,
    ContainerFilter,
    ContainerStatus,
    ExecResult,
)
from steersman.kubelet.runtimes.sandboxes import (
    LinuxResources,
    PodSandbox,
    PodSandboxConfig,
    PodSandboxFilter,
    PodSandboxStatus,
)
from steersman.kubelet.runtimes.simulated_images import SimulatedImages
from steersman.kubelet.runtimes.simulated_troubles import Troubles
from steersman.kubelet.runtimes.stats import ContainerStats, PodSandboxStats, StatsFilter

EVENT_LIMIT = 10_000
KILLED, TERMINATED = 137, 143


class _Sandbox(Struct):
    status: PodSandboxStatus
    config: PodSandboxConfig


class _Container(Struct):
    sandbox_id: str
    status: ContainerStatus
    config: ContainerConfig
    behaviour: Behaviour


class SimulatedRuntime(SimulatedImages):
    """One node's runtime. Use from one event loop only."""

    def __init__(
        self,
        *,
        clock: Clock,
        timers: Timers,
        rng: random.Random,
        pod_cidr: str = "10.244.0.0/24",
        default: Behaviour | None = None,
        images_present: bool = False,
    ) -> None:
        """``images_present``: every image is on the node already, so that nothing is ever pulled."""
        super().__init__(clock=clock, rng=rng, default=default or Behaviour(), images_present=images_present)
        self._timers = timers
        self._sandboxes: dict[str, _Sandbox] = {}
        self._containers: dict[str, _Container] = {}
        self._addresses = PodAddresses(pod_cidr)
        self._events: Broadcaster[ContainerEvent] = Broadcaster()
        self.troubles = Troubles()

    # -- the runtime itself

    async def version(self) -> Version:
        return Version(runtime_name="simulated", runtime_version="1.36.0")

    async def status(self, *, verbose: bool = False) -> RuntimeStatus:
        return RuntimeStatus(
            conditions=self.troubles.conditions(),
            handlers=(RuntimeHandler(name="", recursive_read_only_mounts=True, user_namespaces=True),),
            supplemental_groups_policy=True,
        )

    async def runtime_config(self) -> CgroupDriver | None:
        return "cgroupfs"

    async def update_runtime_config(self, *, pod_cidr: str) -> None:
        self._addresses.use(pod_cidr.partition(",")[0])

    async def close(self) -> None:
        self._events.close()
        for container_id in self._containers:
            self._timers.cancel(("exit", container_id))

    # -- sandboxes

    async def run_pod_sandbox(self, config: PodSandboxConfig, *, runtime_handler: str = "") -> str:
        behaviour = self._behaviour_of(config.annotations, "")
        await self._pause(behaviour.sandbox_s)
        if behaviour.sandbox_error:
            raise RuntimeServiceError(behaviour.sandbox_error)
        if any(box.status.metadata == config.metadata for box in self._sandboxes.values()):
            raise AlreadyExists(f"sandbox of {config.metadata} exists")
        sandbox_id = self._new_id()
        host = config.security_context.namespaces.network == "NODE"
        self._sandboxes[sandbox_id] = _Sandbox(
            status=PodSandboxStatus(
                id=sandbox_id,
                metadata=config.metadata,
                state="READY",
                created_at_ns=self._now_ns(),
                ips=() if host else (self._addresses.take(sandbox_id),),
                namespaces=config.security_context.namespaces,
                labels=config.labels,
                annotations=config.annotations,
                runtime_handler=runtime_handler,
            ),
            config=config,
        )
        self._say("STARTED", sandbox_id, sandbox_id)
        return sandbox_id

    async def stop_pod_sandbox(self, sandbox_id: str) -> None:
        box = self._sandboxes.get(sandbox_id)
        if box is None:
            return
        for item in self._of_sandbox(sandbox_id):
            self._exit(item, KILLED)
        if box.status.state == "READY":
            self._addresses.give_back(sandbox_id)
            box.status = replace(box.status, state="NOTREADY", ips=())
            self._say("STOPPED", sandbox_id, sandbox_id)

    async def remove_pod_sandbox(self, sandbox_id: str) -> None:
        await self.stop_pod_sandbox(sandbox_id)
        if self._sandboxes.pop(sandbox_id, None) is not None:
            for item in list(self._of_sandbox(sandbox_id)):
                self._forget(item)

    async def pod_sandbox_status(self, sandbox_id: str, *, verbose: bool = False) -> PodSandboxStatus:
        return self._sandbox(sandbox_id).status

    async def list_pod_sandboxes(self, filter: PodSandboxFilter = EVERY_SANDBOX) -> Sequence[PodSandbox]:
        return [
            PodSandbox(
                id=box.status.id,
                metadata=box.status.metadata,
                state=box.status.state,
                created_at_ns=box.status.created_at_ns,
                labels=box.status.labels,
                annotations=box.status.annotations,
                runtime_handler=box.status.runtime_handler,
            )
            for box in self._sandboxes.values()
            if (not filter.id or filter.id == box.status.id)
            and (filter.state is None or filter.state == box.status.state)
            and _has_labels(box.status.labels, filter.labels)
        ]

    async def update_pod_sandbox_resources(
        self, sandbox_id: str, *, overhead: LinuxResources | None = None, resources: LinuxResources | None = None
    ) -> None:
        self._sandbox(sandbox_id)

    # -- containers

    async def create_container(self, sandbox_id: str, config: ContainerConfig, sandbox_config: PodSandboxConfig) -> str:
        box = self._sandbox(sandbox_id)
        if box.status.state != "READY":
            raise FailedPrecondition(f"sandbox {sandbox_id} is not running")
        behaviour = self._behaviour_of(box.config.annotations, config.metadata.name)
        if behaviour.create_error:
            raise RuntimeServiceError(behaviour.create_error)
        container_id = self._new_id()
        self._containers[container_id] = _Container(
            sandbox_id=sandbox_id,
            status=ContainerStatus(
                id=container_id,
                metadata=config.metadata,
                state="CREATED",
                created_at_ns=self._now_ns(),
                image=config.image,
                image_ref=config.image.image,
                image_id=config.image.image,
                labels=config.labels,
                annotations=config.annotations,
                mounts=config.mounts,
                resources=config.resources,
            ),
            config=config,
            behaviour=behaviour,
        )
        self._say("CREATED", sandbox_id, container_id)
        return container_id

    def container_config(self, container_id: str) -> ContainerConfig:
        """As it was asked for. Raises ``NotFound``."""
        return self._container(container_id).config

    async def start_container(self, container_id: str) -> None:
        item = self._container(container_id)
        if item.status.state != "CREATED":
            raise FailedPrecondition(f"container {container_id} is in state {item.status.state}")
        await self._pause(item.behaviour.start_s)
        if item.behaviour.start_error:
            item.status = replace(item.status, reason="StartError", message=item.behaviour.start_error)
            self._exit(item, 128)
            raise RuntimeServiceError(item.behaviour.start_error)
        if item.status.state != "CREATED":
            raise FailedPrecondition(f"container {container_id} was stopped while it started")
        item.status = replace(item.status, state="RUNNING", started_at_ns=self._now_ns())
        self._say("STARTED", item.sandbox_id, container_id)
        run_s = item.behaviour.run_of_attempt(item.config.metadata.attempt, self._rng)
        if run_s is not None:
            self._timers.after(("exit", container_id), run_s, lambda: self._exit(item, item.behaviour.exit_code))

    async def stop_container(self, container_id: str, *, timeout_s: float) -> None:
        item = self._containers.get(container_id)
        if item is None or item.status.state not in ("CREATED", "RUNNING"):
            return
        if self.troubles.stopping:
            raise RuntimeServiceError(self.troubles.stopping)
        takes_s = item.behaviour.stop_s.draw(self._rng)
        await self._clock.sleep(min(takes_s, timeout_s))
        code = item.behaviour.stop_exit_code if takes_s <= timeout_s else KILLED
        self._exit(item, TERMINATED if code is None else code)

    async def remove_container(self, container_id: str) -> None:
        item = self._containers.get(container_id)
        if item is not None:
            self._exit(item, KILLED)
            self._forget(item)

    async def container_status(self, container_id: str, *, verbose: bool = False) -> ContainerStatus:
        return self._container(container_id).status

    async def list_containers(self, filter: ContainerFilter = EVERY_CONTAINER) -> Sequence[Container]:
        return [
            Container(
                id=item.status.id,
                sandbox_id=item.sandbox_id,
                metadata=item.status.metadata,
                image=item.status.image,
                image_ref=item.status.image_ref,
                state=item.status.state,
                created_at_ns=item.status.created_at_ns,
                labels=item.status.labels,
                annotations=item.status.annotations,
                image_id=item.status.image_id,
            )
            for item in self._containers.values()
            if (not filter.id or filter.id == item.status.id)
            and (filter.state is None or filter.state == item.status.state)
            and (not filter.sandbox_id or filter.sandbox_id == item.sandbox_id)
            and _has_labels(item.status.labels, filter.labels)
        ]

    async def update_container_resources(
        self, container_id: str, resources: LinuxResources, *, annotations: Mapping[str, str] | None = None
    ) -> None:
        """What ``resources`` does not name stays."""
        item = self._container(container_id)
        before = item.status.resources or LinuxResources()
        named = {name: value for name, value in asdict(resources).items() if value}
        item.status = replace(item.status, resources=replace(before, **named))

    async def reopen_container_log(self, container_id: str) -> None:
        self._container(container_id)

    async def checkpoint_container(self, container_id: str, *, location: str, timeout_s: float) -> None:
        raise Unimplemented("a simulated container cannot be checkpointed")

    async def exec_sync(self, container_id: str, command: Sequence[str], *, timeout_s: float = 0) -> ExecResult:
        item = self._container(container_id)
        if item.status.state != "RUNNING":
            raise FailedPrecondition(f"container {container_id} is not running")
        return ExecResult(stdout=b"", stderr=b"", exit_code=0)

    async def exec(self, request: ExecRequest) -> Session:
        raise Unimplemented("a simulated container runs no commands")

    async def attach(self, request: AttachRequest) -> Session:
        raise Unimplemented("a simulated container has no streams")

    async def port_forward(self, sandbox_id: str, port: int) -> PortConnection:
        raise Unimplemented("a simulated pod has no ports")

    async def container_stats(self, container_id: str) -> ContainerStats:
        raise Unimplemented("a simulated container uses nothing")

    async def list_container_stats(self, filter: StatsFilter = ALL_STATS) -> Sequence[ContainerStats]:
        return []

    async def pod_sandbox_stats(self, sandbox_id: str) -> PodSandboxStats:
        raise Unimplemented("a simulated pod uses nothing")

    async def list_pod_sandbox_stats(self, filter: StatsFilter = ALL_STATS) -> Sequence[PodSandboxStats]:
        return []

    async def container_events(self) -> AsyncIterator[ContainerEvent]:
        subscription = self._events.subscribe(EVENT_LIMIT)
        try:
            async for event in subscription:
                yield event
        finally:
            subscription.close()

    # -- what tests and the handlers of simulated probes look at

    def behaviour(self, container_id: str) -> tuple[Behaviour, float]:
        """What the container does, and for how long it has run. Raises ``NotFound``."""
        item = self._container(container_id)
        return item.behaviour, self._clock.now() - item.status.started_at_ns / 1e9

    def crash(self, container_id: str, exit_code: int = 1) -> None:
        """The container exits by itself, now. Raises ``NotFound``."""
        self._exit(self._container(container_id), exit_code)

    def lose_sandbox(self, sandbox_id: str) -> None:
        """The sandbox and everything in it die, as on a reboot. Raises ``NotFound``."""
        box = self._sandbox(sandbox_id)
        for item in self._of_sandbox(sandbox_id):
            self._exit(item, 255)
        self._addresses.give_back(sandbox_id)
        box.status = replace(box.status, state="NOTREADY", ips=())
        self._say("STOPPED", sandbox_id, sandbox_id)

    # -- inside

    def _exit(self, item: _Container, exit_code: int) -> None:
        if item.status.state not in ("CREATED", "RUNNING"):
            return
        self._timers.cancel(("exit", item.status.id))
        reason = item.status.reason or ("Completed" if exit_code == 0 else "Error")
        item.status = replace(
            item.status, state="EXITED", finished_at_ns=self._now_ns(), exit_code=exit_code, reason=reason
        )
        self._say("STOPPED", item.sandbox_id, item.status.id)

    def _forget(self, item: _Container) -> None:
        self._containers.pop(item.status.id, None)
        self._say("DELETED", item.sandbox_id, item.status.id)

    def _say(self, kind: ContainerEventType, sandbox_id: str, container_id: str) -> None:
        if not len(self._events):
            return
        box = self._sandboxes.get(sandbox_id)
        self._events.publish(
            ContainerEvent(
                container_id=container_id,
                type=kind,
                created_at_ns=self._now_ns(),
                sandbox=box.status if box is not None else None,
                containers=tuple(item.status for item in self._of_sandbox(sandbox_id)),
            )
        )

    def _of_sandbox(self, sandbox_id: str) -> Iterable[_Container]:
        return [item for item in self._containers.values() if item.sandbox_id == sandbox_id]

    def _sandbox(self, sandbox_id: str) -> _Sandbox:
        box = self._sandboxes.get(sandbox_id)
        if box is None:
            raise NotFound(f"no sandbox {sandbox_id}")
        return box

    def _container(self, container_id: str) -> _Container:
        item = self._containers.get(container_id)
        if item is None:
            raise NotFound(f"no container {container_id}")
        return item

    def _new_id(self) -> str:
        return f"{self._rng.getrandbits(256):064x}"


def _has_labels(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return all(labels.get(key) == value for key, value in wanted.items())


def _conforms(runtime: SimulatedRuntime) -> Runtime:
    return runtime
