"""The HTTP transport: what reaches the server, and how its failures come back."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from steersman.aio.clock import FakeClock, SystemClock
from steersman.client.http import TOKEN_REREAD_S, HTTPTransport
from steersman.client.kubeconfig import KubeConfig
from steersman.client.transport import Unreachable
from steersman.cluster.pki import ClusterPKI, ServingHosts
from steersman.meta.wire import Request


class Front:
    """A server that keeps what it was sent."""

    def __init__(self) -> None:
        self.port = 0
        self.seen: list[web.Request] = []

    async def handle(self, request: web.Request) -> web.Response:
        self.seen.append(request)
        answer = web.Response(status=int(request.query.get("status", "200")), text=await request.text())
        answer.set_cookie("session", "kept")
        return answer


@pytest.fixture
async def front() -> AsyncIterator[tuple[Front, Callable[..., HTTPTransport]]]:
    front, made = Front(), list[HTTPTransport]()
    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", front.handle)
    async with TestServer(application) as server:

        def transport(clock: FakeClock | None = None, **config: object) -> HTTPTransport:
            settings = {"server": str(server.make_url("")), **config}
            made.append(HTTPTransport(KubeConfig(**settings), clock=clock))  # type: ignore[arg-type]
            return made[-1]

        front.port = server.port or 0
        yield front, transport
        for each in made:
            await each.close()


Given = tuple[Front, Callable[..., HTTPTransport]]


async def test_each_group_that_is_impersonated_has_a_header_of_its_own(front: Given) -> None:
    server, transport = front
    await transport(impersonate="jane", impersonate_groups=("a, b", "c")).send(Request(method="GET", path="/api"))
    assert server.seen[0].headers["impersonate-user"] == "jane"
    assert server.seen[0].headers.getall("impersonate-group") == ["a, b", "c"]


async def test_a_token_that_rotates_is_read_again(front: Given, tmp_path: Path) -> None:
    server, transport = front
    clock, file = FakeClock(), tmp_path / "token"
    file.write_text("one\n")
    line = transport(clock, token_file=str(file))
    await line.send(Request(method="GET", path="/"))
    file.write_text("two\n")
    await line.send(Request(method="GET", path="/"))
    await clock.advance(TOKEN_REREAD_S)
    await line.send(Request(method="GET", path="/"))
    assert [request.headers["authorization"] for request in server.seen] == ["Bearer one", "Bearer one", "Bearer two"]


async def test_values_and_queries_go_over_the_wire(front: Given) -> None:
    server, transport = front
    request = Request(method="POST", path="/a b", query={"x": ["1", "&"]}, content={"a": 1})
    response = await transport().send(request)
    assert response.body == b'{"a":1}'
    assert (server.seen[0].path, server.seen[0].query.getall("x")) == ("/a b", ["1", "&"])


async def test_a_failure_has_its_body_also_where_a_stream_was_wanted(front: Given) -> None:
    response = await front[1]().open(Request(method="POST", path="/", query={"status": ["410"]}, body=b"gone"))
    assert (response.status, response.body, response.stream) == (410, b"gone", None)


async def test_a_server_that_is_not_there_is_unreachable() -> None:
    line = HTTPTransport(KubeConfig(server="http://127.0.0.1:1"))
    with pytest.raises(Unreachable, match=r"GET http://127.0.0.1:1/api"):
        await line.send(Request(method="GET", path="/api"))
    await line.close()


async def test_no_compression_is_asked_for(front: Given) -> None:
    server, transport = front
    await transport().send(Request(method="GET", path="/"))
    stream = (await transport().open(Request(method="GET", path="/"))).stream
    assert stream is not None
    assert b"".join([chunk async for chunk in stream]) == b""
    assert [request.headers["accept-encoding"] for request in server.seen] == ["identity", "identity"]


async def test_cookies_of_a_server_are_not_sent_back(front: Given) -> None:
    server, transport = front
    line = transport(server=f"http://localhost:{server.port}")
    for _ in range(2):
        await line.send(Request(method="GET", path="/"))
    assert ["cookie" in request.headers for request in server.seen] == [False, False]


async def test_a_server_that_does_not_answer_is_unreachable() -> None:
    hung_up = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert (await reader.readuntil(b"\r\n")) == b"GET /api HTTP/1.1\r\n"
        await reader.read()
        writer.close()
        await writer.wait_closed()
        hung_up.set()

    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    line = HTTPTransport(KubeConfig(server=f"http://127.0.0.1:{port}"), request_timeout_s=0.05)
    try:
        with pytest.raises(Unreachable, match=r"GET http://127.0.0.1:\d+/api: no answer within 0.05 s"):
            await line.send(Request(method="GET", path="/api"))
        async with asyncio.timeout(10):
            await hung_up.wait()
    finally:
        await line.close()
        silent.close()


@pytest.mark.parametrize(("server_name", "is_trusted"), [("", True), ("kubernetes", True), ("other.example", False)])
async def test_the_server_must_be_who_the_kubeconfig_says(tmp_path: Path, server_name: str, is_trusted: bool) -> None:
    pki = ClusterPKI(tmp_path, clock=SystemClock())
    pki.ensure_api_server(ServingHosts((), "cluster.local"))
    pair = pki.pair("apiserver")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(pair.certificate, pair.key)
    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", Front().handle)
    server = TestServer(application, scheme="https")
    await server.start_server(ssl=tls)
    config = KubeConfig(
        server=f"https://127.0.0.1:{server.port}", ca_pem=pki.authority.pair.certificate.read_bytes(),
        tls_server_name=server_name,
    )  # fmt: skip
    line = HTTPTransport(config)
    try:
        if is_trusted:
            assert (await line.send(Request(method="GET", path="/"))).status == 200
        else:
            with pytest.raises(Unreachable, match="CERTIFICATE_VERIFY_FAILED"):
                await line.send(Request(method="GET", path="/"))
    finally:
        await line.close()
        await server.close()


async def test_a_server_below_a_path_is_asked_there_and_escapes_stay_as_they_are(front: Given) -> None:
    server, transport = front
    below = transport(server=f"http://127.0.0.1:{server.port}/clusters/a")
    await below.send(Request(method="GET", path="/api/v1/pods", query={"labelSelector": ["a=b,c"]}))
    await below.send(Request(method="GET", path="/api/a b/c", raw_path="/api/a%20b%2Fc"))
    assert [request.raw_path for request in server.seen] == [
        "/clusters/a/api/v1/pods?labelSelector=a%3Db%2Cc", "/clusters/a/api/a%20b%2Fc",
    ]  # fmt: skip


async def test_a_header_of_an_answer_is_found_by_its_lower_case_name(front: Given) -> None:
    _, transport = front
    answer = await transport().send(Request(method="GET", path="/api"))
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers.get("x-other") is None
