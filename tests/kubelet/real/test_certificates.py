"""TLS bootstrapping and rotation: the program ``steersman kubelet`` with certificates that live for a minute."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import random
import socket
import ssl
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from steersman.aio.clock import SystemClock
from steersman.aio.tasks import TaskGroup
from steersman.apiserver.audit.configuration import AuditConfig, AuditLog
from steersman.apiserver.audit.policy import parse
from steersman.apiserver.authn.api import CREDENTIAL_ID
from steersman.apiserver.component import APIServer
from steersman.apiserver.config import APIServerConfig, Listener
from steersman.apiserver.tls import server_context
from steersman.client.api import Client
from steersman.client.inprocess import InProcessTransport
from steersman.cluster import kubeconfigs, mounts
from steersman.cluster.containerd import Containerd
from steersman.cluster.pki import ClusterPKI, ServingHosts
from steersman.controllers.component import ControllerManager
from steersman.controllers.config import ControllerManagerConfig, KeyPair
from steersman.meta import objects
from steersman.meta.errors import Conflict, NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import CERTIFICATESIGNINGREQUESTS, CLUSTERROLEBINDINGS, NODES, SECRETS
from steersman.store.drivers.memory import MemoryStore
from steersman.testing.containerd import cgroup_parent
from tests.kubelet.certificates.bindings import binding
from tests.patience import PATIENCE

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]

NODE = "certain-1"
TOKEN = "abcdef.0123456789abcdef"
BOOTSTRAPPER = "system:bootstrap:abcdef"
LIFE_S = 60.0
CLIENT, SERVING = "kubernetes.io/kube-apiserver-client-kubelet", "kubernetes.io/kubelet-serving"
REQUESTS = "system:certificates.k8s.io:certificatesigningrequests"
BINDINGS = {
    "system:node-bootstrapper": "system:bootstrappers",
    f"{REQUESTS}:nodeclient": "system:bootstrappers",
    f"{REQUESTS}:selfnodeclient": "system:nodes",
}
AUDIT = {
    "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived", "ResponseStarted"],
    "rules": [{"level": "Metadata", "userGroups": ["system:nodes", "system:bootstrappers"]}],
}  # fmt: skip
CONTROLLERS = (
    "certificatesigningrequest-approving-controller",
    "certificatesigningrequest-signing-controller",
    "node-lifecycle-controller",
)


@dataclass(kw_only=True)
class CertainNode:
    """A kubelet that begins with a bootstrap token and nothing else, and all that it needs."""

    client: Client
    pki: ClusterPKI
    directory: Path
    words: list[str]
    port: int
    unready: list[Object]
    """Every Node that was seen not Ready after it had been."""

    @property
    def kubeconfig(self) -> Path:
        return self.directory / "kubeconfig"

    @asynccontextmanager
    async def kubelet(self) -> AsyncIterator[None]:
        with (self.directory / "kubelet.log").open("a") as log:
            process = await asyncio.create_subprocess_exec(*self.words, stdout=log, stderr=log)
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def until(self, holds: Callable[[], Awaitable[Any]], what: str, *, within_s: float = 60) -> Any:
        """The first true answer."""
        deadline_s = time.monotonic() + within_s * PATIENCE
        while not (found := await holds()):
            if time.monotonic() > deadline_s:
                log = (self.directory / "kubelet.log").read_text()[-4000:]
                raise AssertionError(f"waited {within_s:g} s for {what}\n{log}")
            await asyncio.sleep(0.1)
        return found

    def current(self, prefix: str) -> x509.Certificate | None:
        """What the kubelet keeps as its current certificate."""
        try:
            return x509.load_pem_x509_certificate(
                (self.directory / "pki-of-node" / f"{prefix}-current.pem").read_bytes()
            )
        except FileNotFoundError:
            return None

    async def served(self) -> x509.Certificate | None:
        """What the kubelet's server shows; None while it has none."""
        context = ssl.create_default_context(cafile=str(self.pki.authority.pair.certificate))
        context.check_hostname = False
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=context)
        except OSError:  # ssl.SSLError is one
            return None
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return x509.load_der_x509_certificate(shown)

    async def metrics(self) -> dict[str, float]:
        """What the kubelet tells an administrator, without what has labels."""
        admin = self.pki.ensure_client("admin", "admin", ("system:masters",))
        context = ssl.create_default_context(cafile=str(self.pki.authority.pair.certificate))
        context.check_hostname = False
        context.load_cert_chain(admin.certificate, admin.key)
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"https://127.0.0.1:{self.port}/metrics", ssl=context) as answer,
        ):
            assert answer.status == 200, await answer.text()
            lines = [line.split() for line in (await answer.text()).splitlines() if line[0] != "#" and "{" not in line]
        return {name: float(value) for name, value in lines}

    def heartbeats(self) -> list[str]:
        """The certificate of each renewal of the node's Lease, as the API server saw it, in order."""
        found = []
        for line in (self.directory / "audit.log").read_text().splitlines():
            event = json.loads(line)
            if (event.get("objectRef") or {}).get("resource") == "leases" and event["verb"] in ("update", "create"):
                assert event["user"]["username"] == f"system:node:{NODE}"
                found.extend(event["user"]["extra"][CREDENTIAL_ID])
        return found

    async def is_ready(self) -> bool:
        try:
            return objects.is_true(await self.client.get(NODES, NODE), "Ready")
        except NotFound:
            return False

    async def requests(self, signer: str) -> list[Object]:
        """Oldest first."""
        found = (await self.client.list(CERTIFICATESIGNINGREQUESTS)).items
        chosen = [item for item in found if item["spec"]["signerName"] == signer]
        return sorted(chosen, key=lambda item: int(objects.resource_version(item)))

    async def approve(self) -> None:
        """What an administrator's own controller does, as nothing of upstream's approves serving certificates."""
        while True:
            for item in await self.requests(SERVING):
                if not (item.get("status") or {}).get("conditions"):
                    condition = {"type": "Approved", "status": "True", "reason": "ByTest", "message": "it is ours"}
                    approved = {**item, "status": {"conditions": [condition]}}
                    with contextlib.suppress(Conflict, NotFound):
                        await self.client.update(CERTIFICATESIGNINGREQUESTS, approved, subresource="approval")
            await asyncio.sleep(0.1)

    async def watch_node(self) -> None:
        was_ready = False
        async for event in self.client.watch(NODES, field_selector=f"metadata.name={NODE}"):
            if event.type in ("ADDED", "MODIFIED"):
                ready = objects.is_true(event.object, "Ready")
                if was_ready and not ready:
                    self.unready.append(event.object)
                was_ready = was_ready or ready


