"""A private containerd for one node: its own root, state, socket and configuration, so that nothing else on the machine
sees it and it sees nothing else.

It is started apart from whoever starts it. A supervisor that is killed leaves it and the containers running, and the
next one adopts it: by the process id it wrote down, checked against the process's start time, or where that file is
lost by the command line that only this instance has. ``stop`` ends the daemon only; ``reset`` ends every pod and
leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from pathlib import Path
from typing import Final

from msgspec import Struct

from steersman.aio.clock import Clock
from steersman.cluster import mounts, processes
from steersman.cluster.containerd_remains import Remains
from steersman.cluster.machines import HostError
from steersman.cluster.pause import IMAGE as PAUSE_IMAGE

CAP_SYS_RESOURCE: Final = 24
CNI_BIN_DIRS: Final = (Path("/opt/cni/bin"), Path("/usr/lib/cni"), Path("/usr/libexec/cni"))
SYSTEM_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
GREETING_S: Final = 1.0
LOG_TAIL_BYTES: Final = 2000
RESET_PARALLEL: Final = 8
REMOVING: Final = "already in removing state"
REMOVE_S: Final = 10.0
_HTTP2_HELLO: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))

_UNUSED_PLUGINS: Final = (
    "io.containerd.internal.v1.restart",
    "io.containerd.nri.v1.nri",
    "io.containerd.snapshotter.v1.aufs",
    "io.containerd.snapshotter.v1.blockfile",
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.zfs",
)


class ContainerdError(HostError):
    """containerd could not be started, stopped or cleaned up; the message says what it said."""


class ContainerdConfig(Struct, frozen=True, kw_only=True):
    """One instance."""

    root: Path
    """Images and snapshots: survives a reboot."""
    state: Path
    """Sockets, running containers, network namespaces: a tmpfs that a reboot empties. Short, for sockets' sake."""
    socket: Path
    cni_conf_dir: Path
    log: Path
    cni_bin_dir: Path | None = None
    """None: the first of ``CNI_BIN_DIRS`` that has plugins."""
    registry_config_dir: Path | None = None
    """containerd's ``certs.d``: a directory for each registry with ``hosts.toml``. None: below ``root``."""
    sandbox_image: str = PAUSE_IMAGE
    max_concurrent_downloads: int = 3
    enter: tuple[str, ...] = ()
    """Put before the command: ``nsenter --net=…`` for a node with a network namespace of its own."""

    @property
    def file(self) -> Path:
        return self.state / "config.toml"

    @property
    def pid_file(self) -> Path:
        return self.state / "containerd.pid"

    @property
    def registries(self) -> Path:
        return self.registry_config_dir or self.root / "certs.d"


def configuration(config: ContainerdConfig, *, restrict_oom_score_adj: bool) -> str:
    """The instance's ``config.toml``, version 2: containerd 1.6 reads it and later ones migrate it by themselves."""
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    return f"""\
version = 2
root = {_toml(config.root)}
state = {_toml(config.state)}
temp = {_toml(config.root / "tmp")}
disabled_plugins = [{", ".join(_toml(name) for name in _UNUSED_PLUGINS)}]

[grpc]
  address = {_toml(config.socket)}
  max_recv_message_size = 67108864
  max_send_message_size = 67108864

[plugins."io.containerd.internal.v1.opt"]
  path = {_toml(config.root / "opt")}

[{cri}]
  sandbox_image = {_toml(config.sandbox_image)}
  max_concurrent_downloads = {config.max_concurrent_downloads}
  restrict_oom_score_adj = {_toml(restrict_oom_score_adj)}
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  systemd_cgroup = false
  tolerate_missing_hugetlb_controller = true
  enable_unprivileged_ports = true
  enable_unprivileged_icmp = true

[{cri}.cni]
  bin_dir = {_toml(config.cni_bin_dir or _cni_bin_dir())}
  conf_dir = {_toml(config.cni_conf_dir)}
  max_conf_num = 1

[{cri}.containerd]
  snapshotter = "overlayfs"
  default_runtime_name = "runc"

[{cri}.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[{cri}.containerd.runtimes.runc.options]
  BinaryName = {_toml(_runc())}
  Root = {_toml(config.state / "runc")}
  SystemdCgroup = false

[{cri}.registry]
  config_path = {_toml(config.registries)}
"""


