"""One simulated node that owns all of its kubelet, configured by the test."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from steersman.aio.clock import FakeClock
from steersman.aio.tasks import TaskGroup
from steersman.aio.timers import Timers
from steersman.client.api import Client
from steersman.kubelet.component import Kubelet
from steersman.kubelet.configuration import KubeletConfig
from steersman.kubelet.platform import simulated_platform
from steersman.kubelet.runtimes.containers import ContainerConfig
from steersman.kubelet.runtimes.sandboxes import LinuxResources
from steersman.kubelet.runtimes.simulated import SimulatedRuntime
from steersman.meta.objects import Object
from steersman.meta.resources import EVENTS, NODES, PODS

NAME = "lone"


class LoneNode(Struct, frozen=True, kw_only=True):
    client: Client
    clock: FakeClock
    kubelet: Kubelet
    runtime: SimulatedRuntime

    async def create(self, pod: Object) -> Object:
        """As if the scheduler had bound it here."""
        metadata = {key: value for key, value in pod["metadata"].items() if key not in ("uid", "generation")}
        spec = {**pod["spec"], "nodeName": NAME}
        return await self.client.create(PODS, {**pod, "metadata": metadata, "spec": spec, "status": {}})

    async def pod(self, name: str = "web") -> Object:
        return await self.client.get(PODS, name, namespace="default")

    async def until(self, holds: Callable[[Object], Any], name: str = "web", *, within_s: float = 60) -> Object:
        """The pod, once ``holds`` of it; time moves in small steps."""
        for _ in range(int(within_s / 0.25)):
            await self.clock.settle()
            pod = await self.pod(name)
            if holds(pod):
                return pod
            await self.clock.advance(0.25)
        raise AssertionError(f"after {within_s} s: {pod.get('status')}")

    async def config(self, name: str = "web", container: str = "main") -> ContainerConfig:
        """What the runtime was last asked to create."""
        return self.runtime.container_config(await self.container_id(name, container))

    async def resources(self, name: str = "web", container: str = "main") -> LinuxResources:
        """What the runtime has set."""
        found = (await self.runtime.container_status(await self.container_id(name, container))).resources
        assert found is not None
        return found

    async def container_id(self, name: str = "web", container: str = "main") -> str:
        status = (await self.pod(name))["status"]
        entries = [*(status.get("initContainerStatuses") or ()), *status["containerStatuses"]]
        [found] = [entry["containerID"] for entry in entries if entry["name"] == container]
        return str(found).removeprefix("simulated://")

    async def node(self) -> Object:
        return await self.client.get(NODES, NAME)

    async def events(self, namespace: str = "default") -> list[tuple[str, str]]:
        await self.clock.advance(1)
        found = await self.client.list(EVENTS, namespace=namespace)
        return [(event["reason"], event["message"]) for event in found.items]


@asynccontextmanager
async def lone_node(
    client: Client,
    clock: FakeClock,
    *,
    root_dir: Path,
    config: dict[str, Any] | None = None,
    runtime: SimulatedRuntime | None = None,
    **platform: Any,
) -> AsyncIterator[LoneNode]:
    """``config`` and ``platform`` replace fields of KubeletConfig and Platform; ``runtime``: of an earlier kubelet."""
    settings = KubeletConfig(
        node_name=NAME, node_ips=("10.1.2.3",), root_dir=root_dir, static_pod_path=None, resolv_conf=None,
        **(config or {}),
    )  # fmt: skip
    timers = Timers(clock)
    runtime = runtime or SimulatedRuntime(clock=clock, timers=timers, rng=random.Random(1), pod_cidr="10.64.0.0/24")
    base = simulated_platform(settings, runtime, clock=clock)
    kubelet = Kubelet(
        client=client,
        clock=clock,
        config=settings,
        runtime=runtime,
        platform=replace(base, **platform),
        rng=random.Random(2),
    )
    async with TaskGroup("test") as group:
        group.supervise(timers.run, name="timers", clock=clock)
        group.spawn(kubelet.run(), name="kubelet")
        for _ in range(40):
            await clock.advance(0.25)
            if kubelet.ready():
                break
        assert kubelet.ready()
        yield LoneNode(client=client, clock=clock, kubelet=kubelet, runtime=runtime)
