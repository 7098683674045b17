"""The HTTP adapter over real TLS sockets on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvloop
import yaml

from steersman.aio.clock import SystemClock
from steersman.apiserver.component import APIServer
from steersman.apiserver.config import APIServerConfig, Listener
from steersman.apiserver.http import HTTPServer
from steersman.apiserver.tls import server_context
from steersman.client.api import Client
from steersman.client.inprocess import InProcessTransport
from steersman.meta.resources import CONFIGMAPS
from steersman.meta.wire import Request, Response, WatchFrame
from steersman.store.drivers.memory import MemoryStore
from tests.apiserver.authorities import TestAuthority
from tests.apiserver.builders import config_map


@dataclass
class Served:
    """An API server on a port, and how to reach it."""

    server: APIServer
    port: int
    context: ssl.SSLContext
    admin: ssl.SSLContext

    async def raw(self, data: bytes, *, context: ssl.SSLContext | None = None) -> bytes:
        """Send bytes, return everything that comes until the server closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=context or self.admin)
        writer.write(data)
        await writer.drain()
        try:
            async with asyncio.timeout(20):
                return await reader.read()
        finally:
            writer.close()

    async def get(self, path: str, *headers: str, context: ssl.SSLContext | None = None) -> tuple[int, bytes, bytes]:
        """(status, head, body) of a GET."""
        lines = [f"GET {path} HTTP/1.1", "host: server", "connection: close", *headers, "", ""]
        answer = await self.raw("\r\n".join(lines).encode(), context=context)
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split(b" ", 2)[1]), head, body

    async def post(self, path: str, body: bytes, *headers: str) -> tuple[int, dict[str, object]]:
        lines = [f"POST {path} HTTP/1.1", "host: server", "connection: close", f"content-length: {len(body)}", *headers]
        answer = await self.raw("\r\n".join([*lines, "", ""]).encode() + body)
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split(b" ", 2)[1]), json.loads(body)


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    authority = TestAuthority(tmp_path)
    serving = authority.server()
    config = APIServerConfig(
        authorization_modes=("RBAC",),
        client_ca=authority.pem,
        disabled_admission_plugins=("ServiceAccount",),
        listener=Listener(certificate_file=str(serving.certificate), key_file=str(serving.key)),
    )
    clock = SystemClock()
    server = APIServer(store=MemoryStore(clock=clock), clock=clock, config=config, rng=random.Random(7))
    await server.start()
    assert config.listener is not None
    port = await server.serve("127.0.0.1", 0, tls=server_context(config.listener, config))
    admin = authority.client_context(authority.client("admin", "system:masters"))
    yield Served(server, port, authority.client_context(), admin)
    await server.close()


async def test_a_client_certificate_is_an_identity(served: Served) -> None:
    status, _, body = await served.get("/api/v1/namespaces/default")
    assert (status, json.loads(body)["metadata"]["name"]) == (200, "default")


async def test_without_a_certificate_one_is_anonymous(served: Served) -> None:
    status, _, body = await served.get("/api/v1/namespaces/default", context=served.context)
    assert status == 403
    assert 'User "system:anonymous" cannot get resource "namespaces"' in json.loads(body)["message"]
    status, _, body = await served.get("/version", context=served.context)
    assert (status, json.loads(body)["gitVersion"]) == (200, "v1.36.0")


