"""What a kubelet that starts again finds is as it was: nobody can tell from a pod's status that there was another one before."""

from __future__ import annotations

from pathlib import Path

from steersman.aio.clock import FakeClock
from steersman.client.api import Client
from steersman.meta import objects
from tests.kubelet.conftest import is_ready
from tests.kubelet.lone_node import lone_node
from tests.kubelet.pods import container, pod

PROBE = {"exec": {"command": ["true"]}, "periodSeconds": 10}


async def test_a_pod_stays_as_ready_as_it_was(client: Client, clock: FakeClock, tmp_path: Path) -> None:
    """Also before its probes have run again, with the time at which it became ready."""
    async with lone_node(client, clock, root_dir=tmp_path) as first:
        await first.create(pod(container(readinessProbe=PROBE, startupProbe=PROBE)))
        before = await first.until(is_ready)
    await clock.advance(60)
    async with lone_node(client, clock, root_dir=tmp_path, runtime=first.runtime) as second:
        await clock.advance(60)
        after = await second.pod()
    assert after["status"] == before["status"]
    assert objects.resource_version(after) == objects.resource_version(before), "there was nothing to write"
