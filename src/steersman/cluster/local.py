"""The local shape: a whole cluster on this machine, brought up, brought back, stopped and removed.

Every step can be done again and changes only what is not as it should be, so ``up`` also mends: after a crash, a reboot or a
killed supervisor it finds containers running, adopts them and starts what is missing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct
from msgspec.structs import replace

from steersman.aio.clock import Clock
from steersman.cluster import configuration, kubeconfigs, machines, nodes
from steersman.cluster.addons import DNS_USER, NETWORK_USER
from steersman.cluster.configuration import ClusterConfig, Layout
from steersman.cluster.machines import HostError
from steersman.cluster.pki import ClusterPKI, ServingHosts

READY_TIMEOUT_S = 60.0
POLL_S = 0.05
SUPERVISOR_STOP_S = 60.0


class ClusterError(RuntimeError):
    """The cluster could not be brought into the wanted state; the message says what to look at."""


class Progress(Protocol):
    """Told what is being waited for."""

    def step(self, text: str) -> contextlib.AbstractAsyncContextManager[None]:
        """Entered when the step begins, left when it is done or has failed."""

    def note(self, text: str) -> None:
        """Something the user should know."""


class Wanted(Struct, frozen=True, kw_only=True):
    """What the user asks of ``up``; None leaves it as it is (or at its default)."""

    real_nodes: int | None = None
    simulated_nodes: int | None = None
    api_port: int | None = None
    verbosity: int | None = None


class LocalCluster:
    """The cluster whose data is in ``layout``."""

    def __init__(self, layout: Layout, *, clock: Clock, progress: Progress, environment: Mapping[str, str]) -> None:
        self.layout = layout
        self._clock = clock
        self._progress = progress
        self._environment = dict(environment)
        self._restarts_before: dict[str, int] = {}
        self._ready_s = READY_TIMEOUT_S

    def config(self) -> ClusterConfig | None:
        """The cluster as it was configured, or None where there is none."""
        return configuration.load(self.layout)

    def supervisor_pid(self) -> int:
        """Of the running supervisor; 0 when there is none."""
        try:
            pid = int(self.layout.supervisor_pid.read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return 0
        return pid if b"supervise" in command and str(self.layout.data).encode() in command else 0

    def state(self) -> dict[str, Any]:
        """What the supervisor says of its programs; empty when it does not run."""
        if not self.supervisor_pid():
            return {}
        try:
            state: dict[str, Any] = json.loads(self.layout.state.read_text())
        except (OSError, ValueError):
            return {}
        return state

    async def up(self, wanted: Wanted, *, ready_s: float = READY_TIMEOUT_S) -> ClusterConfig:
        """Have the cluster running and its nodes Ready, ``ready_s`` being what API server and nodes each may take. Raises
        ``ClusterError`` and ``HostError``."""
        self._ready_s = ready_s
        config = self._decide(wanted)
        configuration.save(self.layout, config)
        self.layout.run.mkdir(parents=True, exist_ok=True)
        async with self._progress.step("certificates and kubeconfigs"):
            self._ensure_identities(config)
        if config.nodes:
            async with self._progress.step("network of the machine"):
                machines.ensure_network(config)
                for node in config.nodes:
                    machines.ensure_machine(config, node)
        self._start_supervisor()
        preparing = asyncio.ensure_future(self._prepare_nodes(config))
        try:
            async with self._progress.step("API server"):
                await self._wait_for_api(config)
            kubeconfigs.merge(kubeconfigs.user_file(self._environment), self.admin_kubeconfig(config))
            async with self._progress.step("DNS service and roles"):
                await self._ensure_addons(config)
            if config.nodes:
                async with self._progress.step(_plural("containerd", len(config.nodes))):
                    await preparing
            await preparing
        finally:
            preparing.cancel()
            await asyncio.wait({preparing})
        async with self._progress.step(f"{_plural('node', self._node_count(config))} Ready"):
            await self._wait_for_nodes(config)
        return config

    async def down(self) -> list[str]:
        """Stop everything; objects and images stay. The answer lists what did not go as it should."""
        config = self.config()
        async with self._progress.step("components stop"):
            await self._stop_supervisor()
        problems: list[str] = []
        if config is not None and config.nodes:
            async with self._progress.step("pods stop"):
                stopping = (nodes.stop_node(config, self.layout, node, clock=self._clock) for node in config.nodes)
                for found in await asyncio.gather(*stopping):
                    problems += found
            async with self._progress.step("network goes"):
                self._remove_network(config)
        return problems

    async def reset(self) -> list[str]:
        """Stop everything and remove all that the cluster ever made. The answer lists what had to be forced."""
        config = self.config()
        async with self._progress.step("components stop"):
            await self._stop_supervisor()
        problems: list[str] = []
        if config is not None:
            if config.nodes:
                async with self._progress.step("pods, images and volumes go"):
                    removing = (
                        nodes.remove_node(config, self.layout, node, clock=self._clock) for node in config.nodes
                    )
                    for found in await asyncio.gather(*removing):
                        problems += found
                async with self._progress.step("network goes"):
                    self._remove_network(config)
            if (self.layout.pki / "admin.crt").exists():
                kubeconfigs.remove(kubeconfigs.user_file(self._environment), self.admin_kubeconfig(config))
        async with self._progress.step("data goes"):
            for directory in (self.layout.run, self.layout.data):
                if directory.exists():
                    await asyncio.to_thread(shutil.rmtree, directory)
        return problems

    async def add_nodes(self, *, real: int = 0, simulated: int = 0) -> ClusterConfig:
        """More nodes for a running cluster. Raises ``ClusterError``."""
        config = self._existing()
        return await self.up(
            Wanted(real_nodes=len(config.nodes) + real, simulated_nodes=config.simulated_nodes + simulated)
        )

    async def remove_node(self, name: str) -> list[str]:
        """Take a real node out: its pods end, its Node object goes. Raises ``ClusterError``."""
        from steersman.meta.errors import NotFound
        from steersman.meta.resources import NODES

        config = self._existing()
        node = config.node(name)
        if node is None:
            raise ClusterError(f"no real node is called {name!r}")
        configuration.save(self.layout, config.without_node(name))
        os.kill(self.supervisor_pid(), signal.SIGHUP)
        async with self._progress.step(f"{name} goes"):
            problems = await nodes.remove_node(config, self.layout, node, clock=self._clock)
        async with self.admin() as client:
            with contextlib.suppress(NotFound):
                await client.delete(NODES, name)
        return problems

    def admin_kubeconfig(self, config: ClusterConfig) -> kubeconfigs.Document:
        """What an administrator on this machine uses."""
        pki = ClusterPKI(self.layout.pki, clock=self._clock)
        return kubeconfigs.document(
            server=config.server,
            authority=pki.authority.pair.certificate,
            identity=pki.ensure_client("admin", "kubernetes-admin", ("system:masters",)),
            context=config.context,
            user=f"{config.context}-admin",
        )

    @contextlib.asynccontextmanager
    async def admin(self) -> AsyncIterator[Any]:
        """A client with an administrator's rights."""
        from steersman.client import kubeconfig
        from steersman.client.api import Client
        from steersman.client.http import HTTPTransport

        client = Client(HTTPTransport(kubeconfig.load(self.layout.kubeconfig("admin")), clock=self._clock))
        try:
            yield client
        finally:
            await client.close()

    def _existing(self) -> ClusterConfig:
        config = self.config()
        if config is None or not self.supervisor_pid():
            raise ClusterError("no cluster is running here; start one with `steersman up`")
        return config

    def _decide(self, wanted: Wanted) -> ClusterConfig:
        existing = self.config()
        config = existing or ClusterConfig()
        is_simulated = existing is not None and not existing.nodes and wanted.real_nodes is None
        reason = "none was asked for" if wanted.real_nodes == 0 or is_simulated else self._why_simulated()
        if reason and config.nodes:
            raise ClusterError(f"this cluster has real nodes, but {reason}")
        if reason:
            count = max(wanted.real_nodes or 0, wanted.simulated_nodes or 0, config.simulated_nodes, 1)
            self._progress.note(f"Nodes are simulated, no containers run: {reason}.")
            config = replace(config, simulated_nodes=count, advertise_address=_own_address())
        else:
            if wanted.real_nodes is not None and 0 < wanted.real_nodes < len(config.nodes):
                raise ClusterError(
                    f"the cluster has {len(config.nodes)} nodes; take one out with `steersman nodes remove NAME`"
                )
            config = config.with_real_nodes(wanted.real_nodes or max(1, len(config.nodes)), _hostname())
            if wanted.simulated_nodes is not None:
                config = replace(config, simulated_nodes=wanted.simulated_nodes)
            config = replace(config, advertise_address=config.machine_address)
        if wanted.api_port is not None:
            config = replace(config, api_port=wanted.api_port)
        if wanted.verbosity is not None:
            config = replace(config, verbosity=wanted.verbosity)
        return config

    def _why_simulated(self) -> str:
        if os.geteuid() != 0:
            return "real ones need root"
        missing = nodes.missing_programs()
        if missing:
            return f"real ones need {', '.join(missing)} (see `tools/host-tools node`)"
        return ""

    def _ensure_identities(self, config: ClusterConfig) -> None:
        pki = ClusterPKI(self.layout.pki, clock=self._clock)
        addresses = [config.service_address, config.advertise_address, config.machine_address, _hostname()]
        pki.ensure_api_server(ServingHosts(addresses, config.dns_domain))
        clients: list[tuple[str, str, tuple[str, ...], str]] = [
            ("admin", "kubernetes-admin", ("system:masters",), config.server),
            ("controller-manager", "system:kube-controller-manager", (), config.server),
            ("scheduler", "system:kube-scheduler", (), config.server),
            ("dns", DNS_USER, (), config.server),
            ("proxy", "system:kube-proxy", (), config.server_for_nodes),
            ("network", NETWORK_USER, (), config.server_for_nodes),
        ]
        for node in config.nodes:
            user = f"system:node:{node.name}"
            clients.append((f"kubelet-{node.name}", user, ("system:nodes",), config.server_for_nodes))
            pki.ensure_kubelet_server(node.name, [node.address])
        if config.simulated_nodes:
            clients.append(("simulated-nodes", "steersman:simulated-nodes", ("system:masters",), config.server))
        for identity, user, groups, server in clients:
            pair = pki.ensure_client(
                identity if not identity.startswith("kubelet-") else f"{identity}-client", user, groups
            )
            document = kubeconfigs.document(
                server=server,
                authority=pki.authority.pair.certificate,
                identity=pair,
                context=config.context,
                user=user,
            )
            kubeconfigs.write(self.layout.kubeconfig(identity), document)

    def _start_supervisor(self) -> None:
        pid = self.supervisor_pid()
        if pid:
            running = self.state().get("programs") or {}
            self._restarts_before = {name: int(entry["restarts"]) for name, entry in running.items()}
            os.kill(pid, signal.SIGHUP)
            return
        self.layout.logs.mkdir(parents=True, exist_ok=True)
        with (self.layout.logs / "supervisor.log").open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "steersman.cli", "supervise", f"--data-dir={self.layout.data}"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.layout.supervisor_pid.write_text(str(process.pid))

    async def _stop_supervisor(self) -> None:
        pid = self.supervisor_pid()
        if not pid:
            return
        os.kill(pid, signal.SIGTERM)
        deadline_s = self._clock.monotonic() + SUPERVISOR_STOP_S
        while self.supervisor_pid() == pid:
            if self._clock.monotonic() > deadline_s:
                os.kill(pid, signal.SIGKILL)
            _reap(pid)
            await self._clock.sleep(POLL_S)
        self.layout.supervisor_pid.unlink(missing_ok=True)

    async def _prepare_nodes(self, config: ClusterConfig) -> None:
        await asyncio.gather(
            *(nodes.ensure_node(config, self.layout, node, clock=self._clock) for node in config.nodes)
        )

    async def _wait_for_api(self, config: ClusterConfig) -> None:
        from steersman.client.transport import Unreachable

        deadline_s = self._clock.monotonic() + self._ready_s
        async with self.admin() as client:
            while True:
                with contextlib.suppress(Unreachable):
                    if (await client.request("GET", "/readyz")).status == 200:
                        return
                self._check_alive("apiserver", deadline_s)
                await self._clock.sleep(POLL_S)

    async def _ensure_addons(self, config: ClusterConfig) -> None:
        from steersman.cluster import addons

        async with self.admin() as client:
            await addons.ensure(client, config)

    async def _wait_for_nodes(self, config: ClusterConfig) -> None:
        from steersman.meta import objects
        from steersman.meta.resources import NODES

        deadline_s = self._clock.monotonic() + self._ready_s
        wanted = {node.name for node in config.nodes}
        async with self.admin() as client:
            while True:
                listed = (await client.list(NODES)).items
                ready = {objects.name(node) for node in listed if objects.is_true(node, "Ready")}
                if wanted <= ready and len(ready) >= self._node_count(config):
                    return
                for name in sorted(wanted - ready):
                    self._check_alive(name if name.startswith("node-") else f"node-{name}", deadline_s)
                self._check_alive("control", deadline_s)
                await self._clock.sleep(POLL_S)

    def _check_alive(self, program: str, deadline_s: float) -> None:
        log = self.layout.logs / f"{program}.log"
        state = (self.state().get("programs") or {}).get(program) or {}
        restarts = int(state.get("restarts") or 0) - self._restarts_before.get(program, 0)
        if restarts >= 3:
            raise ClusterError(f"{program} keeps ending ({state.get('last_exit')}):\n{_tail(log)}\nSee {log}")
        if self._clock.monotonic() > deadline_s:
            raise ClusterError(f"{program} is not ready after {self._ready_s:g} s; see {log}")

    def _remove_network(self, config: ClusterConfig) -> None:
        from steersman.cluster import traces

        traces.remove(config)
        for node in config.nodes:
            machines.remove_machine(config, node)
        machines.remove_network(config)

    def _node_count(self, config: ClusterConfig) -> int:
        return len(config.nodes) + config.simulated_nodes


def _reap(pid: int) -> None:
    """Where the supervisor is our own child, let it go; it is somebody else's as a rule."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _plural(noun: str, count: int) -> str:
    return noun if count == 1 else f"{count} {noun}s"


def _hostname() -> str:
    return socket.gethostname().lower()


def _own_address() -> str:
    """The address by which this machine would reach others; no packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def _tail(path: Path, limit: int = 2000) -> str:
    try:
        return path.read_text(errors="replace")[-limit:]
    except OSError:
        return ""


__all__ = ["ClusterError", "HostError", "LocalCluster", "Progress", "Wanted"]
