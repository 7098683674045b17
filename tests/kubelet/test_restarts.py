"""What a kubelet that starts again finds is as it was: nobody can tell from a pod's status that there was another one before."""

from __future__ import annotations

from pathlib import Path

import pytest

from steersman.aio.clock import FakeClock
from steersman.client.api import Client
from steersman.client.transport import Unreachable
from steersman.meta import objects
from steersman.meta.errors import NotFound
from steersman.meta.resources import PODS
from steersman.meta.wire import Request, Response
from tests.client.lossy import LossyTransport
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


def lose_deletions(request: Request) -> Response | None:
    if request.method == "DELETE":
        raise Unreachable("lost")
    return None


async def test_a_pod_that_had_ended_is_deleted_by_the_next_kubelet(
    client: Client, transport: LossyTransport, clock: FakeClock, tmp_path: Path
) -> None:
    """One that was killed between the last status and the deletion has left nothing to write but the deletion."""
    async with lone_node(client, clock, root_dir=tmp_path) as first:
        await first.create(pod(container()))
        await first.until(is_ready)
        await client.delete(PODS, "web", namespace="default", grace_period_s=1)
        transport.intercept = lose_deletions
        await first.until(lambda pod: pod["status"]["phase"] == "Failed")
        await clock.advance(60)
    transport.intercept = lambda request: None
    assert objects.is_deleting(await client.get(PODS, "web", namespace="default"))
    async with lone_node(client, clock, root_dir=tmp_path, runtime=first.runtime):
        await clock.advance(10)
        with pytest.raises(NotFound):
            await client.get(PODS, "web", namespace="default")
