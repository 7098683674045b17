"""Exec, logs and proxies against a kubelet and a pod that are servers on loopback."""

from __future__ import annotations

import asyncio
import base64
import random
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from steersman.aio.clock import SystemClock
from steersman.apiserver.component import APIServer
from steersman.apiserver.config import APIServerConfig, KubeletAccess, Listener
from steersman.apiserver.tls import server_context
from steersman.client.api import Client
from steersman.client.inprocess import InProcessTransport
from steersman.meta.resources import CONFIGMAPS, NODES, PODS
from steersman.store.drivers.memory import MemoryStore
from tests.apiserver.authorities import TestAuthority
from tests.apiserver.builders import pod


@dataclass
class Kubelet:
    """What a kubelet was asked, and canned answers."""

    requests: list[str] = field(default_factory=list)
    users: list[str] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(f"{request.method} {request.raw_path}")
        certificate = request.transport.get_extra_info("peercert") if request.transport else None
        self.users.append(str(certificate["subject"][-1][0][1]) if certificate else "")
        if request.path.startswith("/containerLogs/"):
            if request.path.endswith("/missing"):
                return web.Response(status=400, text="container missing is waiting to start")
            response = web.StreamResponse()
            await response.prepare(request)
            for line in (b"one\n", b"two\n"):
                await response.write(line)
            return response
        if request.path.startswith("/exec/"):
            socket = web.WebSocketResponse(protocols=("v5.channel.k8s.io",))
            await socket.prepare(request)
            async for message in socket:
                await socket.send_bytes(b"\x01echo " + message.data[1:])
                await socket.close()
            return socket
        return web.Response(text=f"{request.method} {request.path} {request.query_string}")


@dataclass
class Cluster:
    server: APIServer
    port: int
    kubelet: Kubelet
    context: ssl.SSLContext
    client: Client

    def url(self, path: str) -> str:
        return f"https://127.0.0.1:{self.port}{path}"


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    authority = TestAuthority(tmp_path)
    serving = authority.server()
    kubelet = Kubelet()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", kubelet.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.file))
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.load_cert_chain(serving.certificate, serving.key)
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    kubelet_port = runner.addresses[0][1]
    own = authority.client("kube-apiserver-kubelet-client", "system:masters")
    config = APIServerConfig(
        client_ca=authority.pem,
        disabled_admission_plugins=("ServiceAccount",),
        listener=Listener(certificate_file=str(serving.certificate), key_file=str(serving.key)),
        kubelets=KubeletAccess(
            client_certificate_file=str(own.certificate),
            client_key_file=str(own.key),
            certificate_authority_file=str(authority.file),
        ),
    )
    clock = SystemClock()
    server = APIServer(store=MemoryStore(clock), clock=clock, config=config, rng=random.Random(7))
    await server.start()
    assert config.listener is not None
    port = await server.serve("127.0.0.1", 0, tls=server_context(config.listener, config))
    client = Client(InProcessTransport(server.handle))
    node = await client.create(NODES, {"metadata": {"name": "node"}})
    status = {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet_port}},
    }
    await client.update(NODES, {**node, "status": status}, subresource="status")
    await client.create(PODS, pod(node="node"))
    context = authority.client_context(authority.client("admin", "system:masters"))
    yield Cluster(server, port, kubelet, context, client)
    await server.close()
    await runner.cleanup()


@pytest.mark.parametrize(
    ("protocols", "text"), [((), False), (("binary.k8s.io",), False), (("base64.binary.k8s.io",), True)]
)
async def test_logs_come_over_a_websocket_when_asked(cluster: Cluster, protocols: tuple[str, ...], text: bool) -> None:
    log = cluster.url("/api/v1/namespaces/default/pods/a/log")
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(log, ssl=cluster.context, protocols=protocols) as socket,
    ):
        assert socket.protocol == (protocols[0] if protocols else None)
        messages = [message.data async for message in socket]
        assert socket.close_code == 1000
    decoded = [base64.b64decode(message) if text else message for message in messages]
    assert decoded[0] == b""
    assert b"".join(decoded) == b"one\ntwo\n"


