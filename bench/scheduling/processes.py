"""The processes that are measured: an API server and a scheduler, each Steersman's or upstream's, over TLS on loopback."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.scheduling.load import Access
from steersman.aio.clock import SystemClock
from steersman.cluster import kubeconfigs
from steersman.cluster.pki import ClusterPKI, ServingHosts

READY_TIMEOUT_S = 60.0
_DISABLED = "ServiceAccount,TaintNodesByCondition,Priority"
"""Admission plugins that scheduler_perf switches off: there are no controllers, and pods state their priorities."""
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """What to run: ``steersman`` or a path of upstream's binary."""

    apiserver: str = "steersman"
    scheduler: str = "steersman"
    etcd: str = ""
    """For upstream's kube-apiserver, which has no store of its own."""
    store: str = "sqlite"


@dataclass(slots=True)
class Process:
    """One process, with what it has used."""

    popen: subprocess.Popen[bytes]
    log: Path

    @property
    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.popen.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    @property
    def peak_mb(self) -> float:
        """Largest resident set so far."""
        for line in Path(f"/proc/{self.popen.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1000
        raise ValueError("no VmHWM")

    def check(self) -> None:
        """Raises ``RuntimeError`` with the end of its log where the process has ended."""
        if self.popen.poll() is not None:
            raise RuntimeError(f"{self.popen.args!r} ended: {self.log.read_text(errors='replace')[-2000:]}")

    def stop(self) -> None:
        self.popen.send_signal(signal.SIGTERM)
        try:
            self.popen.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()


@dataclass(slots=True)
class Stack:
    """An API server and what belongs to it."""

    directory: Path
    programs: Programs
    access: Access
    kubeconfig: Path
    running: dict[str, Process] = field(default_factory=dict)

    def start(self, name: str, command: Sequence[str]) -> Process:
        log = self.directory / f"{name}.log"
        environment = dict(os.environ)
        with log.open("wb") as output:
            popen = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
        process = self.running[name] = Process(popen, log)
        return process

    def start_scheduler(self, name: str = "scheduler", extra: Sequence[str] = ("--leader-elect=false",)) -> Process:
        command = (
            [sys.executable, "-m", "steersman.cli", "scheduler"]
            if self.programs.scheduler == "steersman"
            else [self.programs.scheduler, "--kube-api-qps=5000", "--kube-api-burst=5000", "--secure-port=0"]
        )
        return self.start(name, [*command, f"--kubeconfig={self.kubeconfig}", *extra])


@contextlib.contextmanager
def stack(programs: Programs) -> Iterator[Stack]:
    """A fresh API server, ready; everything that was started is stopped with it."""
    with tempfile.TemporaryDirectory(prefix="steersman-bench-") as name:
        directory = Path(name)
        pki = ClusterPKI(directory / "pki", clock=SystemClock())
        pki.ensure_api_server(ServingHosts((), "cluster.local"))
        admin = pki.ensure_client("admin", "kubernetes-admin", ("system:masters",))
        port = _free_port()
        access = Access(
            port=port,
            authority=str(pki.authority.pair.certificate),
            certificate=str(admin.certificate),
            key=str(admin.key),
        )
        kubeconfig = directory / "scheduler.kubeconfig"
        identity = pki.ensure_client("scheduler", "system:kube-scheduler")
        document = kubeconfigs.document(
            server=f"https://127.0.0.1:{port}", authority=pki.authority.pair.certificate, identity=identity,
            context="bench", user="scheduler",
        )  # fmt: skip
        kubeconfigs.write(kubeconfig, document)
        made = Stack(directory, programs, access, kubeconfig)
        try:
            _start_api_server(made, pki)
            yield made
        finally:
            for process in reversed(made.running.values()):
                process.stop()


def _start_api_server(made: Stack, pki: ClusterPKI) -> None:
    serving = pki.pair("apiserver")
    flags = [
        "--bind-address=127.0.0.1", f"--secure-port={made.access.port}", "--advertise-address=127.0.0.1",
        f"--client-ca-file={made.access.authority}", f"--tls-cert-file={serving.certificate}",
        f"--tls-private-key-file={serving.key}", "--authorization-mode=RBAC",
        f"--disable-admission-plugins={_DISABLED}", f"--service-account-key-file={pki.token_public_key}",
        f"--service-account-signing-key-file={pki.token_key}", "--service-cluster-ip-range=10.96.0.0/16",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
    ]  # fmt: skip
    if made.programs.apiserver == "steersman":
        place = f"{made.directory}/state.db"
        store = f"sqlite:{place}" if made.programs.store == "sqlite" else made.programs.store
        process = made.start(
            "apiserver", [sys.executable, "-m", "steersman.cli", "apiserver", f"--store={store}", *flags]
        )
    else:
        client, peer = _free_port(), _free_port()
        urls = [f"--listen-client-urls=http://127.0.0.1:{client}", f"--advertise-client-urls=http://127.0.0.1:{client}",
                f"--listen-peer-urls=http://127.0.0.1:{peer}", f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
                f"--initial-cluster=default=http://127.0.0.1:{peer}"]  # fmt: skip
        watching = "--experimental-watch-progress-notify-interval=1s"  # kube-apiserver's watch cache waits for it
        made.start("etcd", [made.programs.etcd, f"--data-dir={made.directory}/etcd", watching, *urls])
        process = made.start(
            "apiserver", [made.programs.apiserver, f"--etcd-servers=http://127.0.0.1:{client}", *flags]
        )
    deadline_s = time.monotonic() + READY_TIMEOUT_S
    while True:
        process.check()
        with contextlib.suppress(OSError, RuntimeError):
            connection = made.access.connect()
            connection.request("GET", "/readyz")
            connection.close()
            return
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"not ready: {process.log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