def identity_of(certificate: x509.Certificate) -> str:
    return f"X509SHA256={hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()}"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def kubelet_words(instance: Containerd, directory: Path, pki: ClusterPKI, port: int) -> list[str]:
    configuration = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "rotateCertificates": True, "serverTLSBootstrap": True, "nodeStatusUpdateFrequency": "1s",
        "nodeLeaseDurationSeconds": 4, "port": port, "healthzPort": 0, "failSwapOn": False, "failCgroupV1": False,
        "makeIPTablesUtilChains": False, "cgroupRoot": cgroup_parent(instance),
        "containerRuntimeEndpoint": instance.endpoint, "podLogsDir": str(directory / "logs"),
        "authentication": {"x509": {"clientCAFile": str(pki.authority.pair.certificate)}},
    }  # fmt: skip
    (directory / "kubelet.yaml").write_text(yaml.safe_dump(configuration))
    return [
        sys.executable, "-m", "steersman.cli", "kubelet", f"--kubeconfig={directory / 'kubeconfig'}",
        f"--bootstrap-kubeconfig={directory / 'bootstrap-kubeconfig'}", f"--cert-dir={directory / 'pki-of-node'}",
        f"--config={directory / 'kubelet.yaml'}", f"--hostname-override={NODE}", f"--root-dir={directory / 'kubelet'}",
        "--node-ip=127.0.0.1",
    ]  # fmt: skip


