"""The kubelet and containerd are killed while pods run, start and stop: nothing that runs notices, nothing is left behind.

``STEERSMAN_KILLS`` says how often (``make test-kills`` does it a hundred times), ``STEERSMAN_KILLED_PODS`` with how many pods.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import sys
import time
from pathlib import Path

import pytest

from steersman.cluster import cgroups, mounts
from steersman.cluster.containerd import Containerd
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.testing.containerd import cgroup_parent
from tests.kubelet.real.conftest import shell
from tests.kubelet.real.killed_node import STATUS_LIMIT_S, KilledNode, killed_node

KILLS = int(os.environ.get("STEERSMAN_KILLS", "5"))
PODS = int(os.environ.get("STEERSMAN_KILLED_PODS", "30"))
CHURN = int(os.environ.get("STEERSMAN_KILL_CHURN", "2"))
"""Pods that are deleted and made anew in each round, so that kills hit pods in every state."""
VICTIMS = os.environ.get("STEERSMAN_KILL_WHAT", "kubelet").split(",")
"""``kubelet``, ``containerd``, ``both``. containerd 1.6 at times forgets a task and its shim, which no call of CRI reaches any more:
killed while it stops a sandbox, or left by its client while it starts one. The cluster's supervisor ends them."""
pytestmark = [pytest.mark.real, pytest.mark.timeout(300 + 60 * KILLS)]
SLEEP = "trap exit TERM; while :; do sleep 1; done"


def spec(number: int) -> Object:
    """Pods of several kinds: plain, with a sidecar, with probes and a hook."""
    volumes = [{"name": "scratch", "emptyDir": {}}, {"name": "memory", "emptyDir": {"medium": "Memory"}}]
    mounted = [{"name": "scratch", "mountPath": "/scratch"}, {"name": "memory", "mountPath": "/memory"}]
    main = shell(SLEEP, volumeMounts=mounted)
    found: Object = {"volumes": volumes, "terminationGracePeriodSeconds": 2, "containers": [main]}
    if number % 3 == 1:
        found["initContainers"] = [shell("true", name="init"), shell(SLEEP, name="side", restartPolicy="Always")]
    if number % 3 == 2:
        main["readinessProbe"] = {"exec": {"command": ["true"]}, "periodSeconds": 5, "timeoutSeconds": 5}
        main["lifecycle"] = {"preStop": {"exec": {"command": ["true"]}}}
    return found


async def begin_churn(node: KilledNode, rng: random.Random, expected: set[str], round: int) -> None:
    """Pods come and go while the kill falls."""
    for index in range(CHURN):
        gone = rng.choice(sorted(expected))
        expected.discard(gone)
        await node.delete(gone)
        name = f"pod-{round}-{index}"
        expected.add(name)
        await node.create(name, spec(round + index))


async def kill_something(node: KilledNode, rng: random.Random) -> str:
    """What was killed; it runs again afterwards."""
    what = rng.choice(VICTIMS)
    if what in ("kubelet", "both"):
        await node.kill_kubelet()
    if what in ("containerd", "both"):
        await node.kill_containerd()
        await asyncio.sleep(rng.random())
        await node.instance.start()
    if what in ("kubelet", "both"):
        await node.start_kubelet()
    return what


async def test_kills_restart_nothing_and_leave_nothing(instance: Containerd, tmp_path: Path) -> None:
    seed = int(os.environ.get("STEERSMAN_KILL_SEED", "1"))
    rng = random.Random(seed)
    mounts.make_shared(tmp_path / "kubelet")
    try:
        async with killed_node(instance, tmp_path) as node:
            await node.start_kubelet()
            expected = {f"pod-{number}" for number in range(PODS)}
            for number in range(PODS):
                await node.create(f"pod-{number}", spec(number))
            await node.settled(expected, within_s=180)
            node.slowest_s = 0.0
            for round in range(1, KILLS + 1):
                began_s = time.monotonic()
                await begin_churn(node, rng, expected, round)
                await asyncio.sleep(rng.random() * 3)
                what = await kill_something(node, rng)
                await node.settled(expected, within_s=STATUS_LIMIT_S * 3)
                took_s = time.monotonic() - began_s
                sys.stderr.write(f"kill {round}: {what}, right after {took_s:.1f} s\n")
            for pod in await node.pods():
                await node.delete(objects.name(pod))
            await node.settled(set(), within_s=120)

            async def nothing_is_left() -> bool:
                await node.instance.remove_forgotten()  # as the supervisor of a cluster does
                return not await node.leftovers()

            try:
                await node.until(nothing_is_left, within_s=150, what="everything to go")
            except AssertionError as error:
                raise AssertionError(f"{await node.leftovers()}\n{error}") from None
            assert node.slowest_s < STATUS_LIMIT_S, f"the slowest took {node.slowest_s:.1f} s"
            assert "Traceback" not in node.log.read_text(), node.log.read_text()
    finally:
        mounts.unmount_below(tmp_path)
        cgroups.remove(cgroup_parent(instance))
        shutil.rmtree(tmp_path, ignore_errors=True)
