"""What the API sees of a node that shuts down gracefully."""

from __future__ import annotations

from pathlib import Path

from steersman.aio.clock import FakeClock
from steersman.client.api import Client
from steersman.kubelet.shutdown.periods import shutdown_periods
from steersman.meta import objects
from tests.kubelet.conftest import is_ready
from tests.kubelet.lone_node import lone_node
from tests.kubelet.pods import pod
from tests.kubelet.shutdown.machine import Machine


async def test_its_pods_fail_the_node_is_not_ready_and_takes_no_more(
    client: Client, clock: FakeClock, tmp_path: Path
) -> None:
    machine = Machine()
    config = {"shutdown": shutdown_periods(30, 10)}
    async with lone_node(client, clock, root_dir=tmp_path, config=config, shutdown_bus=machine.connect) as node:
        await node.create(pod())
        await clock.advance(5)
        assert is_ready(await node.pod())
        machine.news.put_nowait(True)
        await clock.advance(3)
        found = await node.pod()
        assert not machine.locks
        assert (found["status"]["phase"], found["status"]["reason"]) == ("Failed", "Terminated")
        assert found["status"]["message"] == "Pod was terminated in response to imminent node shutdown."
        condition = objects.condition(found, "DisruptionTarget")
        assert condition is not None
        assert condition["reason"] == "TerminationByKubelet"
        ready = objects.condition(await node.node(), "Ready")
        assert ready is not None
        assert (ready["status"], ready["reason"]) == ("False", "KubeletNotReady")
        assert "node is shutting down" in ready["message"]
        await node.create({**pod(), "metadata": {"name": "late", "namespace": "default"}})
        await clock.advance(2)
        late = (await node.pod("late"))["status"]
        assert (late["phase"], late["reason"]) == ("Failed", "NodeShutdown")
        assert late["message"] == "Pod was rejected: Pod was rejected as the node is shutting down."
        assert ("NodeShutdown", "Shutdown manager detected shutdown event") in await node.events()
