"""When a volume came to its phase is the server's business."""

from __future__ import annotations

from typing import Any

from steersman.aio.clock import FakeClock
from steersman.client.api import Client
from steersman.meta.objects import Object
from steersman.meta.resources import PERSISTENTVOLUMES
from steersman.meta.times import format_time

VOLUME: Object = {
    "apiVersion": "v1",
    "kind": "PersistentVolume",
    "metadata": {"name": "a"},
    "spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/a"}},
}


async def test_each_change_of_phase_has_its_time(client: Client, clock: FakeClock) -> None:
    async def since(**status: Any) -> Any:
        await clock.advance(60)
        patched = await client.patch(PERSISTENTVOLUMES, "a", {"status": status}, subresource="status")
        return patched["status"].get("lastPhaseTransitionTime")

    created = await client.create(PERSISTENTVOLUMES, {**VOLUME, "status": {"phase": "Bound"}})
    assert created["status"] == {"phase": "Pending", "lastPhaseTransitionTime": format_time(clock.now())}
    available = await since(phase="Available")
    assert available == format_time(clock.now())
    assert await since(phase="Available", message="still") == available
    assert await since(phase="Available", lastPhaseTransitionTime=None) == available
    assert await since(phase="Bound", lastPhaseTransitionTime=available) == format_time(clock.now())
    assert await since(phase="Failed", lastPhaseTransitionTime="2020-01-01T00:00:00Z") == "2020-01-01T00:00:00Z"
