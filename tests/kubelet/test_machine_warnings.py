"""What a node tells of its machine when a kubelet starts on it."""

from __future__ import annotations

from pathlib import Path

from steersman.aio.clock import FakeClock
from steersman.client.api import Client
from steersman.kubelet.cgroup_usage import CgroupUsage
from steersman.kubelet.platform import CGROUP_V1, MEMORY_MAY_BE_ON_DISK
from steersman.meta.resources import EVENTS
from tests.kubelet.lone_node import NAME, lone_node


async def test_they_are_events_of_the_node(client: Client, clock: FakeClock, tmp_path: Path) -> None:
    warnings = (CGROUP_V1, MEMORY_MAY_BE_ON_DISK)
    async with lone_node(client, clock, root_dir=tmp_path, warnings=warnings, cgroup_usage=CgroupUsage(())) as node:
        await clock.advance(1)
        found = {event["reason"]: event for event in (await client.list(EVENTS, namespace="default")).items}
        assert found["CgroupV1"]["message"].startswith("cgroup v1 detected.")
        assert found["CgroupV1"]["involvedObject"]["name"] == NAME
        assert {found[reason]["type"] for reason in ("CgroupV1", "PossibleMemoryBackedVolumesOnDisk")} == {"Warning"}
        assert node.kubelet.metrics.registry.get_sample_value("kubelet_cgroup_version") == 1
