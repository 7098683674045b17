"""A private containerd: starts, is adopted, survives its starter, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from steersman.aio.clock import SystemClock
from steersman.cluster import mounts, processes
from steersman.cluster.containerd import Containerd, ContainerdConfig, ContainerdError, configuration
from steersman.kubelet.runtimes.api import PortConnection
from steersman.kubelet.runtimes.cri import CRIRuntime
from steersman.testing.containerd import BUSYBOX, cgroup_parent, missing, private_containerd
from steersman.testing.runtime_suite import Harness, started, until

real = pytest.mark.real


def config(tmp_path: Path) -> ContainerdConfig:
    return ContainerdConfig(
        root=tmp_path / "root", state=tmp_path / "state", socket=tmp_path / "state" / "c.sock",
        cni_conf_dir=tmp_path / "cni", log=tmp_path / "log", cni_bin_dir=Path("/usr/lib/cni"),
    )  # fmt: skip


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Containerd]:
    if why := missing():
        pytest.skip(why)
    with private_containerd(tmp_path, number=1) as running:
        yield running


@pytest.mark.skipif(bool(missing()), reason="runc is looked up")
def test_the_configuration_has_its_own_everything(tmp_path: Path) -> None:
    text = configuration(config(tmp_path), restrict_oom_score_adj=True)
    assert f'root = "{tmp_path}/root"' in text
    assert f'state = "{tmp_path}/state"' in text
    assert f'address = "{tmp_path}/state/c.sock"' in text
    assert "restrict_oom_score_adj = true" in text
    assert "systemd_cgroup = false" in text
    assert "/var/lib/containerd" not in text and "/run/containerd" not in text


@real
async def test_it_is_adopted_and_containers_survive_its_end(instance: Containerd, tmp_path: Path) -> None:
    runtime, sandbox_id, container_id = await _running_pod(instance, tmp_path)
    before = await runtime.container_status(container_id)
    pid = instance.pid()
    other = Containerd(instance.config, clock=SystemClock())
    assert await other.start() is False
    assert other.pid() == pid

    os.kill(pid, signal.SIGKILL)
    assert await other.start() is True
    assert other.pid() not in (0, pid)
    await runtime.wait_ready(10)
    assert await runtime.container_status(container_id) == before
    assert (await runtime.pod_sandbox_status(sandbox_id)).state == "READY"
    await runtime.close()


@real
async def test_a_lost_pid_file_does_not_make_a_second_daemon(instance: Containerd) -> None:
    pid = instance.pid()
    instance.config.pid_file.write_text('{"pid": 1, "start_ticks": 7}')
    assert instance.pid() == pid
    instance.config.pid_file.unlink()
    assert await instance.start() is False
    assert instance.pid() == pid


@real
async def test_another_configuration_restarts_the_daemon_only(instance: Containerd, tmp_path: Path) -> None:
    runtime, _, container_id = await _running_pod(instance, tmp_path)
    pid = instance.pid()
    changed = Containerd(replace(instance.config, max_concurrent_downloads=9), clock=SystemClock())
    assert await changed.start() is True
    assert changed.pid() != pid
    await runtime.wait_ready(10)
    assert (await runtime.container_status(container_id)).state == "RUNNING"
    await runtime.close()


@real
async def test_reset_leaves_nothing_even_after_a_crash(instance: Containerd, tmp_path: Path) -> None:
    runtime, sandbox_id, container_id = await _running_pod(instance, tmp_path)
    status = await runtime.pod_sandbox_status(sandbox_id, verbose=True)
    await runtime.close()
    os.kill(instance.pid(), signal.SIGKILL)
    assert await instance.reset() == []
    config = instance.config
    assert not config.root.exists() and not config.state.exists()
    assert not [
        entry for entry in mounts.mounts() if str(entry.target).startswith((str(config.root), str(config.state)))
    ]
    processes = _command_lines()
    assert str(config.socket) not in processes and container_id not in processes
    assert status.ips[0] not in _leases(tmp_path)
    assert await instance.reset() == []


@real
async def test_a_shim_that_a_killed_daemon_never_wrote_down_is_ended(instance: Containerd, tmp_path: Path) -> None:
    runtime, sandbox_id, container_id = await _running_pod(instance, tmp_path)
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "config.json").write_text('{"ociVersion": "1.0.2"}')
    os.mkfifo(bundle / "log")
    words = ("-namespace", "k8s.io", "-id", "stray", "-address", str(instance.config.socket))
    shim = await asyncio.create_subprocess_exec("containerd-shim-runc-v2", *words, "start", cwd=bundle)
    assert await shim.wait() == 0
    (stray,) = processes.processes_with("-id", "stray")
    (socket,) = processes.listening_sockets(stray)

    os.kill(instance.pid(), signal.SIGKILL)
    await instance.start()
    assert not list(processes.processes_with("-id", "stray"))
    assert not socket.exists()
    await runtime.wait_ready(10)
    assert (await runtime.container_status(container_id)).state == "RUNNING"
    assert (await runtime.pod_sandbox_status(sandbox_id)).state == "READY"
    await runtime.close()


@real
async def test_what_cannot_be_removed_properly_is_removed_by_force(instance: Containerd, tmp_path: Path) -> None:
    """The network's configuration is gone, so that no sandbox can be taken down as it should be."""
    runtime, _, container_id = await _running_pod(instance, tmp_path)
    await runtime.close()
    await instance.stop()
    for file in instance.config.cni_conf_dir.iterdir():
        file.unlink()
    (instance.config.root / "io.containerd.metadata.v1.bolt" / "meta.db").write_bytes(b"damaged")
    problems = await instance.reset()
    assert any(container_id in problem for problem in problems)
    assert not instance.config.state.exists()
    processes = _command_lines()
    assert str(instance.config.socket) not in processes


