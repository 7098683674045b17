"""Graceful shutdown with the machine's own systemd-logind, on a machine that is there to be shut down."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from steersman.kubelet.shutdown.logind import LOGIN, LOGIN_MANAGER, LOGIN_PATH
from steersman.kubelet.shutdown.periods import ShutdownPeriod
from steersman.meta import objects
from steersman.meta.resources import NODES
from tests.kubelet.real.conftest import NODE, RealNode, is_ready, shell

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif("STEERSMAN_VM" not in os.environ, reason="shuts its machine down: tests.vm runs it"),
]


def logind(*words: str) -> str:
    argv = ["busctl", "call", LOGIN, LOGIN_PATH, LOGIN_MANAGER, *words]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def harmless_halt() -> Iterator[None]:
    """logind announces a halt, waits for its inhibitors and starts ``halt.target``, which does nothing here."""
    unit = Path("/run/systemd/system/halt.target")
    unit.parent.mkdir(parents=True, exist_ok=True)
    unit.write_text("[Unit]\nDescription=Nothing\nDefaultDependencies=no\n")
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    try:
        yield
    finally:
        unit.unlink()
        subprocess.run(["systemctl", "daemon-reload"], check=True)


@pytest.mark.usefixtures("harmless_halt")
async def test_pods_end_before_the_machine_does(node: RealNode) -> None:
    """logind waits longer than it would by itself, the pod has its grace and says why it ended, the node is not ready;
    and both go on when nothing comes of the shutdown."""
    node.config = replace(node.config, shutdown=(ShutdownPeriod(priority=0, grace_s=30),))
    async with node.kubelet():
        await node.create(
            "web",
            shell("trap 'sleep 3; echo saved; exit 0' TERM; while :; do sleep 0.1; done"),
            terminationGracePeriodSeconds=20,
        )
        await node.until("web", is_ready)
        await node.wait(lambda: '"kubelet"' in logind("ListInhibitors"))
        logind("Halt", "b", "false")
        pod = await node.until("web", lambda pod: pod["status"].get("reason") == "Terminated", within_s=60)
        assert pod["status"]["message"] == "Pod was terminated in response to imminent node shutdown."
        assert node.log_of(pod, "main").splitlines() == ["saved"]

        async def ready_again() -> bool:
            return objects.is_true(await node.client.get(NODES, NODE), "Ready")

        await node.eventually(ready_again, within_s=60)
        await node.wait(lambda: '"kubelet"' in logind("ListInhibitors"))
        await node.delete("web")
