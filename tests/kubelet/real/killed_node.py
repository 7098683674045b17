"""A node whose kubelet and containerd are killed again and again, and the API server that sees what becomes of it."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from steersman.aio.clock import SystemClock
from steersman.apiserver.component import APIServer
from steersman.apiserver.config import APIServerConfig, Listener
from steersman.apiserver.tls import server_context
from steersman.client.api import Client
from steersman.client.inprocess import InProcessTransport
from steersman.cluster import kubeconfigs
from steersman.cluster.containerd import Containerd
from steersman.cluster.pki import ClusterPKI, ServingHosts
from steersman.cluster.processes import processes_with
from steersman.kubelet.cgroups import CgroupFS
from steersman.kubelet.runtimes.cri import CRIRuntime
from steersman.kubelet.volumes.mounts import mount_points
from steersman.meta import objects
from steersman.meta.errors import NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import CONFIGMAPS, PODS, SERVICEACCOUNTS
from steersman.store.drivers.memory import MemoryStore
from steersman.testing.containerd import cgroup_parent

NODE = "killed-1"
ROOT = Path(__file__).parents[3]
STATUS_LIMIT_S = 30.0
"""Within this time of a kill every status says how things are."""


@dataclass(slots=True)
class KilledNode:
    """The node; ``kill`` what you like."""

    client: Client
    instance: Containerd
    directory: Path
    kubeconfig: Path
    kubelet: asyncio.subprocess.Process | None = None
    slowest_s: float = 0.0
    identities: dict[str, Mapping[str, tuple[str, int]]] = field(default_factory=dict)
    """Pod uid -> container name -> (container id, restarts) once all of it runs: never to change. A container that was just
    being started when its kubelet died may have needed another try before."""

    @property
    def log(self) -> Path:
        return self.directory / "kubelet.log"

    async def start_kubelet(self) -> None:
        settings = self.directory / "settings.json"
        settings.write_text(
            json.dumps(
                {
                    "node_name": NODE,
                    "directory": str(self.directory),
                    "cgroup_root": cgroup_parent(self.instance),
                    "endpoint": self.instance.endpoint,
                    "kubeconfig": str(self.kubeconfig),
                }
            )
        )
        with self.log.open("a") as log:
            self.kubelet = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.kubelet.real.kubelet_process", str(settings),
                stdout=log, stderr=log, cwd=ROOT, env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
            )  # fmt: skip

    async def kill_kubelet(self) -> None:
        assert self.kubelet is not None
        self.kubelet.kill()
        await self.kubelet.wait()

    async def kill_containerd(self) -> None:
        pid = self.instance.pid()
        os.kill(pid, signal.SIGKILL)
        await self.until(lambda: _is_gone(pid), within_s=10, what="containerd to end")

    async def pods(self) -> list[Object]:
        return list((await self.client.list(PODS, namespace="default")).items)

    async def create(self, name: str, spec: Object) -> None:
        metadata = {"name": name, "namespace": "default", "labels": {"app": "kept"}}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"nodeName": NODE, **spec}}
        await self.client.create(PODS, pod)

    async def delete(self, name: str) -> None:
        await self.client.delete(PODS, name, namespace="default", grace_period_s=2)

    async def until(self, holds: Callable[[], Any], *, within_s: float, what: str) -> None:
        deadline_s = time.monotonic() + within_s
        while not (await found if asyncio.iscoroutine(found := holds()) else found):
            if time.monotonic() > deadline_s:
                raise AssertionError(f"waited {within_s:g} s for {what}\n{self.log.read_text()[-4000:]}")
            await asyncio.sleep(0.1)

    async def settled(self, expected: set[str], *, within_s: float) -> None:
        """Exactly the pods ``expected`` are there and Ready, and nothing in them was ever restarted."""
        began_s = time.monotonic()
        found: list[Object] = []

        async def holds() -> bool:
            nonlocal found
            found = await self.pods()
            alive = {objects.name(pod) for pod in found if objects.is_true(pod, "Ready")}
            return alive == expected and len(found) == len(expected)

        try:
            await self.until(holds, within_s=within_s, what=f"{len(expected)} pods")
        except AssertionError as error:
            wrong = [
                (objects.name(pod), pod["metadata"].get("deletionTimestamp"), pod["status"])
                for pod in found
                if objects.name(pod) not in expected or not objects.is_true(pod, "Ready")
            ]
            raise AssertionError(f"{error}\n{wrong[:3]}") from None
        self.slowest_s = max(self.slowest_s, time.monotonic() - began_s)
        await self.check_identities(found)

    @asynccontextmanager
    async def runtime(self) -> AsyncIterator[CRIRuntime]:
        """containerd, once it answers: it may just have been started."""
        runtime = CRIRuntime(self.instance.endpoint)
        try:
            await runtime.wait_ready(30)
            yield runtime
        finally:
            await runtime.close()

    async def check_identities(self, found: list[Object]) -> None:
        """No container was restarted or doubled, in the words of the API and in the runtime's."""
        async with self.runtime() as runtime:
            rows = await runtime.list_containers()
            boxes = await runtime.list_pod_sandboxes()
        running = {row.id for row in rows if row.state == "RUNNING"}
        known: set[str] = set()
        for pod in found:
            uid = objects.uid(pod)
            statuses = [*pod["status"]["containerStatuses"], *(pod["status"].get("initContainerStatuses") or ())]
            ids = {entry["name"]: entry["containerID"].partition("://")[2] for entry in statuses}
            identity = {entry["name"]: (ids[entry["name"]], int(entry["restartCount"])) for entry in statuses}
            before = self.identities.setdefault(uid, identity)
            assert before == identity, f"{objects.name(pod)}: {before} -> {identity}"
            known |= {ids[entry["name"]] for entry in statuses if "running" in entry["state"]}
        assert running == known, "what runs is what statuses say"
        ready = [box for box in boxes if box.state == "READY"]
        assert len(ready) == len(found), f"{len(ready)} sandboxes for {len(found)} pods"

    async def leftovers(self) -> list[str]:
        """Everything a pod could leave behind; nothing when all pods are gone."""
        async with self.runtime() as runtime:
            found = [f"sandbox {box.metadata}" for box in await runtime.list_pod_sandboxes()]
            found += [f"container {row.metadata}" for row in await runtime.list_containers()]
        kubelet = self.directory / "kubelet"
        found += [f"mount {point}" for point in mount_points() if point.startswith(f"{kubelet}/pods")]
        found += [f"folder {path}" for path in (kubelet / "pods").iterdir()]
        found += [f"logs {path}" for path in (self.directory / "logs" / "pods").iterdir()]
        found += [f"link {path}" for path in (self.directory / "logs" / "containers").iterdir()]
        found += [f"cgroup {uid}" for uid in CgroupFS(root=cgroup_parent(self.instance)).pods()]
        leases = self.instance.config.root.parent / "ipam"
        addresses = [path for path in leases.rglob("*") if path.is_file() and path.name[:1].isdigit()]
        found += [f"address {path.name}" for path in addresses]
        return found + self._of_containerd()

    def _of_containerd(self) -> list[str]:
        """What containerd keeps of pods outside its own books."""
        config = self.instance.config
        runc, tasks = (config.state / part / "k8s.io" for part in ("runc", "io.containerd.runtime.v2.task"))
        found = [f"runc {path.name}" for path in _entries(runc)] + [f"task {path.name}" for path in _entries(tasks)]
        found += [f"sandbox {path.name}" for path in _entries(config.state / "io.containerd.grpc.v1.cri/sandboxes")]
        found += [f"shim {pid}" for pid in processes_with("-address", str(config.socket))]
        found += [f"network {path.name}" for path in _entries(config.state / "io.containerd.grpc.v1.cri/netns")]
        return found + [f"mount {point}" for point in mount_points() if point.startswith(f"{config.state}/")]