async def test_a_websocket_of_logs_needs_a_subprotocol_in_common(cluster: Cluster) -> None:
    log = cluster.url("/api/v1/namespaces/default/pods/a/log")
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(log, ssl=cluster.context, protocols=("v5.channel.k8s.io",))
    assert refused.value.status == 400


async def test_a_watch_comes_over_a_websocket_when_asked(cluster: Cluster) -> None:
    url = cluster.url("/api/v1/namespaces/default/configmaps?watch=true")
    async with aiohttp.ClientSession() as session, session.ws_connect(url, ssl=cluster.context) as socket:
        for name in ("a", "b"):
            await cluster.client.create(CONFIGMAPS, {"metadata": {"name": name, "namespace": "default"}})
            event = await socket.receive_json(timeout=10)
            assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", name)
        await socket.ping(b"still there?")
        await cluster.client.create(
            CONFIGMAPS, {"metadata": {"name": "c", "namespace": "default"}, "data": {"fill": "x" * 70_000}}
        )
        event = await socket.receive_json(timeout=10)
        assert len(event["object"]["data"]["fill"]) == 70_000


async def test_logs_are_streamed(cluster: Cluster) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.get(
            cluster.url("/api/v1/namespaces/default/pods/a/log?follow=true&tailLines=5"), ssl=cluster.context
        ) as answer,
    ):
        assert (answer.status, answer.content_type) == (200, "text/plain")
        assert await answer.read() == b"one\ntwo\n"
    assert cluster.kubelet.requests == ["GET /containerLogs/default/a/main?follow=true&tailLines=5"]
    assert cluster.kubelet.users == ["kube-apiserver-kubelet-client"]


async def test_a_kubelets_refusal_is_a_status(cluster: Cluster) -> None:
    waiting = pod("b", node="node")
    waiting["spec"]["containers"][0]["name"] = "missing"
    await cluster.client.create(PODS, waiting)
    answer = await cluster.client.request("GET", "/api/v1/namespaces/default/pods/b/log")
    assert (answer.status, answer.content["reason"]) == (400, "BadRequest")
    assert answer.content["message"] == "container missing is waiting to start"


async def test_logs_of_a_pod_on_no_node_are_empty(cluster: Cluster) -> None:
    await cluster.client.create(PODS, pod("b"))
    answer = await cluster.client.request("GET", "/api/v1/namespaces/default/pods/b/log")
    assert (answer.status, answer.body) == (204, b"")


async def test_an_unknown_container_is_refused(cluster: Cluster) -> None:
    answer = await cluster.client.request("GET", "/api/v1/namespaces/default/pods/a/log", query={"container": "x"})
    assert (answer.status, answer.content["message"]) == (400, "container x is not valid for pod a")


async def test_log_options_are_checked(cluster: Cluster) -> None:
    answer = await cluster.client.request(
        "GET", "/api/v1/namespaces/default/pods/a/log", query={"tailLines": "-1", "sinceSeconds": "0"}
    )
    assert answer.status == 422
    assert {cause["field"] for cause in answer.content["details"]["causes"]} == {"tailLines", "sinceSeconds"}


async def test_exec_over_a_websocket_is_relayed(cluster: Cluster) -> None:
    path = "/api/v1/namespaces/default/pods/a/exec?command=cat&command=-n&stdin=true&stdout=true"
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(cluster.url(path), protocols=("v5.channel.k8s.io",), ssl=cluster.context) as socket,
    ):
        assert socket.protocol == "v5.channel.k8s.io"
        await socket.send_bytes(b"\x00hello")
        assert (await socket.receive_bytes()) == b"\x01echo hello"
        assert (await socket.receive()).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
    assert cluster.kubelet.requests == ["GET /exec/default/a/main?input=1&output=1&command=cat&command=-n"]


