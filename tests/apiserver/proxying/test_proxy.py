"""Requests through ``pods/proxy`` to a server on loopback; where names lead is shown by ``test_locations.py``."""

from __future__ import annotations

import asyncio
import gzip
import random
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from msgspec import Struct, field
from msgspec.structs import replace

from steersman.aio.clock import SystemClock
from steersman.apiserver.api import API
from steersman.apiserver.call import Call
from steersman.apiserver.component import APIServer
from steersman.apiserver.config import APIServerConfig, Listener
from steersman.apiserver.endpoints.proxy import proxying
from steersman.apiserver.plugins import Plugins, Surroundings, assemble
from steersman.apiserver.proxying.backend import Target
from steersman.apiserver.tls import server_context
from steersman.store.drivers.memory import MemoryStore
from tests.apiserver.authorities import TestAuthority

PATH = "/api/v1/namespaces/default/pods/web/proxy"


class Backend(Struct):
    """What a pod was asked."""

    port: int = 0
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.asked.append((request.method, request.raw_path, headers))
        if request.headers.get("upgrade"):
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            async for message in socket:
                await socket.send_str(f"echo {message.data}")
            return socket
        encoding = request.query.get("encoding", "")
        if request.path == "/page":
            page = b'<a href="/rewriteme">test</a>'
            body = gzip.compress(page) if encoding == "gzip" else _deflated(page) if encoding else page
            headers = {"content-encoding": encoding} if encoding else {}
            return web.Response(body=body, content_type="text/html", headers=headers)
        if request.path == "/moved":
            return web.Response(status=302, headers={"location": request.query["to"]})
        return web.Response(text=f"{request.method} {request.raw_path} {(await request.read()).decode()}")


def _deflated(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


class Proxied(Struct):
    base: str
    port: int
    backend: Backend
    session: aiohttp.ClientSession

    async def get(self, path: str, method: str = "GET", **options: object) -> tuple[aiohttp.ClientResponse, bytes]:
        from yarl import URL

        url = URL(f"{self.base}{path}", encoded=True)
        async with self.session.request(method, url, allow_redirects=False, **options) as answer:  # type: ignore[arg-type]
            return answer, await answer.read()


@pytest.fixture
async def proxied(tmp_path: Path) -> AsyncIterator[Proxied]:
    backend = Backend()
    runner = web.ServerRunner(web.Server(backend.handle))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    backend.port = runner.addresses[0][1]

    async def locate(api: API, call: Call, path: str, query: str) -> Target:
        return Target(host="127.0.0.1", port=backend.port, path=path, query=query)

    def plugins(of: Surroundings) -> Plugins:
        endpoint = proxying(locate, "PodProxyOptions")
        rows = dict.fromkeys(("", "create", "delete", "get", "patch", "update"), endpoint)
        return replace(assemble(of), subresources={("", "pods", "proxy"): rows})

    authority = TestAuthority(tmp_path)
    serving = authority.server()
    config = APIServerConfig(
        client_ca=authority.pem,
        listener=Listener(certificate_file=str(serving.certificate), key_file=str(serving.key)),
    )
    clock = SystemClock()
    server = APIServer(store=MemoryStore(clock), clock=clock, config=config, rng=random.Random(7), plugins=plugins)
    await server.start()
    assert config.listener is not None
    port = await server.serve("127.0.0.1", 0, tls=server_context(config.listener, config))
    context = authority.client_context(authority.client("admin", "system:masters"))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
        yield Proxied(f"https://127.0.0.1:{port}", port, backend, session)
    await server.close()
    await runner.cleanup()


@pytest.mark.parametrize("method", ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"])
async def test_every_method_is_passed_on(proxied: Proxied, method: str) -> None:
    answer, body = await proxied.get(f"{PATH}/some/path?b=2&a=1&b=3", method)
    assert answer.status == 200
    assert body.decode().strip() == ("" if method == "HEAD" else f"{method} /some/path?b=2&a=1&b=3")


async def test_other_methods_are_not(proxied: Proxied) -> None:
    answer, _ = await proxied.get(f"{PATH}/x", "TRACE")
    assert answer.status == 405
    assert proxied.backend.asked == []


@pytest.mark.parametrize("method", ["DELETE", "OPTIONS", "PATCH", "POST", "PUT"])
async def test_without_a_path_the_root_is_asked(proxied: Proxied, method: str) -> None:
    answer, body = await proxied.get(f"{PATH}?method={method}", method)
    assert (answer.status, body.decode().strip()) == (200, f"{method} /?method={method}")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_browser_is_led_to_the_root(proxied: Proxied, method: str) -> None:
    answer, _ = await proxied.get(f"{PATH}?a=1", method)
    assert (answer.status, answer.headers["location"]) == (301, f"{PATH}/?a=1")


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/a//b/", "/a/b/"),
        ("/a/../b", "/b"),
        ("/../../x", "/x"),
        ("/a%2F..%2Fb", "/b"),
        ("/a%20b%252e", "/a%20b%252e"),
        ("/", "/"),
        ("/?x=%2F&y", "/?x=%2F&y"),
    ],
)
async def test_paths_arrive_clean(proxied: Proxied, path: str, asked: str) -> None:
    await proxied.get(f"{PATH}{path}")
    assert proxied.backend.asked[0][1] == asked


