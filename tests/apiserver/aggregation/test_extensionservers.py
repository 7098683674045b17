"""Requests that an extension API server answers."""

from __future__ import annotations

import asyncio
import io

import aiohttp
import pytest

from steersman.apiserver.aggregation.extensionservers import identity
from steersman.apiserver.authn.api import User
from steersman.meta.resources import APISERVICES
from tests.apiserver.aggregation.conftest import NAME, Aggregation
from tests.apiserver.aggregation.extension import PATH

FLUNDERS = f"{PATH}/namespaces/default/flunders"


async def test_the_server_learns_who_asks_and_nothing_that_the_client_says_of_itself(aggregation: Aggregation) -> None:
    await aggregation.expose()
    await aggregation.available()
    claimed = {
        "X-Remote-User": "system:admin",
        "x-remote-GROUP": "system:masters",
        "X-Remote-Uid": "0",
        "X-Remote-Extra-Scope": "all",
        "Connection": "close, X-Keep-Out",
        "X-Keep-Out": "secret",
        "Proxy-Authorization": "basic",
        "Audit-ID": "my-audit-id",
        "X-Forwarded-For": "192.0.2.7",
        "X-Custom": "kept",
    }
    url = aggregation.url(f"{FLUNDERS}?b=2&a=1%2B1")
    async with aggregation.session() as session, session.post(url, headers=claimed, data=b"body") as answer:
        assert (answer.status, await answer.text()) == (200, f"POST {FLUNDERS}?a=1%2B1&b=2")
        assert answer.headers["audit-id"] == "my-audit-id"
    (asked,) = aggregation.extension.of_clients()
    assert asked.body == b"body"
    assert asked.user == "front-proxy-client"
    assert asked.values("x-remote-user") == ["admin"]
    assert asked.values("x-remote-group") == ["system:masters", "a, group", "system:authenticated"]
    assert asked.values("audit-id") == ["my-audit-id"]
    assert asked.values("x-custom") == ["kept"]
    assert asked.values("content-length") == ["4"]
    assert asked.values("x-forwarded-for") == ["192.0.2.7, 127.0.0.1"]
    assert asked.values("host") == [f"localhost:{aggregation.extension.port}"]
    for name in ("x-remote-uid", "x-remote-extra-scope", "x-keep-out", "proxy-authorization", "transfer-encoding"):
        assert asked.values(name) == []


async def test_impersonation_is_resolved_here(aggregation: Aggregation) -> None:
    await aggregation.expose()
    await aggregation.available()
    acting = [("Impersonate-User", "eve"), ("Impersonate-Group", "a"), ("Impersonate-Group", "b,c"), ("Impersonate-Extra-K", "v")]  # fmt: skip
    async with aggregation.session() as session, session.get(aggregation.url(FLUNDERS), headers=acting) as answer:
        assert answer.status == 403  # eve may nothing: this server's authorization comes first
    async with aggregation.session() as session:
        acting = [*acting, ("Impersonate-Group", "system:masters")]
        async with session.get(aggregation.url(FLUNDERS), headers=acting) as answer:
            assert answer.status == 200
    (asked,) = aggregation.extension.of_clients()
    assert asked.values("x-remote-user") == ["eve"]
    assert asked.values("x-remote-group") == ["a", "b,c", "system:masters", "system:authenticated"]
    assert asked.values("x-remote-extra-k") == ["v"]
    assert asked.values("impersonate-user") == []


async def test_what_is_not_granted_is_not_passed_on(aggregation: Aggregation) -> None:
    await aggregation.expose()
    await aggregation.available()
    url = aggregation.url(FLUNDERS)
    async with (
        aiohttp.ClientSession() as session,
        session.get(url, ssl=aggregation.authority.client_context()) as answer,
    ):
        assert answer.status == 403
    assert aggregation.extension.of_clients() == []


