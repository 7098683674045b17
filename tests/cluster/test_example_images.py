"""The example images: the same every time, and they run."""

from __future__ import annotations

import asyncio
import importlib.util
import socket
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from steersman.aio.clock import SystemClock
from steersman.cluster.containerd import Containerd
from steersman.cluster.images import load
from steersman.cluster.machines import HostError
from steersman.cluster.rootfs import busybox, libraries, programs
from steersman.kubelet.runtimes.api import PortConnection
from steersman.kubelet.runtimes.cri import CRIRuntime
from steersman.testing.containerd import cgroup_parent, missing, private_containerd
from steersman.testing.runtime_suite import Harness, started, until

BUILD = Path(__file__).parents[2] / "examples" / "images" / "build.py"


@pytest.fixture(scope="module")
def build() -> ModuleType:
    if why := missing():
        pytest.skip(why)
    spec = importlib.util.spec_from_file_location("example_images", BUILD)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def instance(build: ModuleType, tmp_path: Path) -> Iterator[Containerd]:
    with private_containerd(tmp_path, number=4) as running:
        yield running


def test_building_twice_gives_the_same_files(build: ModuleType, tmp_path: Path) -> None:
    for name in ("one", "two"):
        build.main(tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == ["busybox.tar", "echo.tar", "web.tar"]
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.real
async def test_echo_answers_on_tcp_and_udp_and_web_serves_pages(
    instance: Containerd, build: ModuleType, tmp_path: Path
) -> None:
    build.main(tmp_path / "images")
    for name in ("echo", "web"):
        await load(instance.config, tmp_path / "images" / f"{name}.tar", clock=SystemClock())
    runtime = CRIRuntime(instance.endpoint)
    await runtime.wait_ready(10)

    async def pod(image: str) -> str:
        harness = Harness(
            runtime=runtime, image=f"localhost/examples/{image}:1", root=tmp_path, cgroup_parent=cgroup_parent(instance)
        )
        return (await started(harness))[0]

    async def connected(sandbox_id: str, port: int) -> PortConnection:
        async def connect() -> PortConnection | None:
            try:
                return await runtime.port_forward(sandbox_id, port)
            except ConnectionError:
                return None

        return await until(connect)

    echo, web = await pod("echo"), await pod("web")
    connection = await connected(echo, 7777)
    await connection.write(b"over tcp")
    assert await connection.read() == b"over tcp"
    await connection.close()
    address = (await runtime.pod_sandbox_status(echo)).ips[0]
    assert await asyncio.to_thread(_ask_over_udp, address) == b"over udp"

    connection = await connected(web, 8080)
    await connection.write(b"GET /cgi-bin/hello HTTP/1.0\r\n\r\n")
    page = b""
    while piece := await connection.read():
        page += piece
    assert b" 200 OK" in page and b"Hello from pod" in page
    await connection.close()
    await runtime.close()


def _ask_over_udp(address: str) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(5)
        asking.sendto(b"over udp", (address, 7777))
        return asking.recv(100)


def test_a_program_comes_with_its_libraries() -> None:
    shell = Path("/bin/sh").resolve()
    entries = {f"/{entry.path.strip('/')}" for entry in programs(shell)}
    assert {str(shell), *map(str, libraries(shell))} <= entries


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="busybox-static"):
        busybox(tmp_path / "busybox")
    with pytest.raises(HostError, match="nothing is missing"):
        programs(tmp_path / "nothing")
