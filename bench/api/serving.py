"""An API server as a process of its own, as users run it, and connections to it over TLS."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

READY_TIMEOUT_S = 30.0
_TICKS = os.sysconf("SC_CLK_TCK")


def _certificate(directory: Path, name: str, issuer: tuple[x509.Name, ec.EllipticCurvePrivateKey] | None, *groups: str):  # type: ignore[no-untyped-def]
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        + [x509.NameAttribute(NameOID.COMMON_NAME, name)]
    )
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0] if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
    )
    signed = builder.sign(issuer[1] if issuer else key, hashes.SHA256())
    (directory / f"{name}.crt").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    (directory / f"{name}.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return subject, key


@dataclass
class Server:
    """A running API server."""

    pid: int
    port: int
    tls: ssl.SSLContext
    started_s: float
    """From the start of the process to the first /readyz that succeeds."""

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def resident_mb(self) -> float:
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

    async def connect(self) -> Connection:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=self.tls, limit=2**20)
        return Connection(reader, writer)


@dataclass
class Connection:
    """One connection that is kept."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def request(self, head: bytes, body: bytes = b"") -> bytes:
        """The body of the answer; it must have a length."""
        self.writer.write(head + body)
        answered = await self.reader.readuntil(b"\r\n\r\n")
        if answered[9:10] not in b"12":
            raise RuntimeError(f"{head[:80]!r} was answered {answered!r}")
        at = answered.lower().index(b"content-length:") + 15
        return await self.reader.readexactly(int(answered[at : answered.index(b"\r", at)]))

    def close(self) -> None:
        self.writer.close()


JSON = "application/json"
PROTOBUF = "application/vnd.kubernetes.protobuf"
PODS = "/api/v1/namespaces/default/pods"


def get(path: str, *, accept: str = JSON, more: str = "") -> bytes:
    """``more``: further header lines, each with its end."""
    return f"GET {path} HTTP/1.1\r\nhost: s\r\naccept: {accept}\r\n{more}\r\n".encode()


def sending(
    method: str, path: str, body: bytes, *, content_type: str = JSON, accept: str = JSON
) -> tuple[bytes, bytes]:
    """(head, body) of a request with a body."""
    head = (
        f"{method} {path} HTTP/1.1\r\nhost: s\r\naccept: {accept}\r\ncontent-type: {content_type}\r\n"
        f"user-agent: bench/1\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode(), body


def creating(path: str, body: bytes) -> tuple[bytes, bytes]:
    return sending("POST", path, body)


def encoded(obj: Any) -> bytes:
    return json.dumps(obj, separators=(",", ":")).encode()


def pod(name: str) -> dict[str, Any]:
    """A pod as a controller makes it, with 24 variables: about 6 KB when stored."""
    container = {
        "name": "main",
        "image": "registry.example/team/app:v1.2.3",
        "command": ["/bin/app", "--serve"],
        "env": [{"name": f"VARIABLE_{number}", "value": "some value " * 4} for number in range(24)],
        "ports": [{"containerPort": 8080, "name": "http", "protocol": "TCP"}],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
        "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": "bench", "pod-template-hash": "abc"}},
        "spec": {"containers": [container], "volumes": [{"name": "data", "emptyDir": {}}]},
    }


def small_pod(name: str) -> dict[str, Any]:
    """One container and nothing else: about 2 KB when stored."""
    spec = {"containers": [{"name": "main", "image": "registry.example/team/app:v1.2.3"}]}
    metadata = {"name": name, "namespace": "default", "labels": {"app": "bench"}}
    return {"kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": spec}


@asynccontextmanager
async def server(store: str, directory: Path) -> AsyncIterator[Server]:
    """An API server process on ``store``; ``directory`` holds its certificates."""
    if not (directory / "ca.crt").exists():
        authority = _certificate(directory, "ca", None)
        _certificate(directory, "server", authority)
        _certificate(directory, "admin", authority, "system:masters")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable, "-m", "steersman.cli", "apiserver", f"--store={store}", "--bind-address=127.0.0.1",
        f"--secure-port={port}", "--advertise-address=127.0.0.1", f"--client-ca-file={directory}/ca.crt",
        f"--tls-cert-file={directory}/server.crt", f"--tls-private-key-file={directory}/server.key",
        "--authorization-mode=Node,RBAC", "--disable-admission-plugins=ServiceAccount",
    ]  # fmt: skip
    tls = ssl.create_default_context(cafile=str(directory / "ca.crt"))
    tls.load_cert_chain(directory / "admin.crt", directory / "admin.key")
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(directory / "pycache")
    began_s = time.perf_counter()
    process = subprocess.Popen(  # noqa: ASYNC220 - nothing else runs yet
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment
    )
    running = Server(process.pid, port, tls, 0.0)
    try:
        await _ready(running, process, began_s)
        running.started_s = time.perf_counter() - began_s
        yield running
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


async def _ready(running: Server, process: subprocess.Popen[bytes], began_s: float) -> None:
    while time.perf_counter() - began_s < READY_TIMEOUT_S:
        if process.poll() is not None:
            raise RuntimeError(f"the API server ended: {process.stderr.read().decode() if process.stderr else ''}")
        try:
            connection = await running.connect()
            body = await connection.request(get("/readyz"))
            connection.close()
            if body == b"ok":
                return
        except (OSError, asyncio.IncompleteReadError):
            pass
        await asyncio.sleep(0.005)
    raise TimeoutError("the API server did not become ready")


async def many(running: Server, connections: int, requests: list[tuple[bytes, bytes]]) -> tuple[float, float]:
    """(seconds, seconds of the server's CPU) for all requests over some connections."""
    opened = [await running.connect() for _ in range(connections)]
    pending = iter(requests)

    async def work(connection: Connection) -> None:
        for head, body in pending:
            await connection.request(head, body)

    cpu_s, began_s = running.cpu_s(), time.perf_counter()
    await asyncio.gather(*(work(connection) for connection in opened))
    took = time.perf_counter() - began_s, running.cpu_s() - cpu_s
    for connection in opened:
        connection.close()
    return took


async def once(running: Server, head: bytes, body: bytes = b"") -> bytes:
    """The body of one answer, over a connection of its own."""
    connection = await running.connect()
    try:
        return await connection.request(head, body)
    finally:
        connection.close()


async def drain(running: Server, head: bytes) -> int:
    """Read one answer without keeping the client busy with it; its size in bytes."""
    loop = asyncio.get_running_loop()
    transport, sink = await loop.create_connection(lambda: _Sink(head), "127.0.0.1", running.port, ssl=running.tls)
    try:
        return await sink.ended
    finally:
        transport.close()


class _Sink(asyncio.Protocol):
    """Counts the bytes of one answer, which has a length or is chunked."""

    def __init__(self, head: bytes) -> None:
        self._head = head
        self._wanted: int | None = None
        self._received = 0
        self._last = b""
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.WriteTransport", transport).write(self._head)

    def data_received(self, data: bytes) -> None:
        if not self._received:
            end = data.index(b"\r\n\r\n") + 4
            at = data[:end].lower().find(b"content-length:") + 15
            self._wanted = end + int(data[at : data.index(b"\r", at)]) if at >= 15 else None
        self._received += len(data)
        self._last = (self._last + data[-5:])[-5:]
        is_whole = self._last == b"0\r\n\r\n" if self._wanted is None else self._received >= self._wanted
        if is_whole and not self.ended.done():
            self.ended.set_result(self._received)