def _entries(directory: Path) -> list[Path]:
    return list(directory.iterdir()) if directory.exists() else []


def _is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@asynccontextmanager
async def killed_node(instance: Containerd, directory: Path) -> AsyncIterator[KilledNode]:
    """An API server in this process, served over TLS, and no kubelet yet."""
    clock = SystemClock()
    pki = ClusterPKI(directory / "pki", clock=clock)
    pki.ensure_api_server(ServingHosts((), "cluster.local"))
    serving = pki.pair("apiserver")
    listener = Listener(
        bind_address="127.0.0.1", port=0, certificate_file=str(serving.certificate), key_file=str(serving.key)
    )
    config = APIServerConfig(
        client_ca=pki.authority.pair.certificate.read_bytes(),
        service_account_keys=(pki.token_public_key.read_bytes(),),
        service_account_signing_key=pki.token_key.read_bytes(),
    )
    server = APIServer(store=MemoryStore(clock=clock), clock=clock, config=config, rng=random.Random())
    await server.start()
    port = await server.serve("127.0.0.1", 0, tls=server_context(listener, config))
    kubeconfig = directory / "kubeconfig"
    document = kubeconfigs.document(
        server=f"https://127.0.0.1:{port}",
        authority=pki.authority.pair.certificate,
        identity=pki.ensure_client("node", f"system:node:{NODE}", ("system:nodes", "system:masters")),
        context="test",
        user="node",
    )
    kubeconfigs.write(kubeconfig, document)
    client = Client(InProcessTransport(server.handle))
    for kind, name, data in ((SERVICEACCOUNTS, "default", None), (CONFIGMAPS, "kube-root-ca.crt", {"ca.crt": "x"})):
        obj: Object = {"apiVersion": "v1", "kind": kind.kind, "metadata": {"name": name, "namespace": "default"}}
        try:
            await client.create(kind, obj | ({"data": data} if data else {}))
        except NotFound:
            raise
    node = KilledNode(client, instance, directory, kubeconfig)
    try:
        yield node
    finally:
        if node.kubelet is not None and node.kubelet.returncode is None:
            await node.kill_kubelet()
        await server.close()
