"""Probes and hooks against real servers on the loopback: what is sent, what is followed, what an answer means."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from steersman.aio.clock import SystemClock
from steersman.cluster.pki import ClusterPKI, ServingHosts
from steersman.kubelet import podspec
from steersman.kubelet.handlers import HookFailed, Outcome, RuntimeHandlers, Target
from tests.kubelet.pods import container, pod

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Answer = Callable[[str], bytes]


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


class Server:
    """Answers each request by its path and keeps what it was sent."""

    def __init__(self, answers: Mapping[str, bytes]) -> None:
        self.answers = answers
        self.requests: list[list[str]] = []
        self.tasks: list[asyncio.Task[Any]] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.append(task)
        first = await reader.read(1)
        if first == b"\x16":
            writer.write(b"HTTP/1.0 400 Bad Request\r\n\r\n")
        elif first:
            head = (first + await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            lines = head.rstrip("\r\n").split("\r\n")
            self.requests.append(lines)
            path = lines[0].split(" ")[1]
            writer.write(self.answers.get(path, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"))
        await closed(writer)


@asynccontextmanager
async def serving(answers: Mapping[str, bytes], tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server(answers)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield server
    await asyncio.gather(*server.tasks)


def target(**fields: Any) -> Target:
    obj = pod(container(**fields))
    (only,) = podspec.app_containers(obj)
    return Target(pod=obj, container=only, container_id="id", pod_ip="127.0.0.1")


def handlers() -> RuntimeHandlers:
    return RuntimeHandlers(None, clock=SystemClock())  # type: ignore[arg-type]


async def http(server: Server, path: str = "/", **action: Any) -> Outcome:
    return await handlers().probe(target(), {"httpGet": {"path": path, "port": server.port, **action}})


def redirect(location: str, status: int = 302) -> bytes:
    return f"HTTP/1.1 {status} Found\r\nLocation: {location}\r\nContent-Length: 5\r\n\r\nmoved".encode()


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (OK, Outcome(result="success", output="ok")),
        (b"HTTP/1.1 204 No Content\r\n\r\n", Outcome(result="success")),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, Outcome(result="success", output="ok")),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n",
            Outcome(result="success", output="abcde"),
        ),
        (b"HTTP/1.1 200 OK\n\nbare", Outcome(result="success", output="bare")),
        (b"HTTP/1.1 503 No\r\n\r\nsecret", Outcome(result="failure", output="HTTP probe failed with statuscode: 503")),
        (
            b"HTTP/1.1 304 Not Modified\r\nLocation: /elsewhere\r\n\r\n",
            Outcome(result="warning", output="Probe terminated redirects, Response body: "),
        ),
    ],
)
async def test_what_an_answer_means(answer: bytes, outcome: Outcome) -> None:
    async with serving({"/": answer}) as server:
        assert await http(server) == outcome


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"SSH-2.0-OpenSSH\r\n\r\n", 'malformed HTTP response "SSH-2.0-OpenSSH"'),
        (b"", "EOF"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "malformed HTTP response"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50_000, "server response headers exceeded 262144 bytes; aborted"),
    ],
)
async def test_answers_that_are_none(answer: bytes, why: str) -> None:
    async with serving({"/": answer}) as server:
        url = f"http://127.0.0.1:{server.port}/"
        assert await http(server) == Outcome(result="failure", output=f'Get "{url}": {why}')


async def test_headers_as_they_were_given() -> None:
    given = [("x-custom", "1"), ("X-Custom", "2"), ("host", "example.com"), ("accept", ""), ("Content-Length", "9")]
    async with serving({"/": OK}) as server:
        await http(server)
        await http(server, httpHeaders=[{"name": name, "value": value} for name, value in given])
        await http(server, httpHeaders=[{"name": "user-agent", "value": ""}, {"name": "Accept", "value": "text/plain"}])
        bad = await http(server, httpHeaders=[{"name": "X", "value": "a\r\nEvil: b"}])
    plain, custom, quiet = server.requests
    assert plain[1:] == [
        f"Host: 127.0.0.1:{server.port}", "User-Agent: kube-probe/1.36", "Accept: */*", "Connection: close"
    ]  # fmt: skip
    assert custom[1:] == [
        "Host: example.com", "User-Agent: kube-probe/1.36", "X-Custom: 1", "X-Custom: 2", "Connection: close"
    ]  # fmt: skip
    assert quiet[1:] == [f"Host: 127.0.0.1:{server.port}", "Accept: text/plain", "Connection: close"]
    assert bad.result == "failure" and 'invalid header field value for "X"' in bad.output


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("", "/"),
        ("healthz", "/healthz"),
        ("/a b?q=1", "/a%20b?q=1"),
        ("/a%20b", "/a%20b"),
        ("/ü", "/%C3%BC"),
        ("http://other.example/x?y", "/x?y"),
        ("/a\r\nEvil: b", "/a%0D%0AEvil:%20b"),
    ],
)
async def test_paths(path: str, sent: str) -> None:
    async with serving({sent: OK}) as server:
        assert (await http(server, path)).result == "success"


async def test_redirects_stay_on_the_host() -> None:
    answers = {
        "/here": redirect("/there?x=1"),
        "/there?x=1": OK,
        "/away": redirect("http://127.0.0.2/"),
        "/round": redirect("/round", 307),
    }
    async with serving(answers) as server:
        assert await http(server, "/here") == Outcome(result="success", output="ok")
        assert f"Referer: http://127.0.0.1:{server.port}/here" in server.requests[1]
        away = await http(server, "/away")
        assert away == Outcome(result="warning", output="Probe terminated redirects, Response body: moved")
        round = await http(server, "/round")
        assert round.result == "failure" and round.output.endswith("stopped after 10 redirects")


async def test_ports_by_name_and_ports_that_are_none() -> None:
    async with serving({"/": OK}) as server:
        named = target(ports=[{"name": "web", "containerPort": server.port}])
        for action in ({"httpGet": {"port": "web"}}, {"tcpSocket": {"port": "web"}}):
            assert (await handlers().probe(named, action)).result == "success"
        for action in ({"httpGet": {"port": "no"}}, {"tcpSocket": {"port": "no"}}):
            assert (await handlers().probe(named, action)).result == "error"


async def test_nobody_listens() -> None:
    async with serving({}) as server:
        port = server.port
    refused = f"dial tcp 127.0.0.1:{port}: connect: connection refused"
    assert await http(server) == Outcome(result="failure", output=f'Get "http://127.0.0.1:{port}/": {refused}')
    tcp = await handlers().probe(target(), {"tcpSocket": {"port": port}})
    assert tcp == Outcome(result="failure", output=refused)


async def test_an_answer_that_does_not_come_in_time() -> None:
    gone = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        await closed(writer)
        gone.set()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        action = {"httpGet": {"port": port}, "timeoutSeconds": 1}
        late = await handlers().probe(target(), action)
        await gone.wait()
    assert late.result == "failure" and "context deadline exceeded" in late.output


async def hook(server: Server, **action: Any) -> list[tuple[str, str]]:
    notes: list[tuple[str, str]] = []
    handler = {"httpGet": {"path": "/", "port": server.port, **action}}
    await handlers().run_hook(target(), handler, lambda reason, message: notes.append((reason, message)))
    return notes


async def test_https_asks_no_certificate_and_falls_back_for_hooks_alone(tmp_path: Path) -> None:
    pki = ClusterPKI(tmp_path, clock=SystemClock())
    pki.ensure_api_server(ServingHosts((), "cluster.local"))
    pair = pki.pair("apiserver")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pair.certificate, pair.key)
    async with serving({"/": OK}, tls) as server:
        assert await http(server, scheme="HTTPS") == Outcome(result="success", output="ok")
        assert await hook(server, scheme="HTTPS") == []
    secret = [{"name": "Authorization", "value": "Bearer x"}, {"name": "A", "value": "b"}]
    async with serving({"/": OK}) as server:
        probed = await http(server, scheme="HTTPS")
        assert probed.output.endswith("http: server gave HTTP response to HTTPS client")
        [note] = await hook(server, scheme="HTTPS", httpHeaders=secret)
    what = f"request to HTTPS lifecycle hook 127.0.0.1:{server.port} got HTTP response, retry with HTTP succeeded"
    assert note == ("LifecycleHTTPFallback", what)
    [request] = server.requests
    assert "User-Agent: kube-lifecycle/1.36" in request and "A: b" in request
    assert not any("Authorization" in line for line in request)


async def test_a_hook_fails_only_where_there_is_no_answer() -> None:
    async with serving({}) as server:
        assert await hook(server) == []
    with pytest.raises(HookFailed, match=r'HTTP lifecycle hook \(/\) for Container "main" .*connection refused'):
        await hook(server)


@asynccontextmanager
async def health(answer: Callable[[bytes], Awaitable[bytes]] | None) -> AsyncIterator[int]:
    server = grpc.aio.server()
    if answer is not None:

        async def check(request: bytes, context: Any) -> bytes:
            return await answer(request)

        method = grpc.unary_unary_rpc_method_handler(check)
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": method}),)
        )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield port
    await server.stop(None)


@pytest.mark.parametrize("service", ["", "a", "s" * 127, "s" * 128, "s" * 20_000])
async def test_grpc_asks_for_the_service(service: str) -> None:
    seen: list[bytes] = []

    async def answer(request: bytes) -> bytes:
        seen.append(request)
        return b"\x08\x01"

    async with health(answer) as port:
        outcome = await handlers().probe(target(), {"grpc": {"port": port, "service": service}})
    assert outcome == Outcome(result="success", output="service healthy")
    assert seen[0].endswith(service.encode())
    lengths = {0: b"", 1: b"\n\x01", 127: b"\n\x7f", 128: b"\n\x80\x01", 20_000: b"\n\xa0\x9c\x01"}
    assert seen[0][: len(seen[0]) - len(service)] == lengths[len(service)]


async def test_grpc_says_what_is_wrong() -> None:
    async def not_serving(request: bytes) -> bytes:
        return b"\x08\x02"

    async def never(request: bytes) -> bytes:
        await asyncio.sleep(30)
        return b""

    async def ask(port: int) -> str:
        outcome = await handlers().probe(target(), {"grpc": {"port": port}})
        assert outcome.result == "failure"
        return outcome.output

    async with health(not_serving) as port:
        assert await ask(port) == 'service unhealthy (responded with "NOT_SERVING")'
    async with health(never) as port:
        assert await ask(port) == "timeout: health rpc did not complete within 1s"
    async with health(None) as port:
        assert (await ask(port)).startswith("error: this server does not implement the grpc health protocol")
    assert (await ask(port)).startswith(f'timeout: failed to connect service "127.0.0.1:{port}" within 1s')
