"""Pods of a node that runs short, with real memory."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from steersman.kubelet.eviction.thresholds import EvictionConfig, parse_thresholds
from steersman.kubelet.node_usage import NodeUsage
from steersman.meta import objects
from tests.kubelet.real.conftest import RealNode, is_ready, shell

pytestmark = pytest.mark.real
MIB = 1 << 20


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
