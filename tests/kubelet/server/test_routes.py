"""Every route: what it takes to use it, and what can be switched off."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from steersman.aio.clock import SystemClock
from steersman.kubelet.server.authentication import AnonymousAuthenticator
from steersman.kubelet.server.authorization import AlwaysAllow, subresources_of
from steersman.kubelet.server.certificates import ServerCertificate
from steersman.kubelet.server.documents import About
from steersman.kubelet.server.server import KubeletServer, ServerConfig
from steersman.kubelet.stats import StatsPlaces, StatsProvider
from tests.kubelet.server.conftest import Running
from tests.kubelet.server.loopback import GOOD_TOKEN

CONTAINER, WITH_UID = "{namespace}/{pod}/{container}", "{namespace}/{pod}/{uid}/{container}"
ROUTES = {
    "/pods": ("pods", "proxy"),
    "/healthz": ("healthz", "proxy"),
    "/healthz/{check}": ("healthz", "proxy"),
    "/stats/summary": ("stats",),
    "/metrics": ("metrics",),
    "/metrics/resource": ("metrics",),
    "/metrics/cadvisor": ("metrics",),
    "/metrics/probes": ("metrics",),
    "/metrics/slis": ("metrics",),
    f"/exec/{CONTAINER}": ("proxy",),
    f"/exec/{WITH_UID}": ("proxy",),
    f"/attach/{CONTAINER}": ("proxy",),
    f"/attach/{WITH_UID}": ("proxy",),
    f"/run/{CONTAINER}": ("proxy",),
    f"/run/{WITH_UID}": ("proxy",),
    "/portForward/{namespace}/{pod}": ("proxy",),
    "/portForward/{namespace}/{pod}/{uid}": ("proxy",),
    f"/containerLogs/{CONTAINER}": ("proxy",),
    f"/checkpoint/{CONTAINER}": ("checkpoint",),
    "/logs": ("log",),
    "/logs/{path}": ("log",),
    "/debug/flags/v": ("proxy",),
    "/debug/pprof/{rest}": ("proxy",),
    "/runningpods/": ("pods", "proxy"),
    "/configz": ("configz", "proxy"),
    "/flagz": ("configz",),
    "/statusz": ("statusz",),
}
"""Every route of the server, with the node's subresources of which a caller needs one."""


def test_every_route_is_known_and_asks_for_its_subresource(running: Running) -> None:
    app = running.server._application()
    paths = {resource.canonical for resource in app.router.resources()}
    assert paths == set(ROUTES)
    assert {path: subresources_of(path) for path in paths} == ROUTES


@pytest.mark.parametrize("path", sorted(ROUTES))
async def test_no_route_answers_a_stranger(running: Running, path: str) -> None:
    async with running.session("unknown") as session:
        for method in ("GET", "POST", "PUT"):
            async with session.request(method, path.replace("{", "").replace("}", "")) as response:
                assert (response.status, await response.text()) == (401, "Unauthorized")


@asynccontextmanager
async def serving(running: Running, folder: Path, **config: object) -> AsyncIterator[str]:
    """A server of its own, open to everybody."""
    serving = running.pki.pair("kubelet-node-1")
    base = ServerConfig(address="127.0.0.1", port=0, healthz_port=0, system_logs=folder)
    clock = SystemClock()
    server = KubeletServer(
        pods=running.server._pods, runtime=running.runtime,
        stats=StatsProvider(running.runtime, node_name="node-1", places=StatsPlaces(root_dir=folder), clock=clock),
        authenticator=AnonymousAuthenticator(), authorizer=AlwaysAllow(),
        certificate=ServerCertificate((serving.certificate, serving.key), None), clock=clock,
        config=replace(base, **config), registry=CollectorRegistry(),
        about=About(healthy=lambda: False, started_s=clock.now(), flags={"v": "2"}),
    )  # fmt: skip
    await server.start()
    try:
        yield f"https://127.0.0.1:{server.port}"
    finally:
        await server.close()


async def get(running: Running, url: str, method: str = "GET", data: str = "") -> tuple[int, str]:
    connector = aiohttp.TCPConnector(ssl=running.tls())
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.request(method, url, data=data or None, allow_redirects=False) as response,
    ):
        return response.status, await response.text()


@pytest.mark.parametrize(
    "path",
    ["run/a/b/c", "exec/a/b/c", "attach/a/b/c", "portForward/a/b", "containerLogs/a/b/c", "runningpods/", "logs/"],
)
async def test_debugging_handlers_can_be_switched_off(running: Running, tmp_path: Path, path: str) -> None:
    async with serving(running, tmp_path, debugging_handlers=False) as url:
        assert await get(running, f"{url}/{path}") == (405, "Debug endpoints are disabled.\n")
        assert (await get(running, f"{url}/metrics"))[0] == 200
        assert (await get(running, f"{url}/configz"))[0] == 404


@pytest.mark.parametrize(
    ("config", "path", "message"),
    [
        ({"system_logs": None}, "logs/syslog", "logs endpoint is disabled.\n"),
        ({"debug_flags": False}, "debug/flags/v", "flags endpoint is disabled.\n"),
        ({}, "debug/pprof/heap", "profiling endpoint is disabled.\n"),
    ],
)
async def test_single_handlers_can_be_switched_off(
    running: Running, tmp_path: Path, config: dict[str, object], path: str, message: str
) -> None:
    async with serving(running, tmp_path, **config) as url:
        assert await get(running, f"{url}/{path}") == (405, message)


async def test_system_logs_are_files_and_listings(running: Running, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    (logs / "pods").mkdir(parents=True)
    (logs / "syslog").write_text("all is well\n")
    (logs / "a<b").write_text("")
    (tmp_path / "secret").write_text("secret")
    (logs / "way-out").symlink_to(tmp_path / "secret")
    async with serving(running, logs) as url:
        status, listing = await get(running, f"{url}/logs/")
        assert status == 200
        assert '<a href="pods/">pods/</a>' in listing and '<a href="a%3Cb">a&lt;b</a>' in listing
        assert await get(running, f"{url}/logs/syslog") == (200, "all is well\n")
        assert (await get(running, f"{url}/logs/pods"))[0] == 301
        for path in ("none", "way-out", "%2e%2e/secret", "pods/..%2f..%2fsecret"):
            status, text = await get(running, f"{url}/logs/{path}")
            assert status in (400, 404) and "secret" not in text


async def test_the_read_only_port_shows_and_does_nothing(
    running: Running, tmp_path: Path, unused_tcp_port: int
) -> None:
    async with serving(running, tmp_path, read_only_port=unused_tcp_port):
        plain = f"http://127.0.0.1:{unused_tcp_port}"
        for path in ("pods", "metrics", "metrics/cadvisor", "stats/summary"):
            assert (await get(running, f"{plain}/{path}"))[0] == 200
        for path in ("exec/default/web/main", "configz", "logs/", "runningpods/"):
            assert (await get(running, f"{plain}/{path}"))[0] == 404


async def test_health_names_what_failed_and_may_leave_things_out(running: Running, tmp_path: Path) -> None:
    async with serving(running, tmp_path) as url:
        assert await get(running, f"{url}/healthz") == (
            500, "[+]ping ok\n[+]log ok\n[-]syncloop failed: reason withheld\nhealthz check failed\n"
        )  # fmt: skip
        assert await get(running, f"{url}/healthz/ping") == (200, "ok")
        assert await get(running, f"{url}/healthz?exclude=syncloop") == (200, "ok")
        status, text = await get(running, f"{url}/healthz?verbose&exclude=syncloop")
        assert (status, text.splitlines()[-1]) == (200, "healthz check passed")
        assert (await get(running, f"{url}/healthz/nothing"))[0] == 404
        status, text = await get(running, f"{url}/metrics/slis")
        assert 'kubernetes_healthcheck{name="syncloop",type="healthz"} 0' in text


async def test_zpages(running: Running, tmp_path: Path) -> None:
    async with serving(running, tmp_path) as url:
        status, text = await get(running, f"{url}/statusz")
        assert status == 200
        assert text.startswith("\nkubelet statusz\nWarning: This endpoint is not meant to be machine parseable")
        assert "/metrics" in text and "/statusz" in text
        status, text = await get(running, f"{url}/flagz")
        assert text.startswith("\nkubelet flagz\n") and "\nv=2\n" in text


async def test_the_log_level_can_be_set(running: Running, tmp_path: Path) -> None:
    before = logging.getLogger("steersman").level
    try:
        async with serving(running, tmp_path) as url:
            status, text = await get(running, f"{url}/debug/flags/v", "PUT", "5")
            assert (status, text) == (200, "successfully set klog.logging.verbosity to 5")
            assert logging.getLogger("steersman").level == logging.DEBUG
            assert (await get(running, f"{url}/debug/flags/v", "PUT", "loud"))[0] == 400
    finally:
        logging.getLogger("steersman").setLevel(before)


async def test_metrics_endpoints_speak_prometheus(running: Running) -> None:
    async with running.session(GOOD_TOKEN) as session:
        for path, series in (
            ("/metrics/resource", "node_cpu_usage_seconds_total"),
            ("/metrics/cadvisor", "machine_cpu_cores"),
            ("/metrics", "kubelet_http_requests_total"),
            ("/metrics/probes", ""),
        ):
            async with session.get(path) as response:
                assert response.status == 200
                assert response.content_type == "text/plain"
                assert series in await response.text()
