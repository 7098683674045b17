"""History does not grow for ever: what is older than two intervals can no longer be read, what exists stays."""

from __future__ import annotations

import pytest

from steersman.aio.clock import FakeClock
from steersman.meta.resources import CONFIGMAPS
from steersman.store.api import CompactedError
from steersman.store.compaction import INTERVAL_S
from steersman.store.drivers.memory import MemoryStore
from steersman.testing import Cluster


async def test_old_history_is_compacted_and_objects_stay() -> None:
    clock = FakeClock()
    store = MemoryStore(clock=clock)
    async with Cluster(nodes=0, clock=clock, store=store, scheduler=False) as cluster:
        made = await cluster.client.create(
            CONFIGMAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "default"}}
        )
        for number in range(3):
            await cluster.client.patch(CONFIGMAPS, "a", {"data": {"n": str(number)}}, namespace="default")
            await cluster.advance(INTERVAL_S + 1)
        with pytest.raises(CompactedError):
            await store.get("/registry/configmaps/default/a", revision=int(made["metadata"]["resourceVersion"]))
        assert (await cluster.client.get(CONFIGMAPS, "a", namespace="default"))["data"] == {"n": "2"}
