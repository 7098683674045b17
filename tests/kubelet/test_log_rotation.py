"""Container logs stay within their bounds, and nothing written is lost before it is the oldest."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import pytest
from msgspec.structs import replace

from steersman.aio.clock import FakeClock
from steersman.aio.timers import Timers
from steersman.kubelet.log_rotation import LogLimits, LogRotator, remove, rotated
from steersman.kubelet.runtimes.api import RuntimeServiceError
from steersman.kubelet.runtimes.containers import ContainerConfig, ContainerMetadata, ContainerStatus
from steersman.kubelet.runtimes.images import ImageSpec
from steersman.kubelet.runtimes.sandboxes import PodSandboxConfig, PodSandboxMetadata
from steersman.kubelet.runtimes.simulated import SimulatedRuntime


class LoggingRuntime(SimulatedRuntime):
    """A simulated runtime whose containers have a log file."""

    def __init__(self, clock: FakeClock, path: Path) -> None:
        super().__init__(clock=clock, timers=Timers(clock), rng=random.Random(1), images_present=True)
        self.path = path
        self.is_broken = False
        self.asked: list[str] = []

    async def container_status(self, container_id: str, *, verbose: bool = False) -> ContainerStatus:
        self.asked.append(container_id)
        return replace(await super().container_status(container_id), log_path=str(self.path))

    async def reopen_container_log(self, container_id: str) -> None:
        if self.is_broken:
            raise RuntimeServiceError("broken")
        self.path.touch()


class Node:
    def __init__(self, tmp_path: Path) -> None:
        self.clock = FakeClock()
        self.path = tmp_path / "0.log"
        self.runtime = LoggingRuntime(self.clock, self.path)
        self.rotator = LogRotator(self.runtime, clock=self.clock, limits=LogLimits(max_bytes=10, max_files=3))

    async def start(self, name: str = "p") -> None:
        sandbox = PodSandboxConfig(metadata=PodSandboxMetadata(name=name, uid="u", namespace="n"))
        sandbox_id = await self.runtime.run_pod_sandbox(sandbox)
        config = ContainerConfig(metadata=ContainerMetadata(name="c"), image=ImageSpec(image="i"))
        await self.runtime.start_container(await self.runtime.create_container(sandbox_id, config, sandbox))

    async def write_and_rotate(self, text: str) -> None:
        with self.path.open("a") as file:
            file.write(text)
        await self.rotator.rotate_all()
        await self.clock.advance(60)

    def kept(self) -> list[str]:
        """What the older parts hold, the oldest first."""
        return [
            gzip.decompress(part.read_bytes()).decode() if part.suffix == ".gz" else part.read_text()
            for part in rotated(self.path)
        ]


@pytest.fixture
async def node(tmp_path: Path) -> Node:
    node = Node(tmp_path)
    await node.start()
    return node


async def test_a_small_log_is_left_alone(node: Node) -> None:
    await node.write_and_rotate("small")
    assert (node.path.read_text(), node.kept()) == ("small", [])


async def test_the_newest_part_stays_plain_and_the_oldest_go(node: Node) -> None:
    for number in range(5):
        await node.write_and_rotate(f"{number} is enough")
        assert node.path.read_text() == ""
    assert node.kept() == ["3 is enough", "4 is enough"]
    assert [part.suffix == ".gz" for part in rotated(node.path)] == [True, False]


async def test_a_runtime_that_cannot_reopen_gets_its_log_back(node: Node) -> None:
    node.runtime.is_broken = True
    await node.write_and_rotate("more than ten")
    assert (node.path.read_text(), node.kept()) == ("more than ten", [])
    node.runtime.is_broken = False
    await node.rotator.rotate_all()
    assert node.kept() == ["more than ten"]


async def test_a_log_that_is_missing_is_made_again(node: Node) -> None:
    await node.rotator.rotate_all()
    assert node.path.exists()


async def test_what_a_crash_left_unfinished_is_cleaned_up(node: Node) -> None:
    await node.write_and_rotate("first long part")
    part = rotated(node.path)[0]
    part.with_name(part.name + ".tmp").write_bytes(b"half")
    part.with_name(part.name + ".gz").write_bytes(gzip.compress(b"first long part"))
    await node.write_and_rotate("second long part")
    assert node.kept() == ["first long part", "second long part"]


async def test_removing_a_log_removes_its_parts(node: Node) -> None:
    for number in range(3):
        await node.write_and_rotate(f"{number} is enough")
    (node.path.parent / "1.log").touch()
    remove(node.path)
    assert [entry.name for entry in node.path.parent.iterdir()] == ["1.log"]


def test_one_file_is_too_few() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        LogLimits(max_files=1)


async def test_the_runtime_is_not_asked_for_a_path_that_is_known(tmp_path: Path) -> None:
    node = Node(tmp_path)
    await node.start()
    [row] = await node.runtime.list_containers()
    node.rotator = LogRotator(
        node.runtime,
        clock=node.clock,
        limits=LogLimits(max_bytes=10, max_files=3),
        known=lambda: {row.id: str(node.path), "another": "/nowhere"},
    )
    await node.write_and_rotate("0123456789")
    assert node.kept() == ["0123456789"] and not node.runtime.asked
    await node.start("q")
    await node.write_and_rotate("a")
    assert len(node.runtime.asked) == 1 and node.runtime.asked != [row.id], "only for the one that is not known"
