"""A kubelet on a real containerd of its own, against an API server in this process."""

from __future__ import annotations

import asyncio
import base64
import random
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from steersman.aio.clock import SystemClock
from steersman.aio.tasks import TaskGroup
from steersman.apiserver.component import APIServer
from steersman.client.api import Client
from steersman.client.inprocess import InProcessTransport
from steersman.cluster import cgroups, mounts
from steersman.cluster.containerd import Containerd
from steersman.kubelet.component import Kubelet
from steersman.kubelet.configuration import KubeletConfig
from steersman.kubelet.platform import machine_platform
from steersman.kubelet.runtimes.cri import CRIRuntime
from steersman.kubelet.runtimes.image_mounts import ContainerdImageMounter
from steersman.meta import objects
from steersman.meta.errors import NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import CONFIGMAPS, EVENTS, PODS, SECRETS, SERVICEACCOUNTS
from steersman.store.drivers.memory import MemoryStore
from steersman.testing.containerd import BUSYBOX, cgroup_parent, missing, private_containerd
from tests.apiserver.signing import signing_config
from tests.patience import PATIENCE

NODE = "real-1"

ACCOUNT = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "default"}}

ROOT_CA = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "kube-root-ca.crt", "namespace": "default"},
    "data": {"ca.crt": "certificate"},
}


class RealNode:
    """Kubelets of one node, one after another, and the API they work against."""

    def __init__(self, client: Client, instance: Containerd, directory: Path) -> None:
        self.client = client
        self.instance = instance
        self.directory = directory
        self.clock = SystemClock()
        self.config = KubeletConfig(
            node_name=NODE,
            root_dir=directory / "kubelet",
            pod_logs_dir=directory / "logs" / "pods",
            container_logs_dir=directory / "logs" / "containers",
            static_pod_path=directory / "manifests",
            cgroup_root=cgroup_parent(instance),
            cluster_dns=("10.96.0.10",),
            capacity={"cpu": "16"},
        )

    @asynccontextmanager
    async def kubelet(self) -> AsyncIterator[Kubelet]:
        runtime = CRIRuntime(self.instance.endpoint, clock=self.clock, cgroup_root=self.config.cgroup_root)
        kubelet = Kubelet(
            client=self.client,
            clock=self.clock,
            config=self.config,
            runtime=runtime,
            platform=machine_platform(
                self.config,
                runtime,
                clock=self.clock,
                image_mounter=ContainerdImageMounter(self.instance.endpoint),
            ),
            rng=random.Random(1),
        )
        async with TaskGroup("test") as group:
            group.spawn(kubelet.run(), name="kubelet")
            await self.wait(kubelet.ready)
            yield kubelet
        await runtime.close()

    async def wait(self, holds: Callable[[], Any], *, within_s: float = 30) -> None:
        deadline_s = self.clock.monotonic() + within_s * PATIENCE
        while not holds():
            assert self.clock.monotonic() < deadline_s, "not in time"
            await asyncio.sleep(0.05)

    async def create(self, name: str, *containers: Object, **spec: Any) -> Object:
        metadata = {"name": name, "namespace": "default", **spec.pop("metadata", {})}
        fields = {"nodeName": NODE, "terminationGracePeriodSeconds": 2, "containers": list(containers), **spec}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": fields}
        return await self.client.create(PODS, pod)

    async def pod(self, name: str) -> Object:
        return await self.client.get(PODS, name, namespace="default")

    async def until(self, name: str, holds: Callable[[Object], Any], *, within_s: float = 30) -> Object:
        deadline_s = self.clock.monotonic() + within_s * PATIENCE
        while True:
            pod = await self.pod(name)
            if holds(pod):
                return pod
            if self.clock.monotonic() > deadline_s:
                events = await self.client.list(EVENTS, namespace="default")
                said = [(item["reason"], item["message"]) for item in events.items]
                raise AssertionError(f"{name} not in time: {pod['status']}; {said}")
            await asyncio.sleep(0.05)

    async def events(self) -> list[tuple[str, str]]:
        found = await self.client.list(EVENTS, namespace="default")
        return [(item["reason"], item["message"]) for item in found.items]

    async def eventually(self, holds: Callable[[], Awaitable[Any]], *, within_s: float = 30) -> Any:
        """The first true answer."""
        deadline_s = self.clock.monotonic() + within_s * PATIENCE
        while not (found := await holds()):
            assert self.clock.monotonic() < deadline_s, "not in time"
            await asyncio.sleep(0.1)
        return found

    async def delete(self, *names: str, grace_s: int = 1) -> None:
        for name in names:
            await self.client.delete(PODS, name, namespace="default", grace_period_s=grace_s)
        for name in names:
            await self.until_gone(name)

    async def until_gone(self, name: str, *, within_s: float = 30) -> None:
        deadline_s = self.clock.monotonic() + within_s * PATIENCE
        while True:
            try:
                pod = await self.pod(name)
            except NotFound:
                return
            assert self.clock.monotonic() < deadline_s, f"{name} still there: {pod}"
            await asyncio.sleep(0.05)

    async def config_map(self, name: str, **data: str) -> Object:
        obj = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": "default"},
            "data": data,
        }
        return await self.client.create(CONFIGMAPS, obj)

    async def secret(self, name: str, **data: str) -> Object:
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
        metadata = {"name": name, "namespace": "default"}
        obj = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": encoded}
        return await self.client.create(SECRETS, obj)

    def log_of(self, pod: Object, container: str, attempt: int = 0) -> str:
        folder = f"{objects.namespace(pod)}_{objects.name(pod)}_{objects.uid(pod)}"
        path = self.config.pod_logs_dir / folder / container / f"{attempt}.log"
        return "".join(line.split(" ", 3)[3] for line in path.read_text().splitlines(keepends=True))


def shell(script: str, *, name: str = "main", **fields: Any) -> Object:
    return {
        "name": name, "image": BUSYBOX, "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", script], **fields
    }  # fmt: skip


def succeeded(pod: Object) -> bool:
    return bool(pod["status"].get("phase") == "Succeeded")


def is_ready(pod: Object) -> bool:
    return objects.is_true(pod, "Ready")


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containerd]:
    why = missing()
    if why:
        pytest.skip(why)
    directory = tmp_path_factory.mktemp("node")
    with private_containerd(directory, number=40) as running:
        yield running


@pytest.fixture
async def node(instance: Containerd, tmp_path: Path) -> AsyncIterator[RealNode]:
    clock = SystemClock()
    server = APIServer(store=MemoryStore(clock=clock), clock=clock, config=signing_config(), rng=random.Random())
    await server.start()
    client = Client(InProcessTransport(server.handle))
    await client.create(SERVICEACCOUNTS, ACCOUNT)
    await client.create(CONFIGMAPS, ROOT_CA)
    mounts.make_shared(tmp_path / "kubelet")
    try:
        yield RealNode(client, instance, tmp_path)
    finally:
        await server.close()
        mounts.unmount_below(tmp_path)
        cgroups.remove(cgroup_parent(instance))
        shutil.rmtree(tmp_path, ignore_errors=True)
