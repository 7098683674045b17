"""``steersman scheduler`` as processes against an API server over TLS: two compete for the Lease, the leader is killed again and
again. No pod is bound twice, none is lost, and no node gets more than it has room for."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from steersman.aio.clock import SystemClock
from steersman.client.api import Client
from steersman.meta import objects
from steersman.meta.errors import NotFound
from steersman.meta.resources import LEASES, PODS
from steersman.testing.waiting import eventually
from tests.scheduler.builders import node, pod
from tests.scheduler.conftest import Served
from tests.scheduler.test_component import create

NODES, ROOM, ROUNDS, PODS_A_ROUND = 10, 12, 5, 20
"""120 places for 100 pods: a scheduler that decides from a stale view soon puts too much somewhere."""


@dataclass
class Replicas:
    """Two schedulers; one that ends is started again, as a kubelet or a supervisor would."""

    kubeconfig: Path
    running: dict[int, asyncio.subprocess.Process] = field(default_factory=dict)
    starts: int = 0
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def start(self) -> None:
        self.tasks = [asyncio.create_task(self._keep_running()) for _ in range(2)]

    async def _keep_running(self) -> None:
        while True:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "steersman.cli", "scheduler", f"--kubeconfig={self.kubeconfig}",
                "--leader-elect-lease-duration=4s", "--leader-elect-renew-deadline=3s",
                "--leader-elect-retry-period=500ms",
                stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
            self.running[process.pid] = process
            self.starts += 1
            try:
                await process.wait()
            except asyncio.CancelledError:
                process.kill()
                await process.wait()
                raise
            finally:
                self.running.pop(process.pid, None)

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


@dataclass
class Witness:
    """Sees every change of every pod."""

    nodes: dict[str, list[str]] = field(default_factory=dict)
    """The nodes that each pod has been on, by pod."""

    async def watch(self, client: Client) -> None:
        async for event in client.watch(PODS, namespace="default"):
            name, node_name = objects.name(event.object), event.object["spec"].get("nodeName")
            seen = self.nodes.setdefault(name, [])
            if node_name and node_name not in seen:
                seen.append(node_name)

    def has_some_of(self, prefix: str) -> bool:
        return any(seen for name, seen in self.nodes.items() if name.startswith(prefix))

    def placed(self) -> int:
        return sum(bool(seen) for seen in self.nodes.values())

    def per_node(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for seen in self.nodes.values():
            for name in seen:
                counts[name] = counts.get(name, 0) + 1
        return counts


async def living_leader(client: Client, replicas: Replicas, killed: Sequence[int]) -> int:
    """Process id of who holds the Lease; 0 where nobody does who lives."""
    try:
        lease = await client.get(LEASES, "kube-scheduler", namespace="kube-system")
    except NotFound:
        return 0
    pid = int(lease["spec"]["holderIdentity"].rpartition("_")[2] or 0)
    return pid if pid in replicas.running and pid not in killed else 0


@pytest.mark.timeout(400)
async def test_the_leader_is_killed_again_and_again(served: Served) -> None:
    client, clock = served.client, SystemClock()
    await create(client, *(node(f"n{number}", pods=str(ROOM)) for number in range(NODES)))
    witness, replicas = Witness(), Replicas(served.kubeconfig)
    watching = asyncio.create_task(witness.watch(client))
    replicas.start()
    killed: list[int] = []
    try:
        for number in range(ROUNDS):
            pid = await eventually(partial(living_leader, client, replicas, killed), clock=clock, timeout_s=90.0)
            made = [pod(f"p{number}-{index}", cpu="10m") for index in range(PODS_A_ROUND)]
            await create(client, *made[: PODS_A_ROUND // 2])
            creating = asyncio.create_task(create(client, *made[PODS_A_ROUND // 2 :]))
            await eventually(partial(witness.has_some_of, f"p{number}-"), clock=clock, timeout_s=90.0)
            if pid in replicas.running:
                replicas.running[pid].send_signal(signal.SIGKILL)
                killed.append(pid)
            await creating
        await eventually(lambda: witness.placed() == ROUNDS * PODS_A_ROUND, clock=clock, timeout_s=120.0)
    finally:
        await replicas.stop()
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    assert len(set(killed)) >= ROUNDS - 1
    assert {name: seen for name, seen in witness.nodes.items() if len(seen) != 1} == {}
    assert max(witness.per_node().values()) <= ROOM


async def explained(served: Served, *words: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "steersman.cli", "scheduler", "explain", f"--kubeconfig={served.kubeconfig}", *words,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


async def test_explain_reads_the_cluster_over_the_network_and_says_why(served: Served, tmp_path: Path) -> None:
    plugins, configuration = tmp_path / "plugins.py", tmp_path / "configuration.yaml"
    plugins.write_text(
        "class Nowhere:\n    NAME = 'Nowhere'\n\n    def filter(self, pod, node):\n        return False\n"
    )
    configuration.write_text(
        "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n"
        "profiles: [{plugins: {multiPoint: {enabled: [{name: Nowhere}]}}}]\n"
    )
    await create(served.client, node("small", cpu="1"), node("large"), pod("p1", cpu="2"))
    code, text = await explained(served, "p1")
    assert (code, text.splitlines()[:3]) == (
        0, ["pod default/p1: pending", "1 of 2 nodes fit", "  NodeResourcesFit rejected 1"],
    )  # fmt: skip
    code, text = await explained(served, "p1", f"--config={configuration}", f"--plugin-file={plugins}")
    assert (code, text.splitlines()[1:4]) == (
        0, ["0 of 2 nodes fit", "  NodeResourcesFit rejected 1", "  Nowhere rejected 1"],
    )  # fmt: skip
    assert await explained(served, "p2") == (
        1, 'Error: pods "p2" not found in namespace "default", or it has ended\n',
    )  # fmt: skip