async def test_the_backend_hears_what_upstream_would_tell_it(proxied: Proxied) -> None:
    headers = {"Authorization": "Bearer x", "X-Remote-User": "root", "Cookie": "a=b", "Host": "seen.example:1"}
    await proxied.get(f"{PATH}/a/b", headers=headers)
    found = proxied.backend.asked[0][2]
    assert found["host"] == "seen.example:1"
    assert found["cookie"] == "a=b"
    assert found["x-forwarded-uri"] == f"{PATH}/a/b"
    assert found["x-forwarded-for"] == "127.0.0.1"
    assert not {"authorization", "x-remote-user", "x-forwarded-host", "x-forwarded-proto"} & found.keys()


@pytest.mark.parametrize("encoding", ["", "gzip", "deflate"])
async def test_links_of_pages_lead_back_through_the_proxy(proxied: Proxied, encoding: str) -> None:
    async with proxied.session.get(
        f"{proxied.base}{PATH}/page?encoding={encoding}", headers={"accept-encoding": encoding or "identity"}
    ) as answer:
        assert await answer.text() == f'<a href="{PATH}/rewriteme">test</a>'


@pytest.mark.parametrize(
    ("to", "location"),
    [
        ("/x", f"{PATH}/x"),
        ("http://127.0.0.1:{backend}/x?y=1", f"{PATH}/x?y=1"),
        ("https://127.0.0.1:{port}/x", "https://127.0.0.1:{port}" + f"{PATH}/x"),
        ("https://elsewhere.example/x", "https://elsewhere.example/x"),
    ],
)
async def test_redirects_are_passed_on_and_lead_back(proxied: Proxied, to: str, location: str) -> None:
    numbers = {"{backend}": str(proxied.backend.port), "{port}": str(proxied.port)}
    for name, number in numbers.items():
        to, location = to.replace(name, number), location.replace(name, number)
    answer, _ = await proxied.get(f"{PATH}/moved?to={to}")
    assert (answer.status, answer.headers["location"]) == (302, location)


async def test_an_upgrade_is_passed_on(proxied: Proxied) -> None:
    async with proxied.session.ws_connect(f"{proxied.base}{PATH}/socket?a=1") as socket:
        await socket.send_str("hello")
        assert await socket.receive_str() == "echo hello"
    assert proxied.backend.asked[0][:2] == ("GET", "/socket?a=1")
    assert proxied.backend.asked[0][2]["connection"] == "Upgrade"


async def test_a_long_body_is_not_held_back(proxied: Proxied) -> None:
    seen = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"first"
        await asyncio.wait_for(seen.wait(), 10)
        yield b"second"

    asking = asyncio.ensure_future(proxied.get(f"{PATH}/upload", "POST", data=body()))
    async with asyncio.timeout(10):
        while not proxied.backend.asked:  # noqa: ASYNC110 - a predicate with a deadline
            await asyncio.sleep(0.01)
    seen.set()
    answer, text = await asking
    assert (answer.status, text) == (200, b"POST /upload firstsecond")


async def test_a_dry_run_is_refused(proxied: Proxied) -> None:
    answer, _ = await proxied.get(f"{PATH}/x?dryRun=All", "POST")
    assert answer.status == 400
    assert proxied.backend.asked == []


async def test_a_pod_that_is_gone_is_a_status(proxied: Proxied) -> None:
    proxied.backend.port = 1
    answer, body = await proxied.get(f"{PATH}/x")
    assert answer.status == 503
    assert b"error trying to reach service: dial tcp 127.0.0.1:1: connect: connection refused" in body
