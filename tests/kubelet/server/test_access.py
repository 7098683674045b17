"""Who may do what on the kubelet's server."""

from __future__ import annotations

import asyncio
import ssl

import pytest

from steersman.aio.clock import FakeClock
from steersman.client.api import Client
from steersman.client.inprocess import InProcessTransport
from steersman.kubelet.server.authentication import (
    AnonymousAuthenticator,
    Caller,
    Credentials,
    TokenReviewAuthenticator,
)
from steersman.kubelet.server.authorization import SubjectAccessReviewAuthorizer, subresources_of, verb_of
from tests.kubelet.server.conftest import Running
from tests.kubelet.server.loopback import GOOD_TOKEN, WEAK_TOKEN, Reviews


@pytest.mark.parametrize(
    ("token", "client", "path", "status"),
    [
        ("", "", "/pods", 401),
        ("unknown", "", "/pods", 401),
        ("", "", "/nothing", 401),
        (GOOD_TOKEN, "", "/pods", 200),
        (GOOD_TOKEN, "", "/nothing", 404),
        (WEAK_TOKEN, "", "/stats/summary", 200),
        (WEAK_TOKEN, "", "/pods", 200),
        (WEAK_TOKEN, "", "/metrics", 403),
        (WEAK_TOKEN, "", "/containerLogs/default/web/main", 403),
        ("", "admin", "/containerLogs/default/web/main", 200),
        ("", "nobody", "/healthz", 403),
        (GOOD_TOKEN, "", "/healthz", 200),
    ],
)
async def test_every_route_asks_who_and_whether(
    running: Running, token: str, client: str, path: str, status: int
) -> None:
    async with running.session(token, client=client) as session, session.get(path) as response:
        assert response.status == status


async def test_the_refusal_says_what_was_asked(running: Running) -> None:
    async with running.session(WEAK_TOKEN) as session, session.post("/run/default/web/main?cmd=ls") as response:
        text = "Forbidden (user=weak, verb=create, resource=nodes, subresource(s)=[proxy])\n"
        assert (response.status, await response.text()) == (403, text)


async def test_a_certificate_of_another_authority_gets_no_connection(running: Running) -> None:
    async def handshake() -> None:
        context = ssl.create_default_context(cafile=str(running.pki.authority.pair.certificate))
        other = running.pki.pair("front-proxy-ca")
        context.load_cert_chain(other.certificate, other.key)
        reader, writer = await asyncio.open_connection("127.0.0.1", running.server.port, ssl=context)
        try:
            writer.write(b"GET /pods HTTP/1.1\r\nHost: x\r\n\r\n")
            assert await reader.read(1) == b"", "served"
        finally:
            writer.close()

    with pytest.raises((ssl.SSLError, ConnectionError)):
        await handshake()
        raise ConnectionResetError


async def test_answers_are_remembered_for_a_while() -> None:
    clock, reviews = FakeClock(), Reviews()
    client = Client(InProcessTransport(reviews))
    tokens = TokenReviewAuthenticator(client, clock=clock)
    access = SubjectAccessReviewAuthorizer(client, node_name="node-1", clock=clock)

    async def ask() -> tuple[Caller | None, bool, bool]:
        caller = await tokens.authenticate(Credentials(token=WEAK_TOKEN))
        assert caller is not None
        return caller, await access.authorize(caller, "get", "stats"), await access.authorize(caller, "get", "proxy")

    caller, stats, proxy = await ask()
    assert caller == Caller(name=WEAK_TOKEN, groups=("system:authenticated",), extra={"a": ("b",)})
    assert (stats, proxy) == (True, False)
    assert len(reviews.asked) == 3
    await ask()
    assert len(reviews.asked) == 3
    await clock.advance(31)  # a refusal is remembered for 30 s
    await ask()
    assert len(reviews.asked) == 4
    await clock.advance(300)
    await ask()
    assert len(reviews.asked) == 7


async def test_anonymous_requests_bring_no_credentials() -> None:
    anonymous = AnonymousAuthenticator()
    nobody = await anonymous.authenticate(Credentials())
    assert nobody == Caller(name="system:anonymous", groups=("system:unauthenticated",))
    assert await anonymous.authenticate(Credentials(token="wrong")) is None


@pytest.mark.parametrize(
    ("path", "subresources"),
    [
        ("/stats/summary", ("stats",)),
        ("/metrics/cadvisor", ("metrics",)),
        ("/metricsandmore", ("proxy",)),
        ("/logs/syslog", ("log",)),
        ("/checkpoint/a/b/c", ("checkpoint",)),
        ("/pods", ("pods", "proxy")),
        ("/runningpods/", ("pods", "proxy")),
        ("/healthz/syncloop", ("healthz", "proxy")),
        ("/configz", ("configz", "proxy")),
        ("/exec/a/b/c", ("proxy",)),
        ("/", ("proxy",)),
    ],
)
def test_paths_are_subresources_of_the_node(path: str, subresources: tuple[str, ...]) -> None:
    assert subresources_of(path) == subresources


def test_methods_are_verbs() -> None:
    assert [verb_of(method) for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")] == [
        "get", "create", "update", "patch", "delete", "",
    ]  # fmt: skip