@pytest.mark.parametrize("location", ["https://elsewhere.example/", "/api/v1/secrets"])
async def test_redirects_are_refused(aggregation: Aggregation, location: str) -> None:
    await aggregation.expose()
    await aggregation.available()
    aggregation.extension.answers[FLUNDERS] = (302, {"location": location}, b"")
    url = aggregation.url(FLUNDERS)
    async with aggregation.session() as session, session.get(url, allow_redirects=False) as answer:
        assert answer.status == 502
        assert "location" not in answer.headers
        text = "the backend attempted to redirect this request, which is not permitted"
        assert await answer.text() == text
    assert len(aggregation.extension.of_clients()) == 1


async def test_hop_by_hop_headers_of_an_answer_end_here(aggregation: Aggregation) -> None:
    await aggregation.expose()
    await aggregation.available()
    headers = [
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("keep-alive", "timeout=5"),
        ("access-control-allow-origin", "*"),
        ("x-kept", "yes"),
    ]
    from multidict import CIMultiDict

    aggregation.extension.answers[FLUNDERS] = (200, CIMultiDict(headers), b"{}")
    async with aggregation.session() as session, session.get(aggregation.url(FLUNDERS)) as answer:
        assert answer.headers.getall("set-cookie") == ["a=1", "b=2"]
        assert answer.headers["x-kept"] == "yes"
        assert "keep-alive" not in answer.headers
        assert "access-control-allow-origin" not in answer.headers
        assert answer.headers["cache-control"] == "no-cache, private"


async def test_an_answer_without_a_body_leaves_the_connection_usable(aggregation: Aggregation) -> None:
    await aggregation.expose()
    await aggregation.available()
    aggregation.extension.answers[FLUNDERS] = (204, {}, b"")
    reader, writer = await asyncio.open_connection("127.0.0.1", aggregation.port, ssl=aggregation.admin)
    for _ in range(3):
        writer.write(f"GET {FLUNDERS} HTTP/1.1\r\nhost: s\r\n\r\n".encode())
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        assert head.startswith(b"HTTP/1.1 204 ")
        assert b"transfer-encoding" not in head.lower()
    writer.close()


@pytest.mark.parametrize(
    "framing",
    [
        "content-length: 4\r\ntransfer-encoding: chunked\r\n",
        "content-length: 4\r\ncontent-length: 5\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        "content-length: +4\r\n",
        "x: a\r\n y: b\r\nbad header: x\r\n",
    ],
)
async def test_requests_with_two_lengths_are_refused(aggregation: Aggregation, framing: str) -> None:
    await aggregation.expose()
    await aggregation.available()
    request = (
        f"POST {FLUNDERS} HTTP/1.1\r\nhost: s\r\n{framing}\r\n0\r\n\r\nGET /apis/smuggled HTTP/1.1\r\nhost: s\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", aggregation.port, ssl=aggregation.admin)
    writer.write(request.encode())
    answer = await asyncio.wait_for(reader.read(4096), 10)
    assert answer.split(b" ")[1] == b"400"
    writer.close()
    assert aggregation.extension.of_clients() == []


@pytest.mark.parametrize("path", [f"{PATH}/../../../api/v1/secrets", f"{PATH}/%2e%2e/x", f"{PATH}/./x"])
async def test_paths_that_lead_upwards_are_not_passed_on(aggregation: Aggregation, path: str) -> None:
    await aggregation.expose()
    await aggregation.available()
    reader, writer = await asyncio.open_connection("127.0.0.1", aggregation.port, ssl=aggregation.admin)
    writer.write(f"GET {path} HTTP/1.1\r\nhost: s\r\nconnection: close\r\n\r\n".encode())
    answer = await asyncio.wait_for(reader.read(), 10)
    assert answer.startswith(b"HTTP/1.1 404 ")
    writer.close()
    assert aggregation.extension.of_clients() == []


async def test_escapes_reach_the_server_as_often_escaped_as_they_came(aggregation: Aggregation) -> None:
    await aggregation.expose()
    await aggregation.available()
    path = f"{FLUNDERS}/a%252e%25%20b"
    async with aggregation.session() as session:
        from yarl import URL

        async with session.get(URL(aggregation.url(path), encoded=True)) as answer:
            assert await answer.text() == f"GET {path}"


