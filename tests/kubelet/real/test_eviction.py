"""Pods of a node that runs short, with real memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from steersman.kubelet.eviction.thresholds import EvictionConfig, parse_thresholds
from steersman.kubelet.node_usage import NodeUsage
from steersman.kubelet.volumes import mounts
from steersman.meta import objects
from steersman.meta.resources import NODES
from tests.kubelet.real.conftest import NODE, RealNode, is_ready, shell

pytestmark = pytest.mark.real
MIB = 1 << 20
MS_SHARED = 1 << 20


async def test_the_greediest_pod_is_evicted_when_memory_runs_short(node: RealNode) -> None:
    room_mib = 200
    left_mib = NodeUsage().memory().available_bytes // MIB - room_mib
    thresholds = parse_thresholds({"memory.available": f"{left_mib}Mi"})
    node.config = replace(node.config, eviction=EvictionConfig(thresholds=thresholds))
    async with node.kubelet():
        await node.create("modest", shell("sleep 1000"))
        modest = await node.until("modest", is_ready)
        await node.create(
            "greedy",
            shell(f"dd if=/dev/zero of=/memory/f bs=1M count={room_mib * 2}; sleep 1000",
                  volumeMounts=[{"name": "memory", "mountPath": "/memory"}]),
            volumes=[{"name": "memory", "emptyDir": {"medium": "Memory"}}],
        )  # fmt: skip
        greedy = await node.until("greedy", lambda pod: pod["status"].get("reason") == "Evicted", within_s=60)
        assert greedy["status"]["message"].startswith(
            f"The node was low on resource: memory. Threshold quantity: {left_mib}Mi, available: "
        )
        now = await node.pod("modest")
        assert objects.uid(now) == objects.uid(modest) and is_ready(now)
        await node.delete("modest", "greedy")


@contextmanager
def disk_of_its_own(folder: Path, *, mib: int, inodes: int) -> Iterator[None]:
    """So that what others write on this machine is of no account."""
    folder.mkdir(parents=True, exist_ok=True)
    mounts.mount("tmpfs", str(folder), "tmpfs", 0, f"size={mib}m,nr_inodes={inodes},mode=755")
    mounts.mount("", str(folder), "", MS_SHARED)
    try:
        yield
    finally:
        mounts.unmount_below(folder)


@pytest.mark.parametrize(
    ("signal", "threshold", "attack", "words"),
    [
        ("nodefs.available", "32Mi", "dd if=/dev/zero of=/disk/f bs=1M count=48",
         "The node was low on resource: ephemeral-storage. Threshold quantity: 32Mi, available: "),
        ("nodefs.inodesFree", "1000", "i=0; while [ $i -lt 1500 ]; do : > /disk/$i; i=$((i+1)); done",
         "The node was low on resource: inodes. Threshold quantity: 1k, available: "),
    ],
)  # fmt: skip
async def test_the_greediest_pod_is_evicted_when_the_disk_runs_short(
    node: RealNode, signal: str, threshold: str, attack: str, words: str
) -> None:
    thresholds = parse_thresholds({signal: threshold})
    node.config = replace(node.config, eviction=EvictionConfig(thresholds=thresholds), volume_stats_s=1.0)
    with disk_of_its_own(node.config.root_dir, mib=64, inodes=2000):
        async with node.kubelet():
            await node.create("modest", shell("sleep 1000"))
            await node.until("modest", is_ready)
            await node.create(
                "greedy",
                shell(f"{attack}; sleep 1000", volumeMounts=[{"name": "disk", "mountPath": "/disk"}]),
                volumes=[{"name": "disk", "emptyDir": {}}],
            )
            greedy = await node.until("greedy", lambda pod: pod["status"].get("reason") == "Evicted", within_s=90)
            assert greedy["status"]["message"].startswith(words)
            assert objects.is_true(greedy, "DisruptionTarget")
            assert objects.is_true(await node.client.get(NODES, NODE), "DiskPressure")
            assert is_ready(await node.pod("modest"))
            await node.delete("modest", "greedy")
