"""One real node (root): a hundred pause pods on containerd, started, idle, at churn, deleted; what the agent itself costs.

The kubelet is the program ``steersman kubelet`` with its server, the API server runs in this process and is not counted. The same
pods made by asking containerd alone, as many at a time, say how much of the time is containerd's.
Targets (issue "The kubelet, whole, on containerd"): less than 15 ms a pod, under 1 % of a core idle, under 100 MB.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from steersman.aio.clock import SystemClock
from steersman.apiserver.component import APIServer
from steersman.apiserver.config import APIServerConfig, Listener
from steersman.apiserver.tls import server_context
from steersman.client.api import Client
from steersman.client.inprocess import InProcessTransport
from steersman.cluster import cgroups, kubeconfigs, mounts
from steersman.cluster.containerd import Containerd
from steersman.cluster.pause import IMAGE
from steersman.cluster.pki import ClusterPKI, ServingHosts
from steersman.kubelet.runtimes.containers import ContainerConfig, ContainerMetadata
from steersman.kubelet.runtimes.cri import CRIRuntime
from steersman.kubelet.runtimes.images import ImageSpec
from steersman.kubelet.runtimes.sandboxes import PodSandboxConfig, PodSandboxMetadata
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import NODES, PODS, SERVICEACCOUNTS
from steersman.store.drivers.memory import MemoryStore
from steersman.testing.containerd import cgroup_parent, missing, private_containerd

NODE = "bench-1"
PODS_A_NODE = 100
CHURN_ROUNDS, CHURNED = 5, 10
IDLE_S, SETTLE_S = 30.0, 5.0
AT_ONCE = 10
"""How many pods containerd alone is asked for at a time."""
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def pod(name: str) -> Object:
    spec = {
        "nodeName": NODE,
        "terminationGracePeriodSeconds": 1,
        "automountServiceAccountToken": False,
        "containers": [{"name": "main", "image": IMAGE, "imagePullPolicy": "IfNotPresent"}],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}, "spec": spec}


class Bench:
    """A kubelet at work and the API it works against."""

    def __init__(self, client: Client, pid: int) -> None:
        self.client = client
        self.pid = pid
        self._created_s: dict[str, float] = {}
        self.running_s: dict[str, float] = {}
        """Pod -> seconds from its creation to Running."""
        self._gone: set[str] = set()
        self._changed = asyncio.Event()

    async def follow(self) -> None:
        """Notes when pods become Running and when they go, until cancelled."""
        from steersman.client.informer import Change, Informer

        def note(change: Change) -> None:
            name = objects.name(change.object)
            if change.type == "deleted":
                self._gone.add(name)
            elif (change.object.get("status") or {}).get("phase") == "Running":
                self.running_s.setdefault(name, time.perf_counter() - self._created_s.get(name, time.perf_counter()))
            self._changed.set()

        informer = Informer(self.client, PODS, clock=SystemClock())
        informer.subscribe(note)
        await informer.run()

    async def start(self, names: Iterable[str]) -> None:
        names = list(names)
        for name in names:
            self._created_s[name] = time.perf_counter()
            await self.client.create(PODS, pod(name))
        await self._until(lambda: all(name in self.running_s for name in names))

    async def stop(self, names: Iterable[str]) -> None:
        names = list(names)
        for name in names:
            await self.client.delete(PODS, name, namespace="default")
        await self._until(lambda: all(name in self._gone for name in names))

    async def _until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(600):
            while not holds():
                self._changed.clear()
                await self._changed.wait()

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_S

    def resident_mb(self) -> float:
        return self._memory_mb("Rss:")

    def proportional_mb(self) -> float:
        """Its own memory and its share of what it has in common with others."""
        return self._memory_mb("Pss:")

    def _memory_mb(self, name: str) -> float:
        for line in Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) * 1024 / 1e6
        raise RuntimeError(f"the kernel does not tell {name}")


@asynccontextmanager
async def node(instance: Containerd, directory: Path) -> AsyncIterator[Bench]:
    """The API server here, served over TLS, and the kubelet in a process of its own, Ready."""
    clock = SystemClock()
    pki = ClusterPKI(directory / "pki", clock=clock)
    pki.ensure_api_server(ServingHosts((), "cluster.local"))
    serving = pki.pair("apiserver")
    listener = Listener(
        bind_address="127.0.0.1", port=0, certificate_file=str(serving.certificate), key_file=str(serving.key)
    )
    config = APIServerConfig(client_ca=pki.authority.pair.certificate.read_bytes())
    server = APIServer(store=MemoryStore(clock=clock), clock=clock, config=config, rng=random.Random(1))
    await server.start()
    client = Client(InProcessTransport(server.handle))
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "default"}}
    await client.create(SERVICEACCOUNTS, account)
    port = await server.serve("127.0.0.1", 0, tls=server_context(listener, config))
    kubeconfig = directory / "kubeconfig"
    document = kubeconfigs.document(
        server=f"https://127.0.0.1:{port}",
        authority=pki.authority.pair.certificate,
        identity=pki.ensure_client("node", f"system:node:{NODE}", ("system:nodes", "system:masters")),
        context="bench",
        user="node",
    )
    kubeconfigs.write(kubeconfig, document)
    words = [
        sys.executable, "-m", "steersman.cli", "kubelet", f"--kubeconfig={kubeconfig}", f"--hostname-override={NODE}",
        f"--container-runtime-endpoint={instance.endpoint}", f"--root-dir={directory / 'kubelet'}",
        f"--cgroup-root={cgroup_parent(instance)}", f"--port={_free_port()}", "--healthz-port=0", "--node-ip=127.0.0.1",
        "--cluster-dns=10.96.0.10", "--authorization-mode=AlwaysAllow", "--fail-swap-on=false", "--fail-cgroupv1=false",
        "--make-iptables-util-chains=false",
    ]  # fmt: skip
    with (directory / "kubelet.log").open("w") as log:
        process = await asyncio.create_subprocess_exec(*words, stdout=log, stderr=log)
    bench = Bench(client, process.pid)
    follower = asyncio.ensure_future(bench.follow())
    try:
        async with asyncio.timeout(60):
            while not any(objects.is_true(item, "Ready") for item in (await client.list(NODES)).items):
                if process.returncode is not None:
                    raise RuntimeError((directory / "kubelet.log").read_text())
                await asyncio.sleep(0.1)
        yield bench
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        follower.cancel()
        await server.close()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


async def containerd_alone(instance: Containerd, directory: Path) -> float:
    """Seconds for as many pods without a kubelet."""
    runtime = CRIRuntime(instance.endpoint)
    turn = asyncio.Semaphore(AT_ONCE)
    sandboxes: list[str] = []

    async def make(number: int) -> None:
        uid = f"alone-{number}"
        config = PodSandboxConfig(
            metadata=PodSandboxMetadata(name=uid, uid=uid, namespace="bench"),
            hostname=uid,
            log_directory=str(directory / "logs" / uid),
            cgroup_parent=f"{cgroup_parent(instance)}/alone",
        )
        container = ContainerConfig(
            metadata=ContainerMetadata(name="main"), image=ImageSpec(image=IMAGE), log_path="main/0.log"
        )
        async with turn:
            sandboxes.append(await runtime.run_pod_sandbox(config))
            await runtime.start_container(await runtime.create_container(sandboxes[-1], container, config))

    began_s = time.perf_counter()
    await asyncio.gather(*map(make, range(PODS_A_NODE)))
    took_s = time.perf_counter() - began_s
    for sandbox in sandboxes:
        await runtime.stop_pod_sandbox(sandbox)
        await runtime.remove_pod_sandbox(sandbox)
    await runtime.close()
    return took_s


async def measure(instance: Containerd, directory: Path) -> dict[str, float]:
    alone_s = await containerd_alone(instance, directory)
    results = {f"node/containerd_alone/{PODS_A_NODE}_pods_s": alone_s}
    async with node(instance, directory) as bench:
        empty_mb = bench.resident_mb()
        names = [f"pod-{number}" for number in range(PODS_A_NODE)]
        began_s, cpu_s = time.perf_counter(), bench.cpu_s()
        await bench.start(names)
        start_s = time.perf_counter() - began_s
        await asyncio.sleep(SETTLE_S)
        start_cpu_s = bench.cpu_s() - cpu_s
        delays = sorted(bench.running_s.values())
        cpu_s = bench.cpu_s()
        await asyncio.sleep(IDLE_S)
        idle_cpu_s = bench.cpu_s() - cpu_s
        resident_mb, proportional_mb = bench.resident_mb(), bench.proportional_mb()
        cpu_s, began_s = bench.cpu_s(), time.perf_counter()
        for round in range(CHURN_ROUNDS):
            fresh = [f"churn-{round}-{number}" for number in range(CHURNED)]
            await bench.stop(names[:CHURNED])
            await bench.start(fresh)
            names = names[CHURNED:] + fresh
        churn_s, churn_cpu_s = time.perf_counter() - began_s, bench.cpu_s() - cpu_s
        churned_mb = bench.resident_mb()
        cpu_s, began_s = bench.cpu_s(), time.perf_counter()
        await bench.stop(names)
        stop_s, stop_cpu_s = time.perf_counter() - began_s, bench.cpu_s() - cpu_s
    case = f"node/{PODS_A_NODE}_pods"
    return results | {
        f"{case}/all_running_s": start_s,
        f"{case}/running_p50_s": statistics.median(delays),
        f"{case}/running_p99_s": delays[int(len(delays) * 0.99) - 1],
        f"{case}/agent_cpu_ms_per_pod_started": start_cpu_s / PODS_A_NODE * 1000,
        f"{case}/over_containerd_alone": start_s / alone_s,
        f"{case}/idle_cpu_percent": idle_cpu_s / IDLE_S * 100,
        f"{case}/resident_mb": resident_mb,
        f"{case}/proportional_mb": proportional_mb,
        f"{case}/resident_kb_per_pod": (resident_mb - empty_mb) / PODS_A_NODE * 1000,
        f"{case}/churn_pods_per_s": CHURN_ROUNDS * CHURNED / churn_s,
        f"{case}/agent_cpu_ms_per_pod_churned": churn_cpu_s / (CHURN_ROUNDS * CHURNED) * 1000,
        f"{case}/resident_after_churn_mb": churned_mb,
        f"{case}/all_deleted_s": stop_s,
        f"{case}/agent_cpu_ms_per_pod_deleted": stop_cpu_s / PODS_A_NODE * 1000,
    }


def run() -> dict[str, float]:
    if why := missing():
        print(f"bench: node {why}; skipped")
        return {}
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        with private_containerd(directory, number=41) as instance:
            mounts.make_shared(directory / "kubelet")
            try:
                return asyncio.run(measure(instance, directory))
            finally:
                mounts.unmount_below(directory)
                cgroups.remove(cgroup_parent(instance))