async def test_a_watch_arrives_as_it_happens(aggregation: Aggregation) -> None:
    await aggregation.expose()
    await aggregation.available()
    async with aggregation.session() as session, session.get(aggregation.url(f"{FLUNDERS}/slow?watch=1")) as answer:
        assert await asyncio.wait_for(answer.content.readline(), 10) == b'{"type":"ADDED"}\n'
        aggregation.extension.release.set()
        assert await asyncio.wait_for(answer.content.readline(), 10) == b'{"type":"MODIFIED"}\n'


async def test_an_upgrade_is_passed_on_under_the_clients_identity(aggregation: Aggregation) -> None:
    await aggregation.expose()
    await aggregation.available()
    url = aggregation.url(f"{FLUNDERS}/a/connect")
    claimed = {"X-Remote-User": "root"}
    async with aggregation.session() as session, session.ws_connect(url, headers=claimed) as socket:
        await socket.send_bytes(b"hello")
        assert await socket.receive_bytes() == b"echo hello"
    (asked,) = aggregation.extension.of_clients()
    assert asked.values("x-remote-user") == ["admin"]
    assert asked.values("x-remote-group") == ["system:masters", "a, group", "system:authenticated"]


async def test_a_redirect_of_an_upgrade_is_refused(aggregation: Aggregation) -> None:
    await aggregation.expose()
    await aggregation.available()

    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 302 Found\r\nlocation: https://elsewhere.example/\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    import ssl

    serving = aggregation.authority.server("other", "api.default.svc")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(serving.certificate, serving.key)
    server = await asyncio.start_server(redirect, "127.0.0.1", 0, ssl=tls)
    found = await aggregation.client.get(APISERVICES, NAME)
    reference = {**found["spec"]["service"], "port": server.sockets[0].getsockname()[1]}
    await aggregation.client.update(APISERVICES, {**found, "spec": {**found["spec"], "service": reference}})
    headers = {"connection": "Upgrade", "upgrade": "SPDY/3.1"}
    answer = await aggregation.client.request("POST", f"{FLUNDERS}/a/connect", headers=headers)
    assert (answer.status, answer.body) == (503, b"invalid upgrade response: status code 302\n")
    server.close()
    await server.wait_closed()


async def test_a_body_larger_than_this_servers_limit_is_passed_on(aggregation: Aggregation) -> None:
    await aggregation.expose()
    await aggregation.available()
    body = io.BytesIO(b"x" * (4 * 1024 * 1024))
    async with aggregation.session() as session, session.post(aggregation.url(FLUNDERS), data=body) as answer:
        assert answer.status == 200
    (asked,) = aggregation.extension.of_clients()
    assert len(asked.body) == 4 * 1024 * 1024


async def test_a_server_that_is_gone_is_503_in_the_words_of_the_dialer(aggregation: Aggregation) -> None:
    await aggregation.expose()
    await aggregation.available()
    found = await aggregation.client.get(APISERVICES, NAME)
    reference = {**found["spec"]["service"], "port": 1}
    await aggregation.client.update(APISERVICES, {**found, "spec": {**found["spec"], "service": reference}})
    answer = await aggregation.client.request("GET", FLUNDERS)
    assert answer.status == 503
    assert answer.body.startswith(b"error trying to reach service: dial tcp localhost:1: connect: connection refused")


async def test_a_deleted_apiservice_is_served_no_longer(aggregation: Aggregation) -> None:
    await aggregation.expose()
    await aggregation.available()
    await aggregation.client.delete(APISERVICES, NAME)
    answer = await aggregation.client.request("GET", FLUNDERS)
    assert (answer.status, answer.body) == (404, b"404 page not found\n")


def test_no_value_ends_its_header() -> None:
    user = User(name="a\r\nx-remote-group: system:masters", groups=("g\n",), extra={"a key/é": ("v\r\n",)})
    assert identity(user) == [
        ("x-remote-user", "a  x-remote-group: system:masters"),
        ("x-remote-group", "g "),
        ("x-remote-extra-a%20key%2F%C3%A9", "v  "),
    ]
