"""The CRI runtime on a real containerd, and the pieces that need none."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from steersman.cluster.containerd import Containerd
from steersman.kubelet.runtimes.api import (
    ExecRequest,
    ExecTimeout,
    ImagePullError,
    NotFound,
    PortConnection,
    RuntimeServiceError,
    Unavailable,
    Version,
)
from steersman.kubelet.runtimes.cri import CRIRuntime
from steersman.kubelet.runtimes.cri_streaming import exit_code
from steersman.kubelet.runtimes.image_mounts import mounts_images
from steersman.kubelet.runtimes.images import ImageSpec
from steersman.testing.containerd import BUSYBOX, cgroup_parent, missing, private_containerd
from steersman.testing.runtime_suite import Harness, RuntimeSuite, everything, started, until

FOREVER = ("sh", "-c", "trap '' TERM; while :; do sleep 3600; done")


@pytest.fixture(scope="module")
def containerd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containerd]:
    if why := missing():
        pytest.skip(why)
    with private_containerd(tmp_path_factory.mktemp("cri")) as instance:
        yield instance


@pytest_asyncio.fixture
async def harness(containerd: Containerd, tmp_path: Path) -> AsyncIterator[Harness]:
    runtime = CRIRuntime(containerd.endpoint)
    await runtime.wait_ready(10)
    yield Harness(
        runtime=runtime, image=BUSYBOX, root=tmp_path, cgroup_parent=cgroup_parent(containerd), forever=FOREVER
    )
    for sandbox in await runtime.list_pod_sandboxes():
        await runtime.stop_pod_sandbox(sandbox.id)
        await runtime.remove_pod_sandbox(sandbox.id)
    await runtime.close()


@pytest.mark.real
class TestCRI(RuntimeSuite):
    async def test_a_terminal_has_a_size_and_one_output(self, harness: Harness) -> None:
        _, container_id = await started(harness, *harness.forever)
        waits = "while [ \"$(stty size 2>/dev/null)\" != '30 100' ]; do sleep 0.05; done"
        command = ("sh", "-c", f"{waits}; stty size; echo err >&2")
        session = await harness.runtime.exec(
            ExecRequest(container_id=container_id, command=command, stdin=True, tty=True)
        )
        try:
            await session.resize(width=100, height=30)
            assert await everything(session) == (b"30 100\r\nerr\r\n", b"")
        finally:
            await session.close()

    async def test_large_output_arrives_whole(self, harness: Harness) -> None:
        _, container_id = await started(harness, *harness.forever)
        command = ("sh", "-c", "dd if=/dev/zero bs=1M count=24 2>/dev/null; echo end >&2")
        session = await harness.runtime.exec(ExecRequest(container_id=container_id, command=command))
        try:
            stdout, stderr = await everything(session)
            assert (len(stdout), stderr) == (24 << 20, b"end\n")
        finally:
            await session.close()

    async def test_a_command_that_is_not_there_is_an_error(self, harness: Harness) -> None:
        _, container_id = await started(harness, *harness.forever)
        session = await harness.runtime.exec(ExecRequest(container_id=container_id, command=("/nope",)))
        try:
            await everything(session)
            with pytest.raises(RuntimeServiceError, match="/nope"):
                await session.wait()
        finally:
            await session.close()

    async def test_exec_sync_has_a_time_limit(self, harness: Harness) -> None:
        _, container_id = await started(harness, *harness.forever)
        with pytest.raises(ExecTimeout):
            await harness.runtime.exec_sync(container_id, ["sleep", "60"], timeout_s=1)

    async def test_a_port_of_the_pod_is_reached_from_inside(self, harness: Harness) -> None:
        sandbox_id, _ = await started(harness, "nc", "-ll", "-p", "8080", "-e", "cat")

        async def connect() -> PortConnection | None:
            try:
                return await harness.runtime.port_forward(sandbox_id, 8080)
            except ConnectionError:
                return None

        connection = await until(connect)
        await connection.write(b"ping")
        assert await connection.read() == b"ping"
        await connection.write_eof()
        assert await connection.read() == b""
        await connection.close()

    async def test_a_failing_pull_says_why(self, harness: Harness) -> None:
        with pytest.raises(ImagePullError, match="connection refused") as caught:
            await harness.runtime.pull_image(ImageSpec(image="localhost:1/nope:1"))
        assert caught.value.reason == "ErrImagePull"

    async def test_the_cgroup_driver_is_unknown_to_old_runtimes(self, harness: Harness) -> None:
        assert await harness.runtime.runtime_config() in (None, "cgroupfs")


async def test_a_runtime_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    runtime = CRIRuntime(f"unix://{tmp_path}/nothing.sock")
    with pytest.raises(Unavailable):
        await runtime.version()
    with pytest.raises(Unavailable, match="does not answer CRI"):
        await runtime.wait_ready(0.3)
    await runtime.close()


def test_only_unix_sockets_are_endpoints() -> None:
    with pytest.raises(ValueError, match="tcp"):
        CRIRuntime("tcp://127.0.0.1:1")


@pytest.mark.parametrize(
    ("report", "code"),
    [
        (b"", 0),
        (b'{"status":"Success"}', 0),
        (b'{"status":"Failure","details":{"causes":[{"reason":"ExitCode","message":"3"}]}}', 3),
    ],
)
def test_the_error_stream_tells_the_exit_code(report: bytes, code: int) -> None:
    assert exit_code(report) == code


@pytest.mark.parametrize(
    ("report", "error"),
    [(b"plain words", RuntimeServiceError), (b'{"status":"Failure","code":404,"message":"gone"}', NotFound)],
)
def test_the_error_stream_tells_failures(report: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        exit_code(report)


@pytest.mark.parametrize(
    ("name", "version", "mounts"),
    [
        ("containerd", "1.6.20~ds1", False), ("containerd", "v2.0.4", False), ("containerd", "v2.1.0", True),
        ("cri-o", "1.30.2", False), ("cri-o", "1.31.0", True), ("other", "0.1", True), ("containerd", "unknown", True),
    ],
)  # fmt: skip
def test_which_runtimes_mount_images(name: str, version: str, mounts: bool) -> None:
    assert mounts_images(Version(runtime_name=name, runtime_version=version)) is mounts