@pytest.fixture
async def node(instance: Containerd, tmp_path: Path) -> AsyncIterator[CertainNode]:
    clock = SystemClock()
    pki = ClusterPKI(tmp_path / "pki", clock=clock)
    pki.ensure_api_server(ServingHosts((), "cluster.local"))
    authority, serving = pki.authority.pair, pki.pair("apiserver")
    config = APIServerConfig(
        client_ca=authority.certificate.read_bytes(),
        authorization_modes=("Node", "RBAC"),
        enable_bootstrap_tokens=True,
        audit=AuditConfig(policy=parse(AUDIT), log=AuditLog(path=str(tmp_path / "audit.log"))),
    )
    listener = Listener(
        bind_address="127.0.0.1", port=0, certificate_file=str(serving.certificate), key_file=str(serving.key)
    )
    server = APIServer(store=MemoryStore(clock=clock), clock=clock, config=config, rng=random.Random())
    await server.start()
    port = await server.serve("127.0.0.1", 0, tls=server_context(listener, config))
    client = Client(InProcessTransport(server.handle))
    await client.create(SECRETS, bootstrap_secret())
    for number, (role, members) in enumerate(BINDINGS.items()):
        await client.create(CLUSTERROLEBINDINGS, binding(f"bootstrap-{number}", role, members))
    document = kubeconfigs.document(
        server=f"https://127.0.0.1:{port}",
        authority=authority.certificate,
        identity=serving,
        context="bootstrap",
        user="bootstrap",
    )
    document["users"][0]["user"] = {"token": TOKEN}
    kubeconfigs.write(tmp_path / "bootstrap-kubeconfig", document)
    manager = ControllerManager(
        client=client,
        clock=clock,
        config=ControllerManagerConfig(
            controllers=CONTROLLERS,
            cluster_signing=KeyPair(
                certificate_pem=authority.certificate.read_bytes(), key_pem=authority.key.read_bytes()
            ),
            cluster_signing_duration_s=LIFE_S,
            node_monitor_grace_period_s=8 * PATIENCE,
        ),
        rng=random.Random(),
    )
    kubelet_port = free_port()
    found = CertainNode(
        client=client,
        pki=pki,
        directory=tmp_path,
        words=kubelet_words(instance, tmp_path, pki, kubelet_port),
        port=kubelet_port,
        unready=[],
    )
    mounts.make_shared(tmp_path / "kubelet")
    try:
        async with TaskGroup("cluster") as group:
            group.spawn(manager.run(), name="controllers")
            group.spawn(found.approve(), name="approver")
            group.spawn(found.watch_node(), name="watch")
            yield found
    finally:
        await server.close()
        mounts.unmount_below(tmp_path)


def bootstrap_secret() -> Object:
    """As ``kubeadm token create`` makes it."""
    token_id, _, secret = TOKEN.partition(".")
    return {
        "apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token",
        "metadata": {"name": f"bootstrap-token-{token_id}", "namespace": "kube-system"},
        "stringData": {"token-id": token_id, "token-secret": secret, "usage-bootstrap-authentication": "true"},
    }  # fmt: skip


async def test_a_node_joins_with_a_token_and_keeps_its_certificates_valid(node: CertainNode) -> None:
    async with node.kubelet():
        await node.until(node.is_ready, "the node to be Ready")
        user = yaml.safe_load(node.kubeconfig.read_text())["users"][0]["user"]
        current = str(node.directory / "pki-of-node" / "kubelet-client-current.pem")
        assert user == {"client-certificate": current, "client-key": current}, "no trace of the token"
        first = (await node.requests(CLIENT))[0]
        assert first["spec"]["username"] == BOOTSTRAPPER
        assert first["status"]["conditions"][0]["reason"] == "AutoApproved"

        shown = await node.until(node.served, "a serving certificate")
        names = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
        known = node.heartbeats()[0]

        async def client_certificate_is_new() -> bool:
            certificate = node.current("kubelet-client")
            return certificate is not None and identity_of(certificate) != known

        async def is_used() -> bool:
            """The API server is spoken to with the newest that there is."""
            certificate = node.current("kubelet-client")
            return certificate is not None and node.heartbeats()[-1] == identity_of(certificate)

        async def serving_certificate_is_new() -> bool:
            now = await node.served()
            return now is not None and now.serial_number != shown.serial_number

        await node.until(client_certificate_is_new, "another client certificate")
        await node.until(is_used, "it to be used")
        await node.until(serving_certificate_is_new, "another serving certificate")
        second = (await node.requests(CLIENT))[1]
        assert second["spec"]["username"] == f"system:node:{NODE}", "from now on the node speaks for itself"
        told = await node.metrics()
        for whose in ("client", "server"):
            assert 0 <= told[f"kubelet_certificate_manager_{whose}_ttl_seconds"] <= LIFE_S
        assert told["kubelet_certificate_manager_server_rotation_seconds_count"] >= 1
        assert told["kubelet_certificate_manager_client_expiration_renew_errors"] == 0
        assert told["kubelet_server_expiration_renew_errors"] == 0
        assert not node.unready


async def test_a_kubelet_that_starts_again_needs_no_token(node: CertainNode) -> None:
    async with node.kubelet():
        await node.until(node.is_ready, "the node to be Ready")
    (node.directory / "bootstrap-kubeconfig").unlink()
    before = len(node.heartbeats())
    asked = [item for item in await node.requests(CLIENT) if item["spec"]["username"] == BOOTSTRAPPER]
    node.words = [word for word in node.words if "bootstrap" not in word]

    async def beats() -> bool:
        return len(node.heartbeats()) > before

    async with node.kubelet():
        await node.until(beats, "the node's next sign of life")
    assert [item for item in await node.requests(CLIENT) if item["spec"]["username"] == BOOTSTRAPPER] == asked
