"""A pod ends though a runc that was killed left the cgroup of its container half frozen (cgroup v1)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from steersman.kubelet.cgroup_hierarchies import find_hierarchies
from steersman.kubelet.cgroups import pod_cgroup
from steersman.meta.resources import PODS
from tests.kubelet.real.conftest import RealNode, shell
from tests.real.conftest import eventually

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]
EXECUTES = """
import os, threading, time
threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
input()
os.execv("/bin/true", ["true"])
"""
"""A program of two threads whose first, told to, executes another program and so waits for the second to end."""


@pytest.fixture
def freezer() -> Path:
    hierarchies = find_hierarchies(Path("/proc/self/mountinfo").read_text())
    mount = next((item.mount for item in hierarchies if "freezer" in item.controllers), None)
    if mount is None:
        pytest.skip("a frozen process of cgroup v2 can be killed")
    return mount


@pytest.fixture
def executing(freezer: Path) -> Iterator[int]:
    """A process that executes another program for as long as its second thread is frozen."""
    aside = freezer / f"steersman-test-aside-{os.getpid()}"
    aside.mkdir()
    process = subprocess.Popen([sys.executable, "-c", EXECUTES], stdin=subprocess.PIPE)
    assert process.stdin is not None
    try:
        eventually(lambda: len(threads(process.pid)) == 2)
        (aside / "tasks").write_text(next(tid for tid in threads(process.pid) if tid != str(process.pid)))
        (aside / "freezer.state").write_text("FROZEN")
        process.stdin.write(b"\n")
        process.stdin.flush()
        eventually(lambda: ") D " in Path(f"/proc/{process.pid}/stat").read_text())
        yield process.pid
    finally:
        process.kill()
        (aside / "freezer.state").write_text("THAWED")
        process.wait()
        process.stdin.close()
        eventually(lambda: not (aside / "tasks").read_text())
        aside.rmdir()


def threads(pid: int) -> list[str]:
    return os.listdir(f"/proc/{pid}/task")


async def test_a_pod_ends_whose_cgroup_a_killed_runc_left_half_frozen(
    node: RealNode, freezer: Path, executing: int
) -> None:
    async with node.kubelet():
        await node.create("stuck", shell("trap exit TERM; while :; do sleep 1; done"))
        pod = await node.until("stuck", lambda pod: pod["status"].get("phase") == "Running")
        container_id = pod["status"]["containerStatuses"][0]["containerID"].partition("://")[2]
        cgroup = freezer / pod_cgroup(pod, node.config.cgroup_root).strip("/") / container_id
        (cgroup / "tasks").write_text(str(executing))
        (cgroup / "freezer.state").write_text("FROZEN")
        assert (cgroup / "freezer.state").read_text() == "FREEZING\n", "as a runc leaves it that is killed"

        await node.client.delete(PODS, "stuck", namespace="default")
        await node.until_gone("stuck", within_s=25)