@real
async def test_a_daemon_that_cannot_start_says_why(tmp_path: Path) -> None:
    if why := missing():
        pytest.skip(why)
    (tmp_path / "state" / "c.sock").mkdir(parents=True)  # where the socket should be
    broken = Containerd(config(tmp_path), clock=SystemClock())
    with pytest.raises(ContainerdError, match=r"containerd ended:[\s\S]*c\.sock"):
        await broken.start()


@real
async def test_a_node_with_a_network_of_its_own_keeps_its_pods_there(namespaced: Containerd, tmp_path: Path) -> None:
    """The daemon is reached from outside, and so is a pod's port; the pods' bridge is inside."""
    runtime = CRIRuntime(namespaced.endpoint)
    await runtime.wait_ready(10)
    harness = Harness(runtime=runtime, image=BUSYBOX, root=tmp_path, cgroup_parent=cgroup_parent(namespaced))
    sandbox_id, _ = await started(harness, "nc", "-ll", "-p", "80", "-e", "cat")
    bridge = json.loads((namespaced.config.cni_conf_dir / "10-test.conflist").read_text())["name"]
    assert not _link_exists((), bridge)
    assert _link_exists(namespaced.config.enter, bridge)

    async def connect() -> PortConnection | None:
        try:
            return await runtime.port_forward(sandbox_id, 80)
        except ConnectionError:
            return None

    connection = await until(connect)
    await connection.write(b"ping")
    assert await connection.read() == b"ping"
    await connection.close()
    await runtime.close()


@pytest.fixture
def namespaced(tmp_path: Path) -> Iterator[Containerd]:
    """A containerd inside a network namespace."""
    if why := missing():
        pytest.skip(why)
    name = f"steersman-test-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run(["nsenter", f"--net=/run/netns/{name}", "ip", "link", "set", "lo", "up"], check=True)
        with private_containerd(tmp_path, number=3, enter=("nsenter", f"--net=/run/netns/{name}", "--")) as running:
            yield running
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


def _link_exists(enter: tuple[str, ...], name: str) -> bool:
    return subprocess.run([*enter, "ip", "link", "show", name], capture_output=True, check=False).returncode == 0


@real
async def test_a_shared_directory_is_shared_once_and_unmounted(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    target = tmp_path / "with space"
    for _ in range(2):
        mounts.make_shared(target)
    found = [entry for entry in mounts.mounts() if entry.target == target]
    assert [entry.shared for entry in found] == [True]
    mounts.unmount_below(target)
    assert not [entry for entry in mounts.mounts() if entry.target == target]


@real
def test_a_mount_that_goes_with_its_peer_is_no_failure(tmp_path: Path) -> None:
    """Each of two shared directories shows what is mounted in the other; unmounting it in one unmounts it in both."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    first, second = tmp_path / "first", tmp_path / "second"
    mounts.make_shared(first)
    second.mkdir()
    subprocess.run(["mount", "--bind", first, second], check=True)
    (first / "inner").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", first / "inner"], check=True)
    assert {entry.target for entry in mounts.mounts()} >= {first / "inner", second / "inner"}
    mounts.unmount_below(tmp_path)
    assert not [entry for entry in mounts.mounts() if entry.target.is_relative_to(tmp_path)]


def _command_lines() -> str:
    return subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout


def _leases(tmp_path: Path) -> set[str]:
    """Addresses that the test's network has given out."""
    return {path.name for path in tmp_path.glob("ipam/*/*")}


async def _running_pod(instance: Containerd, tmp_path: Path) -> tuple[CRIRuntime, str, str]:
    """A runtime, and the ids of a sandbox and a container on it."""
    runtime = CRIRuntime(instance.endpoint)
    await runtime.wait_ready(10)
    harness = Harness(runtime=runtime, image=BUSYBOX, root=tmp_path, cgroup_parent=cgroup_parent(instance))
    return (runtime, *await started(harness, *harness.forever))