class Containerd:
    """The instance that ``config`` describes, running or not."""

    def __init__(self, config: ContainerdConfig, *, clock: Clock) -> None:
        self.config = config
        self._clock = clock

    @property
    def endpoint(self) -> str:
        """What the kubelet's ``--container-runtime-endpoint`` is."""
        return f"unix://{self.config.socket}"

    def pid(self) -> int:
        """Of the running daemon; 0 when there is none."""
        try:
            written = json.loads(self.config.pid_file.read_text())
            pid = int(written["pid"])
            if processes.start_ticks(pid) == written["start_ticks"]:
                return pid
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return next(processes.processes_with("--config", str(self.config.file)), 0)

    async def start(self, *, timeout_s: float = 30.0) -> bool:
        """Have the instance running and answering; False when it ran already and was adopted.

        A running one whose configuration is not this one's is restarted; its containers do not notice. Raises
        ``ContainerdError`` with the end of its log when it does not come up.
        """
        if shutil.which("containerd", path=_path()) is None:
            raise ContainerdError("containerd is not installed (Debian: apt install containerd)")
        text = configuration(self.config, restrict_oom_score_adj=not may_lower_oom_score())
        pid = self.pid()
        if pid and processes.read(self.config.file) != text:
            await self.stop()
            pid = 0
        if pid and await self._answers(pid, timeout_s):
            self._write_pid(pid)
            return False
        await asyncio.to_thread(self._remains().unstick)
        pid = await self._launch(text)
        self._write_pid(pid)
        if not await self._answers(pid, timeout_s):
            raise ContainerdError(f"containerd ended:\n{self._log_tail()}")
        await self._remains().remove_unknown()
        return True

    async def remove_forgotten(self) -> list[str]:
        """End what the running daemon no longer knows of; the answer names it. Worth doing a while after it or its client was
        killed. Raises ``ContainerdError`` where it does not answer."""
        return await self._remains().remove_forgotten(self._books)

    async def _books(self) -> list[str]:
        from steersman.cluster.images import list_containers  # it knows this module

        return await list_containers(self.config)

    async def stop(self) -> None:
        """End the daemon. Containers and their shims go on, and a later ``start`` finds them."""
        pid = self.pid()
        if pid:
            await processes.end(pid, self._clock)
        self.config.pid_file.unlink(missing_ok=True)

    async def stop_pods(self) -> list[str]:
        """End every pod, giving addresses back, and then the daemon; images stay. The answer lists what went wrong."""
        problems: list[str] = []
        if self.pid():
            problems += await self._remove_pods()
        await self.stop()
        problems += await self._remains().remove_all()
        return problems

    async def reset(self) -> list[str]:
        """End every pod as Kubernetes would, giving addresses back, then the daemon, and remove all it had on this
        machine. The answer lists what did not go as it should and was removed by force. Doing it twice is fine."""
        problems: list[str] = []
        if self.config.root.exists() or self.config.state.exists():
            try:
                await self.start()
                problems += await self._remove_pods()
            except HostError as error:
                problems.append(str(error))
        await self.stop()
        problems += await self._remains().remove_all()
        for directory in (self.config.state, self.config.root):
            if directory.exists():
                mounts.unmount_below(directory)
                await asyncio.to_thread(shutil.rmtree, directory)
        self.config.socket.unlink(missing_ok=True)
        return problems

    async def _launch(self, text: str) -> int:
        config = self.config
        for directory in (
            config.root / "tmp",
            config.state,
            config.socket.parent,
            config.registries,
            config.log.parent,
        ):
            directory.mkdir(parents=True, exist_ok=True)
        config.cni_conf_dir.mkdir(parents=True, exist_ok=True)
        config.file.write_text(text)
        # The shell starts it in a session of its own and ends, so that it is nobody's child and nothing waits for it.
        script = 'log=$1; shift; setsid "$@" </dev/null >>"$log" 2>&1 & echo $!'
        words = (*config.enter, "containerd", "--config", str(config.file))
        process = await asyncio.create_subprocess_exec(
            "sh", "-c", script, "sh", str(config.log), *words,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, env={**os.environ, "PATH": _path()},
        )  # fmt: skip
        output, _ = await process.communicate()
        return int(output)

    def _write_pid(self, pid: int) -> None:
        ticks = processes.start_ticks(pid)
        self.config.pid_file.write_text(json.dumps({"pid": pid, "start_ticks": ticks}))

    async def _answers(self, pid: int, timeout_s: float) -> bool:
        """True once the process answers on its socket, False when it is gone. Raises ``ContainerdError`` when neither
        comes true within ``timeout_s``. A connection alone would not do: the socket of a dying process still takes one.
        """
        deadline_s = self._clock.monotonic() + timeout_s
        while True:
            if await self._greets():
                return True
            if not processes.start_ticks(pid):
                return False
            if self._clock.monotonic() >= deadline_s:
                raise ContainerdError(f"containerd does not answer after {timeout_s:.0f} s:\n{self._log_tail()}")
            await self._clock.sleep(processes.POLL_S)

    async def _greets(self) -> bool:
        """An HTTP/2 server's first frame comes for the client's first bytes."""
        try:
            reader, writer = await asyncio.open_unix_connection(str(self.config.socket))
        except OSError:
            return False
        try:
            writer.write(_HTTP2_HELLO)
            return bool(await self._clock.wait_for(reader.read(1), GREETING_S))
        except (OSError, TimeoutError):
            return False
        finally:
            writer.close()

    def _log_tail(self) -> str:
        return processes.read(self.config.log)[-LOG_TAIL_BYTES:]

    async def _remove_pods(self) -> list[str]:
        from steersman.kubelet.runtimes.api import RuntimeServiceError
        from steersman.kubelet.runtimes.cri import CRIRuntime

        runtime = CRIRuntime(self.endpoint, clock=self._clock, request_timeout_s=30.0)
        problems: list[str] = []
        limit = asyncio.Semaphore(RESET_PARALLEL)

        async def remove(sandbox_id: str) -> None:
            deadline_s = self._clock.monotonic() + REMOVE_S
            async with limit:
                while True:
                    try:
                        await runtime.stop_pod_sandbox(sandbox_id)
                        await runtime.remove_pod_sandbox(sandbox_id)
                        return
                    except RuntimeServiceError as error:
                        # A kubelet that was killed may have been removing it: containerd is not done with that yet.
                        if REMOVING not in str(error) or self._clock.monotonic() > deadline_s:
                            problems.append(f"sandbox {sandbox_id}: {error}")
                            return
                    await self._clock.sleep(processes.POLL_S)

        try:
            await runtime.wait_ready(10.0)
            await asyncio.gather(*(remove(sandbox.id) for sandbox in await runtime.list_pod_sandboxes()))
        except RuntimeServiceError as error:
            problems.append(str(error))
        finally:
            await runtime.close()
        return problems

    def _remains(self) -> Remains:
        return Remains(self.config.state, self.config.socket, _runc(), clock=self._clock)


def may_lower_oom_score() -> bool:
    """False where CAP_SYS_RESOURCE is not to be had (nested sandboxes, some CI): runc then fails to start a sandbox
    whose score is below its own unless containerd is told to raise it."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapBnd:"):
            return bool(int(line.split()[1], 16) >> CAP_SYS_RESOURCE & 1)
    return True


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}"


def _runc() -> str:
    found = shutil.which("runc", path=_path())
    if found is None:
        raise ContainerdError("runc is not installed (Debian: apt install runc)")
    return found


def _cni_bin_dir() -> Path:
    for directory in CNI_BIN_DIRS:
        if (directory / "loopback").exists():
            return directory
    raise ContainerdError("no CNI plugins are installed (Debian: apt install containernetworking-plugins)")


def _toml(value: Path | str | bool) -> str:
    """TOML's basic strings are JSON's."""
    return json.dumps(str(value) if isinstance(value, Path) else value)
