"""A client process: makes objects over several TLS connections, one request at a time on each.

    python -m bench.scheduling.load < JOB

JOB is one JSON document (see ``Job``). The process connects, prints ``ready``, waits for one more line, sends, and prints a
JSON object of name to the time at which its request was sent (``time.monotonic``, which all processes of a machine
share). Requests are plain HTTP/1.1 on blocking sockets, so that clients cost the machine little.
"""

from __future__ import annotations

import json
import socket
import ssl
import sys
import threading
import time
from typing import Any

import msgspec
from msgspec import Struct


class Access(Struct, frozen=True, kw_only=True):
    """How to reach an API server."""

    port: int
    authority: str
    certificate: str
    key: str

    def connect(self) -> Connection:
        context = ssl.create_default_context(cafile=self.authority)
        context.load_cert_chain(self.certificate, self.key)
        plain = socket.create_connection(("127.0.0.1", self.port))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return Connection(context.wrap_socket(plain, server_hostname="127.0.0.1"))


class Job(Struct, frozen=True, kw_only=True):
    """Objects ``start`` to ``stop`` of ``template``, named ``prefix-<number>``, posted to ``path``."""

    access: Access
    path: str
    template: dict[str, Any]
    prefix: str
    start: int
    stop: int
    connections: int

    def encoded(self) -> bytes:
        return msgspec.json.encode(self) + b"\n"

    @classmethod
    def decoded(cls, line: bytes | str) -> Job:
        return msgspec.json.decode(line, type=cls)


class Connection:
    """One keep-alive connection."""

    def __init__(self, raw: ssl.SSLSocket) -> None:
        self._raw = raw
        self._buffer = b""

    def request(self, method: str, path: str, body: bytes = b"", content_type: str = "application/json") -> bytes:
        """The body of the answer. Raises ``RuntimeError`` for a status of 400 and more."""
        head = f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: application/json\r\n"
        if body:
            head += f"content-type: {content_type}\r\ncontent-length: {len(body)}\r\n"
        self._raw.sendall(head.encode() + b"\r\n" + body)
        status, length = self._head()
        answer = self._chunks() if length is None else self._exactly(length)
        if status >= 400:
            raise RuntimeError(f"{method} {path}: {status} {answer.decode(errors='replace')[:500]}")
        return answer

    def lines(self, path: str) -> Any:
        """The lines of a streamed answer (a watch), until it ends."""
        self._raw.sendall(f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: application/json\r\n\r\n".encode())
        status, _ = self._head()
        if status >= 400:
            raise RuntimeError(f"GET {path}: {status}")
        rest = b""
        while chunk := self._chunk():
            *whole, rest = (rest + chunk).split(b"\n")
            yield from whole

    def close(self) -> None:
        self._raw.close()

    def _head(self) -> tuple[int, int | None]:
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            self._more()
        lines = self._buffer[:end].split(b"\r\n")
        self._buffer = self._buffer[end + 4 :]
        length = None
        for line in lines[1:]:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        return int(lines[0].split(b" ")[1]), length

    def _exactly(self, length: int) -> bytes:
        while len(self._buffer) < length:
            self._more()
        answer, self._buffer = self._buffer[:length], self._buffer[length:]
        return answer

    def _chunks(self) -> bytes:
        parts = []
        while part := self._chunk():
            parts.append(part)
        return b"".join(parts)

    def _chunk(self) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            self._more()
        length = int(self._buffer[:end].split(b";")[0], 16)
        self._buffer = self._buffer[end + 2 :]
        return self._exactly(length + 2)[:length]

    def _more(self) -> None:
        data = self._raw.recv(1 << 18)
        if not data:
            raise ConnectionError("the server closed the connection")
        self._buffer += data


def _send(job: Job, connection: Connection, numbers: range, sent: dict[str, float], failures: list[str]) -> None:
    """Every object of ``numbers``, in the byte form of the template with its name put in."""
    marker = "NAME-OF-THE-OBJECT"
    template = {**job.template, "metadata": {**job.template["metadata"], "name": marker}}
    before, after = json.dumps(template, separators=(",", ":")).encode().split(marker.encode())
    try:
        for number in numbers:
            name = f"{job.prefix}-{number}"
            body = before + name.encode() + after
            began_s = time.monotonic()
            connection.request("POST", job.path, body)
            sent[name] = began_s
    except (RuntimeError, OSError) as error:
        failures.append(str(error))


def main() -> int:
    job = Job.decoded(sys.stdin.readline())
    connections = [job.access.connect() for _ in range(job.connections)]
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    sent: dict[str, float] = {}
    failures: list[str] = []
    threads = [
        threading.Thread(
            target=_send, args=(job, connection, range(job.start + index, job.stop, job.connections), sent, failures)
        )
        for index, connection in enumerate(connections)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        sys.stderr.write("\n".join(failures) + "\n")
        return 1
    sys.stdout.write(json.dumps(sent) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