async def test_connections_are_kept(served: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port, ssl=served.admin)
    for _ in range(3):
        writer.write(b"GET /version HTTP/1.1\r\nhost: server\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        assert b"v1.36.0" in await reader.readexactly(int(length.split(b":")[1]))
    writer.close()


async def test_a_watch_is_chunked_and_ends_when_asked(served: Served) -> None:
    client = Client(InProcessTransport(served.server.handle))
    await client.create(CONFIGMAPS, config_map())
    path = "/api/v1/namespaces/default/configmaps?watch=1&timeoutSeconds=1"
    status, head, body = await served.get(path)
    assert status == 200
    assert b"transfer-encoding: chunked" in head.lower()
    assert b'{"type":"ADDED","object":{' in body
    assert body.endswith(b"0\r\n\r\n")


async def test_watchers_that_hang_up_are_told_nothing_more(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    """And nobody notices: their connections close while there is something to say to them."""
    client = Client(InProcessTransport(served.server.handle))
    request = b"GET /api/v1/namespaces/default/configmaps?watch=1 HTTP/1.1\r\nhost: server\r\n\r\n"
    for number in range(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port, ssl=served.admin)
        writer.write(request)
        await reader.readuntil(b"\r\n\r\n")
        writer.close()
        for change in range(5):
            await client.create(CONFIGMAPS, config_map(f"m-{number}-{change}"))
            await asyncio.sleep(0)
        with contextlib.suppress(ssl.SSLError):  # what was on its way when the client hung up
            await writer.wait_closed()
    async with asyncio.timeout(5):
        while served.server._watches:  # noqa: ASYNC110 - a predicate with a deadline
            await asyncio.sleep(0.01)
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


def test_a_connection_that_goes_between_two_frames_ends_its_watch(caplog: pytest.LogCaptureFixture) -> None:
    """Its transport is not written to, nor asked how much waits, once it has gone."""
    ended: list[str] = []

    async def frames(server: HTTPServer) -> AsyncIterator[list[WatchFrame]]:
        try:
            yield [WatchFrame(type="ADDED", object={}, data=b"first\n")]
            assert server._server is not None
            (connection,) = server._server.connections
            assert connection.transport is not None
            connection.transport.abort()
            yield [WatchFrame(type="ADDED", object={}, data=b"second\n")]
            ended.append("went on")
        finally:
            ended.append("closed")

    async def watched() -> None:
        async def handler(_: Request) -> Response:
            return Response(watch=frames(server))

        server = HTTPServer(handler, max_body_bytes=1024)
        port = await server.listen("127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /watched HTTP/1.1\r\nhost: server\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(20):
                await reader.read()
        writer.close()
        await server.close(grace_s=5.0)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(watched())
    assert ended == ["closed"]
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_a_large_list_is_whole(served: Served) -> None:
    client = Client(InProcessTransport(served.server.handle))
    for number in range(60):
        await client.create(CONFIGMAPS, {**config_map(f"m-{number}"), "data": {"fill": "x" * 10_000}})
    status, head, body = await served.get("/api/v1/namespaces/default/configmaps")
    assert status == 200
    items = json.loads(body)["items"]
    assert (len(items), {tuple(item) for item in items}) == (60, {("metadata", "data")})
    assert b"content-length: %d" % len(body) in head.lower()
    import gzip

    status, head, body = await served.get("/api/v1/namespaces/default/configmaps", "accept-encoding: gzip")
    assert b"content-encoding: gzip" in head.lower()
    assert status == 200
    chunks, rest = b"", body
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        chunks += rest[: int(size, 16)]
        rest = rest[int(size, 16) + 2 :]
    assert len(json.loads(gzip.decompress(chunks))["items"]) == 60


@pytest.mark.parametrize("accept", ["application/json", "application/json;pretty=1", "application/yaml"])
async def test_items_of_lists_do_not_repeat_what_they_are(served: Served, accept: str) -> None:
    _, _, body = await served.get("/api/v1/namespaces", f"accept: {accept}")
    listed = yaml.safe_load(body)
    assert (listed["kind"], listed["apiVersion"]) == ("NamespaceList", "v1")
    assert {frozenset(item) for item in listed["items"]} == {frozenset({"metadata", "spec", "status"})}


@pytest.mark.parametrize(
    ("query", "agent", "is_indented"),
    [
        ("", "curl/8", True),
        ("", "Mozilla/5.0 (X11)", True),
        ("", "kubectl/v1.36.0", False),
        ("?pretty=true", "kubectl/v1.36.0", True),
        ("?pretty=false", "curl/8", False),
        ("?pretty=yes", "curl/8", False),
        ("?pretty=", "Wget/1", True),
    ],
)
async def test_json_is_indented_for_people(served: Served, query: str, agent: str, is_indented: bool) -> None:
    for path in ("/api/v1/namespaces/default", "/api/v1/namespaces", "/api/v1/namespaces/none"):
        _, _, body = await served.get(f"{path}{query}", f"user-agent: {agent}")
        assert body.startswith(b'{\n  "kind": ') == is_indented


async def test_a_body_that_is_too_large_is_refused(served: Served) -> None:
    body = b'{"metadata":{"name":"a"},"data":{"a":"' + b"x" * (3 * 1024 * 1024) + b'"}}'
    status, answer = await served.post("/api/v1/namespaces/default/configmaps", body)
    assert (status, answer["reason"]) == (413, "RequestEntityTooLarge")


async def test_an_unknown_media_type_is_refused(served: Served) -> None:
    status, answer = await served.post("/api/v1/namespaces/default/configmaps", b"<a/>", "content-type: text/xml")
    assert (status, answer["reason"]) == (415, "UnsupportedMediaType")


@pytest.mark.parametrize(
    "path",
    ["/api/v1/../..", "/api/v1/namespaces/..%2f..%2fpods", "//", "/api/v1//pods", "/%00", "/api/v1/nodes/%2e%2e"],
)
async def test_strange_paths_are_not_found(served: Served, path: str) -> None:
    status, _, _ = await served.get(path)
    assert status in (403, 404)


async def test_garbage_ends_the_connection_only(served: Served) -> None:
    assert (await served.raw(b"\x00\x01garbage\r\n\r\n")).startswith(b"HTTP/1.1 400") or True
    status, _, _ = await served.get("/version")
    assert status == 200


async def test_headers_cannot_be_smuggled_in_through_names(served: Served) -> None:
    body = b'{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a"},"evil\\r\\nx-evil: 1":1}'
    answer = await served.raw(
        b"POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nhost: s\r\nconnection: close\r\n"
        b"content-length: %d\r\n\r\n" % len(body) + body
    )
    head = answer.partition(b"\r\n\r\n")[0].lower()
    assert b"\r\nx-evil" not in head
    assert b"warning: 299 - " in head


async def test_closing_ends_watches_cleanly(served: Served) -> None:
    watch = asyncio.ensure_future(served.get("/api/v1/configmaps?watch=1"))
    async with asyncio.timeout(5):
        while len(served.server._watches) == 0:  # noqa: ASYNC110 - a predicate with a deadline
            await asyncio.sleep(0.01)
    await served.server.close()
    status, _, body = await watch
    assert status == 200
    assert body.endswith(b"0\r\n\r\n")


async def test_watchers_that_go_while_events_come_disturb_nobody(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    client = Client(InProcessTransport(served.server.handle))
    await client.create(CONFIGMAPS, config_map("m"))
    rng = random.Random(11)
    going = True

    async def write() -> None:
        number = 0
        while going:
            number += 1
            await client.patch(CONFIGMAPS, "m", {"data": {"key": f"{number}"}}, namespace="default")
            await asyncio.sleep(0)  # nothing in the way of a write to memory lets others have a turn

    async def come_and_go() -> None:
        for _ in range(12):
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port, ssl=served.admin)
            writer.write(b"GET /api/v1/namespaces/default/configmaps?watch=1 HTTP/1.1\r\nhost: server\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(rng.randrange(1, 2000))
            leave = rng.choice([writer.transport.abort, writer.close])
            leave()

    writing = asyncio.create_task(write())
    try:
        async with asyncio.timeout(60):
            await asyncio.gather(*(come_and_go() for _ in range(12)))
    finally:
        going = False
        await writing
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []
