"""What the scheduler shows of itself, and to whom: the API server decides, as for upstream's."""

from __future__ import annotations

import random
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import click
import pytest
from aiohttp.test_utils import RawTestServer
from click.testing import CliRunner
from prometheus_client import CollectorRegistry, Counter

from steersman.aio.clock import SystemClock
from steersman.cli.delegation import Doorkeeper, doorkeeper
from steersman.cli.health import handler, tls_context
from steersman.cli.program import Collector, Delegation, Environment, Program, Serving
from steersman.cli.scheduler import command
from steersman.client.api import Client
from steersman.meta.resources import CLUSTERROLEBINDINGS, CLUSTERROLES
from steersman.scheduler.component import DEFAULT_PLUGINS, Scheduler
from steersman.scheduler.configuration import read_configuration
from tests.scheduler.builders import node, pod
from tests.scheduler.conftest import Eventually, Served, StartScheduler
from tests.scheduler.test_component import create, node_of
from tests.scheduler.test_configuration import HEAD

PATHS = ("/healthz", "/readyz", "/metrics", "/configz", "/metrics/resources")


def program(*words: str) -> Program:
    collector = Collector()
    with command.make_context("scheduler", [*words], obj=collector) as scope:
        command.invoke(scope)
    return collector.programs[0]


class Visitor:
    """Who comes with a certificate, a token or nothing."""

    def __init__(self, session: aiohttp.ClientSession, url: str, tls: ssl.SSLContext) -> None:
        self._session, self._url, self._tls = session, url, tls

    async def codes(self, *paths: str, token: str = "") -> list[int]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        found = []
        for path in paths:
            async with self._session.get(self._url + path, ssl=self._tls, headers=headers) as response:
                found.append(response.status)
        return found

    async def json(self, path: str) -> Any:
        async with self._session.get(self._url + path, ssl=self._tls) as response:
            return await response.json()


@asynccontextmanager
async def visited(served: Served, *visitors: tuple[str, ...]) -> AsyncIterator[list[Visitor]]:
    """A scheduler's server over TLS; visitors are (user, group…) with certificates of the cluster, () without."""
    async with AsyncExitStack() as stack:
        clock = SystemClock()
        environment = Environment(clock=clock, rng=random.Random(1), registry=CollectorRegistry())
        scheduler = Scheduler(client=served.client, clock=clock, registry=environment.registry)
        keeper: Doorkeeper = await doorkeeper(
            Delegation(
                authentication_kubeconfig=str(served.kubeconfig),
                authorization_kubeconfig=str(served.kubeconfig),
                client_ca_file=str(served.pki.authority.pair.certificate),
            ),
            environment,
        )
        for client in environment.clients:
            stack.push_async_callback(client.close)
        server = RawTestServer(handler(scheduler, environment.registry, keeper), scheme="https", host="127.0.0.1")
        await server.start_server(ssl=tls_context(Serving(), keeper.client_ca, clock.now()))
        stack.push_async_callback(server.close)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        found = []
        for user, groups in ((each[0], each[1:]) if each else ("", ()) for each in visitors):
            tls = ssl.create_default_context()
            tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
            if user:
                pair = served.pki.ensure_client(user, user, groups)
                tls.load_cert_chain(pair.certificate, pair.key)
            found.append(Visitor(session, str(server.make_url("")).rstrip("/"), tls))
        yield found


async def test_health_is_for_everybody_and_the_rest_for_those_whom_the_api_server_lets(served: Served) -> None:
    rules = [{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}]
    await served.client.create(CLUSTERROLES, {"metadata": {"name": "scraper"}, "rules": rules})
    await served.client.create(CLUSTERROLEBINDINGS, {
        "metadata": {"name": "scraper"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "scraper"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "prometheus"}],
    })  # fmt: skip
    async with visited(served, (), ("prometheus",), ("root", "system:masters")) as (nobody, prometheus, root):
        assert await nobody.codes(*PATHS) == [200, 500, 403, 403, 403]
        assert await nobody.codes("/metrics", token="forged") == [401]
        assert await prometheus.codes(*PATHS) == [200, 500, 200, 403, 403]
        assert await root.codes(*PATHS, "/nothing") == [200, 500, 200, 200, 200, 404]
        refused = await nobody.json("/metrics")
        assert refused["message"] == 'forbidden: User "system:anonymous" cannot get path "/metrics"'
        assert (await root.json("/configz"))["componentconfig"]["profiles"][0]["schedulerName"] == "default-scheduler"


async def test_metrics_are_those_of_go_programs() -> None:
    """Which do not tell when a series was made."""
    registry = CollectorRegistry()
    Counter("seen", "What was seen.", registry=registry).inc()
    async with (
        RawTestServer(handler(Idle(), registry, None), host="127.0.0.1") as server,
        aiohttp.ClientSession() as session,
        session.get(server.make_url("/metrics")) as answer,
    ):
        text = await answer.text()
    assert "seen_total 1.0" in text
    assert "_created" not in text


class Idle:
    async def run(self) -> None: ...

    def ready(self) -> bool:
        return True


