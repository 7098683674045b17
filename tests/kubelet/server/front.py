"""As much of an API server as kubectl needs to reach a kubelet: one pod, and its subresources handed on as raw bytes."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from tests.kubelet.server.conftest import Running
from tests.kubelet.server.loopback import GOOD_TOKEN, POD

PODS: Final = "/api/v1/namespaces/default/pods/"
RESOURCES: Final = [
    {
        "name": "pods",
        "singularName": "pod",
        "namespaced": True,
        "kind": "Pod",
        "shortNames": ["po"],
        "verbs": ["get", "list"],
    }
]
DOCUMENTS: Final[dict[str, Any]] = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
    "/api/v1": {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "v1", "resources": RESOURCES},
    f"{PODS}web": POD,
}
QUERY: Final = {"stdin": "input", "stdout": "output", "stderr": "error"}
"""The kubelet's names for what kubectl asks of the API server."""


@asynccontextmanager
async def front(running: Running) -> AsyncIterator[str]:
    """The address of a plain HTTP server in front of the kubelet under test."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                method, target, _ = head.split("\r\n", 1)[0].split(" ")
                path = urlsplit(target).path
                if path in DOCUMENTS or not path.startswith(PODS):
                    _answer(writer, DOCUMENTS.get(path))
                    continue
                await _hand_on(running, reader, writer, head, method, target)
                return
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def _answer(writer: asyncio.StreamWriter, document: Any) -> None:
    status = "200 OK" if document is not None else "404 Not Found"
    body = json.dumps(
        document if document is not None else {"kind": "Status", "status": "Failure", "code": 404}
    ).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)


async def _hand_on(
    running: Running, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: str, method: str, target: str
) -> None:
    parts = urlsplit(target)
    name, subresource = parts.path.removeprefix(PODS).split("/")
    query = [(QUERY.get(key, key), "1" if value == "true" else value) for key, value in parse_qsl(parts.query)]
    container = next((value for key, value in query if key == "container"), "main")
    inner = {
        "exec": f"/exec/default/{name}/{container}",
        "attach": f"/attach/default/{name}/{container}",
        "log": f"/containerLogs/default/{name}/{container}",
        "portforward": f"/portForward/default/{name}",
    }[subresource]
    kubelet_reader, kubelet = await asyncio.open_connection("127.0.0.1", running.server.port, ssl=running.tls())
    lines = [line for line in head.split("\r\n")[1:] if line and not line.lower().startswith("authorization:")]
    start = f"{method} {inner}?{urlencode([pair for pair in query if pair[0] != 'container'])} HTTP/1.1"
    kubelet.write("\r\n".join([start, *lines, f"Authorization: Bearer {GOOD_TOKEN}"]).encode() + b"\r\n\r\n")
    await asyncio.gather(_copy(reader, kubelet), _copy(kubelet_reader, writer))


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
    target.close()
