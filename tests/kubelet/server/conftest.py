"""A kubelet server on a loopback port with a certificate authority of its own."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry

from steersman.aio.clock import SystemClock
from steersman.client.api import Client
from steersman.client.inprocess import InProcessTransport
from steersman.cluster.pki import ClusterPKI
from steersman.kubelet.runtimes.containers import ContainerConfig, ContainerMetadata
from steersman.kubelet.runtimes.images import ImageSpec
from steersman.kubelet.runtimes.sandboxes import PodSandboxConfig, PodSandboxMetadata
from steersman.kubelet.server.authentication import (
    CertificateAuthenticator,
    TokenReviewAuthenticator,
    UnionAuthenticator,
)
from steersman.kubelet.server.authorization import SubjectAccessReviewAuthorizer
from steersman.kubelet.server.certificates import ServerCertificate
from steersman.kubelet.server.documents import About
from steersman.kubelet.server.server import KubeletServer, ServerConfig
from steersman.kubelet.stats import StatsPlaces, StatsProvider
from tests.kubelet.server.loopback import GOOD_TOKEN, LoopbackRuntime, OnePod, Reviews

LOG = (
    "2026-01-01T00:00:01Z stdout F one\n"
    "2026-01-01T00:00:02Z stderr F two\n"
    "2026-01-01T00:00:03Z stdout F three\n"
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """The server under test and how to reach it."""

    server: KubeletServer
    runtime: LoopbackRuntime
    reviews: Reviews
    pki: ClusterPKI
    log: Path

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.server.port}"

    def tls(self, client: str = "") -> ssl.SSLContext:
        """A client's settings, with the certificate ``client`` where one is named."""
        context = ssl.create_default_context(cafile=str(self.pki.authority.pair.certificate))
        if client:
            pair = self.pki.pair(client)
            context.load_cert_chain(pair.certificate, pair.key)
        return context

    def session(self, token: str = GOOD_TOKEN, *, client: str = "") -> aiohttp.ClientSession:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return aiohttp.ClientSession(
            self.url, headers=headers, connector=aiohttp.TCPConnector(ssl=self.tls(client), force_close=True)
        )


@pytest_asyncio.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    clock = SystemClock()
    pki = ClusterPKI(tmp_path / "pki", clock=clock)
    serving = pki.ensure_kubelet_server("node-1", ["127.0.0.1"])
    pki.ensure_client("admin", "admin", ("system:masters",))
    pki.ensure_client("nobody", "nobody", ("guests",))
    runtime, reviews, log = LoopbackRuntime(), Reviews(), tmp_path / "0.log"
    log.write_text(LOG)
    sandbox = PodSandboxConfig(metadata=PodSandboxMetadata(name="web", uid="u1", namespace="default"))
    sandbox_id = await runtime.run_pod_sandbox(sandbox)
    container = ContainerConfig(metadata=ContainerMetadata(name="main"), image=ImageSpec(image="i"))
    container_id = await runtime.create_container(sandbox_id, container, sandbox)
    await runtime.start_container(container_id)
    client = Client(InProcessTransport(reviews))
    server = KubeletServer(
        pods=OnePod(container_id, sandbox_id, log),
        runtime=runtime,
        stats=StatsProvider(runtime, node_name="node-1", places=StatsPlaces(root_dir=tmp_path), clock=clock),
        authenticator=UnionAuthenticator(CertificateAuthenticator(), TokenReviewAuthenticator(client, clock=clock)),
        authorizer=SubjectAccessReviewAuthorizer(client, node_name="node-1", clock=clock),
        certificate=ServerCertificate((serving.certificate, serving.key), pki.authority.pair.certificate),
        clock=clock,
        config=ServerConfig(
            address="127.0.0.1", port=0, healthz_port=0, checkpoint_dir=tmp_path / "checkpoints",
        ),
        registry=CollectorRegistry(),
        about=About(configz=lambda: {"maxPods": 110}, flags={"node-ip": "192.0.2.1"}),
    )  # fmt: skip
    await server.start()
    yield Running(server=server, runtime=runtime, reviews=reviews, pki=pki, log=log)
    await server.close()
    await runtime.close()


@pytest.fixture
def exec_path() -> str:
    return "/exec/default/web/main"
