"""The API server over TLS: single reads, durable creates, a large list, watch fan-out, start-up.

Budgets (docs/architecture.md): start to /readyz in 0.8 s, 10,000 GETs a second and core, 2,000 durable pod creates a second,
10,000 pods listed in 150 ms without stalling a GET by more than 50 ms, 50,000 deliveries a second to 1,000 watchers.

The server is a process of its own, as users run it; its cost is read from its CPU time, so that the client's is not
counted. Clients speak plain HTTP/1.1 over asyncio's streams.
"""

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
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

READY_TIMEOUT_S = 30.0
LISTED_PODS = 10_000
WATCHERS = 1_000
WATCHED_EVENTS = 50
GETS = 12_000
CREATES = 4_000
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
        at = answered.lower().index(b"content-length:") + 15
        return await self.reader.readexactly(int(answered[at : answered.index(b"\r", at)]))

    def close(self) -> None:
        self.writer.close()


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nhost: s\r\naccept: application/json\r\n\r\n".encode()


def post(path: str, body: bytes) -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nhost: s\r\naccept: application/json\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    ).encode()


def pod(name: str) -> bytes:
    """A pod as a controller makes it, about 3.7 KB when stored."""
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
    obj = {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": "bench", "pod-template-hash": "abc"}},
        "spec": {"containers": [container], "volumes": [{"name": "data", "emptyDir": {}}]},
    }
    return json.dumps(obj, separators=(",", ":")).encode()


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


async def _many(running: Server, connections: int, requests: list[tuple[bytes, bytes]]) -> tuple[float, float]:
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


async def _gets(running: Server, results: dict[str, float]) -> None:
    connection = await running.connect()
    body = pod("one")
    await connection.request(post("/api/v1/namespaces/default/pods", body), body)
    connection.close()
    one = get("/api/v1/namespaces/default/pods/one")
    await _many(running, 8, [(one, b"")] * 1000)
    seconds, cpu_s = await _many(running, 8, [(one, b"")] * GETS)
    results["get/per_second"] = GETS / seconds
    results["get/per_core_second"] = GETS / cpu_s


async def _creates(running: Server, results: dict[str, float], case: str) -> None:
    def requests(prefix: str, count: int) -> list[tuple[bytes, bytes]]:
        bodies = [pod(f"{prefix}-{number}") for number in range(count)]
        return [(post("/api/v1/namespaces/default/pods", body), body) for body in bodies]

    await _many(running, 32, requests("warm", 500))
    seconds, cpu_s = await _many(running, 32, requests("pod", CREATES))
    results[f"create/{case}_per_second"] = CREATES / seconds
    results[f"create/{case}_per_core_second"] = CREATES / cpu_s


async def _lists(running: Server, results: dict[str, float]) -> None:
    have = json.loads(await _once(running, get("/api/v1/pods?limit=1")))["metadata"].get("remainingItemCount", 0) + 1
    bodies = [pod(f"fill-{number}") for number in range(max(LISTED_PODS - have, 0))]
    await _many(running, 32, [(post("/api/v1/namespaces/default/pods", body), body) for body in bodies])
    connection = await running.connect()
    times = []
    for _ in range(5):
        began_s = time.perf_counter()
        body = await connection.request(get("/api/v1/pods"))
        times.append(time.perf_counter() - began_s)
    results["list/ms"] = min(times) * 1000
    results["list/mb"] = len(body) / 1e6
    connection.close()
    results["list/ten_at_once_get_stall_ms"] = await _stall(running) * 1000
    results["list/resident_mb_after"] = running.resident_mb()


async def _stall(running: Server) -> float:
    """The slowest GET while ten lists are sent."""
    lists = [await running.connect() for _ in range(10)]
    single = await running.connect()
    work = [asyncio.ensure_future(_drain(connection)) for connection in lists]
    slowest = 0.0
    while not all(task.done() for task in work):
        began_s = time.perf_counter()
        await single.request(get("/api/v1/namespaces/default/pods/one"))
        slowest = max(slowest, time.perf_counter() - began_s)
    for connection in (*lists, single):
        connection.close()
    return slowest


async def _drain(connection: Connection) -> None:
    """Read a list without making the client busy for long at a time."""
    connection.writer.write(get("/api/v1/pods"))
    head = await connection.reader.readuntil(b"\r\n\r\n")
    at = head.lower().index(b"content-length:") + 15
    left = int(head[at : head.index(b"\r", at)])
    while left > 0:
        left -= len(await connection.reader.read(65536))


async def _once(running: Server, head: bytes, body: bytes = b"") -> bytes:
    connection = await running.connect()
    try:
        return await connection.request(head, body)
    finally:
        connection.close()


class _Watcher(asyncio.Protocol):
    """Counts the events it is sent."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.events = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.WriteTransport", transport).write(get(self._path))

    def data_received(self, data: bytes) -> None:
        self.events += data.count(b'{"type":"')


async def _fan_out(running: Server, results: dict[str, float]) -> None:
    loop = asyncio.get_running_loop()
    version = json.loads(await _once(running, get("/api/v1/namespaces/kube-public/configmaps")))["metadata"]
    path = f"/api/v1/namespaces/kube-public/configmaps?watch=1&resourceVersion={version['resourceVersion']}"
    watchers: list[tuple[asyncio.BaseTransport, _Watcher]] = []
    for _ in range(WATCHERS // 50):
        watchers += await asyncio.gather(
            *(
                loop.create_connection(lambda: _Watcher(path), "127.0.0.1", running.port, ssl=running.tls)
                for _ in range(50)
            )
        )
    data = {"text": "x" * 600}
    connection = await running.connect()

    async def write(name: str) -> None:
        body = json.dumps({"metadata": {"name": name}, "data": data}).encode()
        await connection.request(post("/api/v1/namespaces/kube-public/configmaps", body), body)

    async def until(count: int) -> None:
        async with asyncio.timeout(60):
            while sum(watcher.events for _, watcher in watchers) < count:  # noqa: ASYNC110 - the counters are all there is
                await asyncio.sleep(0.001)

    await write("first")
    await until(WATCHERS)
    cpu_s, began_s = running.cpu_s(), time.perf_counter()
    for number in range(WATCHED_EVENTS):
        await write(f"event-{number}")
    await until(WATCHERS * (WATCHED_EVENTS + 1))
    deliveries = WATCHERS * WATCHED_EVENTS
    results["watch/deliveries_per_second"] = deliveries / (time.perf_counter() - began_s)
    results["watch/deliveries_per_core_second"] = deliveries / (running.cpu_s() - cpu_s)
    results["watch/resident_mb"] = running.resident_mb()
    connection.close()
    for transport, _ in watchers:
        transport.close()


async def _measure() -> dict[str, float]:
    results: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="steersman-bench-", dir=".") as folder:
        directory = Path(folder)
        async with server("memory", directory):
            pass  # Python keeps the compiled modules, as it does once the package is installed
        async with server(f"sqlite:{directory}/store.db", directory) as running:
            results["start/ready_s"] = running.started_s
            results["start/resident_mb"] = running.resident_mb()
            await _gets(running, results)
            await _creates(running, results, "durable")
            await _lists(running, results)
            await _fan_out(running, results)
        async with server(f"sqlite:{directory}/store.db", directory) as running:
            results["restart_with_10k_pods/ready_s"] = running.started_s
    return results


def run() -> dict[str, float]:
    """Results by ``case/metric``."""
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_measure())


if __name__ == "__main__":
    for name, value in run().items():
        print(f"{name:40} {value:12.2f}")