async def test_without_anybody_to_ask_only_health_is_shown() -> None:
    environment = Environment(clock=SystemClock(), rng=random.Random(1), registry=CollectorRegistry())
    keeper = await doorkeeper(Delegation(always_allow_paths=("/healthz", "/debug/*")), environment)
    server = RawTestServer(handler(Idle(), environment.registry, keeper), host="127.0.0.1")
    async with server, aiohttp.ClientSession() as session:
        codes = []
        for path in ("/healthz", "/debug/x", "/readyz", "/metrics"):
            async with session.get(server.make_url(path)) as response:
                codes.append(response.status)
    assert codes == [200, 404, 403, 403]


def test_the_shown_configuration_has_all_defaults_and_reads_back_as_the_same() -> None:
    fit = {"name": "NodeResourcesFit", "args": {"ignoredResources": ["example.com/a"]}}
    plugins = {
        "multiPoint": {"disabled": [{"name": "ImageLocality"}], "enabled": [{"name": "NodeAffinity", "weight": 9}]}
    }
    document = {**HEAD, "podMaxBackoffSeconds": 60, "profiles": [{"pluginConfig": [fit], "plugins": plugins}]}
    shown = read_configuration(document, DEFAULT_PLUGINS).document
    assert shown["podMaxBackoffSeconds"] == 60
    assert shown["leaderElection"]["leaseDuration"] == "15s"
    profile = shown["profiles"][0]
    enabled = {entry["name"]: entry["weight"] for entry in profile["plugins"]["multiPoint"]["enabled"]}
    assert "ImageLocality" not in enabled
    assert (enabled["NodeAffinity"], enabled["TaintToleration"]) == (9, 3)
    arguments = {entry["name"]: entry["args"] for entry in profile["pluginConfig"]}
    assert arguments["NodeResourcesFit"]["ignoredResources"] == ["example.com/a"]
    assert arguments["NodeResourcesFit"]["scoringStrategy"]["type"] == "LeastAllocated"
    assert arguments["InterPodAffinity"]["hardPodAffinityWeight"] == 1
    assert read_configuration(shown, DEFAULT_PLUGINS).document == shown


def test_the_configuration_can_be_written_down(tmp_path: Path) -> None:
    target = tmp_path / "written.yaml"
    outcome = CliRunner().invoke(command, ["--leader-elect=false", f"--write-config-to={target}"])
    assert outcome.exit_code == 0
    assert "leaderElect: false" in target.read_text()
    assert CliRunner().invoke(command, [f"--config={target}", f"--write-config-to={target}"]).exit_code == 0


async def test_resources_of_pods_that_are_placed_and_that_wait(
    client: Client, start_scheduler: StartScheduler, eventually: Eventually
) -> None:
    scheduler = await start_scheduler()
    await create(client, node("n1"))
    made = pod("p1", cpu="1500m", memory="1Gi", priority=7)
    made["spec"]["containers"][0]["resources"]["limits"] = {"cpu": "2"}
    await create(client, made, pod("waits", cpu="100"))

    async def is_bound() -> bool:
        return await node_of(client, "p1") == "n1"

    await eventually(is_bound)
    text = scheduler.documents()["/metrics/resources"]().decode()
    who = 'namespace="default",node="n1",pod="p1",priority="7"'
    assert f'kube_pod_resource_request{{{who},resource="cpu",scheduler="default-scheduler",unit="cores"}} 1.5' in text
    assert f'kube_pod_resource_request{{{who},resource="memory",scheduler="default-scheduler",unit="bytes"}} ' in text
    assert f'kube_pod_resource_limit{{{who},resource="cpu",scheduler="default-scheduler",unit="cores"}} 2.0' in text
    assert 'kube_pod_resource_request{namespace="default",node="",pod="waits"' in text


@pytest.mark.parametrize(
    ("words", "port"),
    [
        ([], 0),
        (["--secure-port=1234"], 1234),
        (["--authorization-kubeconfig=x"], 10259),
        (["--authentication-kubeconfig=x", "--secure-port=0"], 0),
    ],
)
def test_the_flags_of_a_kubeadm_manifest_open_upstreams_port(words: list[str], port: int) -> None:
    serving = program("--kubeconfig=x", "--bind-address=127.0.0.1", "--profiling=false", *words).serving
    assert (serving.port, serving.bind_address) == (port, "127.0.0.1")
    assert serving.delegation is not None
    assert serving.delegation.always_allow_paths == ("/healthz", "/readyz", "/livez")


def test_profiles_of_itself_are_not_served() -> None:
    outcome = CliRunner().invoke(command, ["--profiling=true"])
    assert (outcome.exit_code, "serves no profiles" in outcome.output) == (2, True)


async def test_the_kubeconfig_of_the_file_counts_and_not_that_of_the_flag(tmp_path: Path) -> None:
    """As with kube-scheduler, whose ``--kubeconfig`` is for those who have no configuration file."""
    config = tmp_path / "config.yaml"
    config.write_text(
        "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n"
        "clientConnection: {kubeconfig: of-the-file}\n"
    )
    environment = Environment(clock=SystemClock(), rng=random.Random(1), registry=CollectorRegistry())
    with pytest.raises(click.UsageError, match="of-the-file"):
        await program(f"--config={config}", "--kubeconfig=of-the-flag").build(environment)
    with pytest.raises(click.UsageError, match="of-the-flag"):
        await program("--kubeconfig=of-the-flag").build(environment)