async def test_exec_without_an_upgrade_is_refused(cluster: Cluster) -> None:
    answer = await cluster.client.request(
        "POST", "/api/v1/namespaces/default/pods/a/exec", query={"command": "ls", "stdout": "true"}
    )
    assert (answer.status, answer.content["message"]) == (400, "Upgrade request required")


async def test_a_kubelet_that_is_gone_is_an_error_in_the_words_of_the_dialer(cluster: Cluster) -> None:
    node = await cluster.client.get(NODES, "node")
    status = {**node["status"], "daemonEndpoints": {"kubeletEndpoint": {"Port": 1}}}
    await cluster.client.update(NODES, {**node, "status": status}, subresource="status")
    answer = await cluster.client.request("GET", "/api/v1/namespaces/default/pods/a/log")
    assert answer.status == 500
    assert "reason" not in answer.content
    assert answer.content["message"].startswith('Get "https://')
    assert answer.content["message"].endswith("connect: connection refused")


async def test_proxies_do_not_reach_this_machine(cluster: Cluster) -> None:
    created = await cluster.client.get(PODS, "a", namespace="default")
    status = {"phase": "Running", "podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]}
    await cluster.client.update(PODS, {**created, "status": status}, subresource="status")
    for path in ("/api/v1/namespaces/default/pods/a:80/proxy/", "/api/v1/nodes/node/proxy/healthz"):
        answer = await cluster.client.request("GET", path)
        assert (answer.status, answer.content["message"]) == (400, "address not allowed")


async def test_a_name_that_means_this_machine_is_not_reached_either(cluster: Cluster) -> None:
    node = await cluster.client.get(NODES, "node")
    status = {**node["status"], "addresses": [{"type": "Hostname", "address": "localhost"}]}
    await cluster.client.update(NODES, {**node, "status": status}, subresource="status")
    answer = await cluster.client.request("GET", "/api/v1/nodes/node:10250/proxy/healthz")
    assert (answer.status, answer.content["message"]) == (400, "address not allowed")


@pytest.mark.parametrize(
    ("method", "status"),
    [*((method, 400) for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")), ("TRACE", 405)],
)
async def test_a_proxy_takes_the_methods_that_upstream_connects(cluster: Cluster, method: str, status: int) -> None:
    """400 says that the address behind the proxy was looked at: it is one that must not be reached."""
    answer = await cluster.client.request(method, "/api/v1/nodes/node/proxy/healthz")
    assert answer.status == status


async def test_a_proxy_redirects_to_its_root(cluster: Cluster) -> None:
    created = await cluster.client.get(PODS, "a", namespace="default")
    status = {"phase": "Running", "podIP": "192.0.2.9", "podIPs": [{"ip": "192.0.2.9"}]}
    await cluster.client.update(PODS, {**created, "status": status}, subresource="status")
    answer = await cluster.client.request("GET", "/api/v1/namespaces/default/pods/a/proxy", query={"x": "1"})
    assert (answer.status, answer.headers["location"]) == (301, "/api/v1/namespaces/default/pods/a/proxy/?x=1")


async def test_many_execs_at_once(cluster: Cluster) -> None:
    path = "/api/v1/namespaces/default/pods/a/exec?command=cat&stdin=true&stdout=true"

    async def one(session: aiohttp.ClientSession, number: int) -> bytes:
        url = cluster.url(path)
        async with session.ws_connect(url, protocols=("v5.channel.k8s.io",), ssl=cluster.context) as socket:
            await socket.send_bytes(b"\x00%d" % number)
            return await socket.receive_bytes()

    async with aiohttp.ClientSession() as session:
        answers = await asyncio.gather(*(one(session, number) for number in range(20)))
    assert answers == [b"\x01echo %d" % number for number in range(20)]
