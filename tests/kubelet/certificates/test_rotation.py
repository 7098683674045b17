"""A kubelet's certificates from the cluster's own signers, with upstream's approval, on a clock that the test moves."""

from __future__ import annotations

import random
import ssl
import stat
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from steersman.aio.clock import FakeClock
from steersman.aio.tasks import TaskGroup
from steersman.client.api import Client
from steersman.client.inprocess import InProcessTransport
from steersman.client.kubeconfig import KubeConfig, load
from steersman.kubelet.certificates.bootstrap import is_usable, write_kubeconfig
from steersman.kubelet.certificates.pair import CertificatePair, PairError, PairStore, key_to_pem, new_key, pair_of
from steersman.kubelet.certificates.rotation import CertificateManager
from steersman.kubelet.certificates.signing_requests import (
    CLIENT_SIGNER,
    SERVING_SIGNER,
    RequestFailed,
    Template,
    certificate_of,
    request_certificate,
    serving_template,
    signing_request,
)
from steersman.kubelet.server.certificates import ServerCertificate
from steersman.meta import objects
from steersman.meta.resources import CERTIFICATESIGNINGREQUESTS, CLUSTERROLEBINDINGS
from tests.controllers.kinds.test_certificates import authority
from tests.controllers.world import World, start_world
from tests.kubelet.certificates.bindings import binding

NODE = Template(node_name="node-1")
HOUR_S = 3600.0
ADDRESSES = [
    {"type": "InternalIP", "address": "192.0.2.1"}, {"type": "Hostname", "address": "node-1"},
    {"type": "ExternalDNS", "address": "node-1.example.com"},
]  # fmt: skip


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with TaskGroup("test") as group:
        world = await start_world(
            group, "certificatesigningrequest-approving-controller", "certificatesigningrequest-signing-controller",
            cluster_signing=authority(), cluster_signing_duration_s=10 * HOUR_S,
        )  # fmt: skip
        role = "system:certificates.k8s.io:certificatesigningrequests"
        await world.client.create(CLUSTERROLEBINDINGS, binding("first", f"{role}:nodeclient", "system:bootstrappers"))
        await world.client.create(CLUSTERROLEBINDINGS, binding("again", f"{role}:selfnodeclient", "system:nodes"))
        yield world


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def client_of(world: World, user: str, *groups: str) -> Client:
    return Client(InProcessTransport(world.server.handle, user=user, groups=("system:authenticated", *groups)))


class Keeping:
    """A manager whose client is whoever it is told to be."""

    def __init__(
        self, world: World, folder: Path, *, signer: str = CLIENT_SIGNER, template: Any = lambda: NODE
    ) -> None:
        self.client = client_of(world, "system:node:node-1", "system:nodes")
        self.adopted: list[CertificatePair] = []
        self.failures = 0
        self.lived_s: list[float] = []
        self.store = PairStore(folder, "kubelet-client")
        self.manager = CertificateManager(
            signer=signer, template=template, store=self.store, client=lambda: self.client, clock=world.clock,
            rng=random.Random(5), adopted=self.adopted.append, failed=self._fail, rotated=self.lived_s.append,
        )  # fmt: skip

    def _fail(self) -> None:
        self.failures += 1


async def test_a_bootstrap_identity_gets_a_nodes_client_certificate(world: World, tmp_path: Path) -> None:
    keeping = Keeping(world, tmp_path)
    keeping.client = client_of(world, "system:bootstrap:abcdef", "system:bootstrappers")
    pair = await keeping.manager.rotate(NODE)
    subject = pair.leaf.subject
    assert [item.value for item in subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == ["system:node:node-1"]
    assert [item.value for item in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)] == ["system:nodes"]
    usage = pair.leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert keeping.store.load() == pair
    [request] = (await world.client.list(CERTIFICATESIGNINGREQUESTS)).items
    assert objects.name(request).startswith("csr-")
    assert request["spec"]["usages"] == ["digital signature", "client auth"]
    assert request["status"]["conditions"][0]["reason"] == "AutoApproved"


async def test_it_is_renewed_when_most_of_its_time_is_over(world: World, tmp_path: Path) -> None:
    keeping = Keeping(world, tmp_path)
    async with TaskGroup("run") as group:
        group.spawn(keeping.manager.run(), name="manager")
        await world.clock.advance(30)
        assert len(keeping.adopted) == 1
        await world.clock.advance(6.8 * HOUR_S)
        assert len(keeping.adopted) == 1
        await world.clock.advance(2.3 * HOUR_S)
        assert len(keeping.adopted) == 2
    assert 6.9 * HOUR_S <= keeping.lived_s[0] <= 9.2 * HOUR_S
    assert keeping.adopted[1].not_after_s > keeping.adopted[0].not_after_s
    assert len(files(tmp_path)) == 3


async def test_one_that_is_on_disk_is_used_at_once(world: World, tmp_path: Path) -> None:
    first = Keeping(world, tmp_path)
    await first.manager.rotate(NODE)
    again = Keeping(world, tmp_path)
    assert again.manager.load() == first.adopted[0]
    async with TaskGroup("run") as group:
        group.spawn(again.manager.run(), name="manager")
        await world.clock.advance(60)
    assert again.adopted == first.adopted
    assert again.manager.ttl_s() == pytest.approx(10 * HOUR_S - 60, abs=400)


async def test_without_approval_it_waits_a_quarter_of_an_hour_and_asks_anew(world: World, tmp_path: Path) -> None:
    keeping = Keeping(world, tmp_path, signer=SERVING_SIGNER, template=lambda: serving_template("node-1", ADDRESSES))
    async with TaskGroup("run") as group:
        group.spawn(keeping.manager.run(), name="manager")
        await world.clock.advance(10)
        [request] = (await world.client.list(CERTIFICATESIGNINGREQUESTS)).items
        assert not (request.get("status") or {}).get("conditions"), "serving certificates are nobody's to approve"
        await world.clock.advance(920)
        assert keeping.failures == 1
        requests = (await world.client.list(CERTIFICATESIGNINGREQUESTS)).items
        assert len(requests) == 2
        for item in requests:
            condition = {"type": "Approved", "status": "True", "reason": "ByTest", "message": "fine"}
            status = {**(item.get("status") or {}), "conditions": [condition]}
            await world.client.update(CERTIFICATESIGNINGREQUESTS, {**item, "status": status}, subresource="approval")
        await world.clock.advance(10)
    [pair] = keeping.adopted
    names = pair.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["node-1", "node-1.example.com"]
    assert [str(item) for item in names.get_values_for_type(x509.IPAddress)] == ["192.0.2.1"]


async def test_a_denied_request_says_why(world: World) -> None:
    client = client_of(world, "system:node:node-1", "system:nodes")

    async def deny(name: str) -> None:
        request = await world.client.get(CERTIFICATESIGNINGREQUESTS, name)
        condition = {"type": "Denied", "status": "True", "reason": "No", "message": "not you"}
        await world.client.update(
            CERTIFICATESIGNINGREQUESTS, {**request, "status": {"conditions": [condition]}}, subresource="approval"
        )

    async with TaskGroup("deny") as group:
        template = Template(node_name="node-1", dns_names=("x",))
        with pytest.raises(RequestFailed, match="is denied: No not you"):
            await request_certificate(
                client, template, new_key(), signer=SERVING_SIGNER, clock=world.clock,
                requested=lambda name: _start(group, deny(name)),
            )  # fmt: skip


async def test_other_addresses_need_another_certificate(world: World, tmp_path: Path) -> None:
    found = serving_template("node-1", ADDRESSES)
    assert found is not None
    key = new_key()
    request = signing_request(found, key, signer=SERVING_SIGNER)
    assert request["spec"]["usages"] == ["digital signature", "server auth"]
    certificate = (await _signed(world, found)).leaf
    assert found.fits(certificate)
    assert not Template(node_name="node-1", addresses=("192.0.2.9",)).fits(certificate)
    assert not Template(node_name="node-2", dns_names=found.dns_names).fits(certificate)
    assert Template(node_name="node-1", dns_names=("node-1",)).fits(certificate)


async def _signed(world: World, template: Template) -> CertificatePair:
    client = client_of(world, "system:node:node-1", "system:nodes")

    async def approve(name: str) -> None:
        request = await world.client.get(CERTIFICATESIGNINGREQUESTS, name)
        condition = {"type": "Approved", "status": "True", "reason": "ByTest", "message": "fine"}
        await world.client.update(
            CERTIFICATESIGNINGREQUESTS, {**request, "status": {"conditions": [condition]}}, subresource="approval"
        )

    async with TaskGroup("approve") as group:
        return await request_certificate(
            client, template, new_key(), signer=SERVING_SIGNER, clock=world.clock,
            requested=lambda name: _start(group, approve(name)),
        )  # fmt: skip


def _start(group: TaskGroup, work: Coroutine[Any, Any, None]) -> None:
    group.spawn(work, name="answer")


def test_without_addresses_there_is_nothing_to_ask_for() -> None:
    assert serving_template("node-1", []) is None
    assert serving_template("node-1", [{"type": "InternalIP", "address": "no address"}]) is None


def test_a_failed_request_never_gives_a_certificate() -> None:
    condition = {"type": "Failed", "status": "True", "reason": "SignerValidationFailure", "message": "bad"}
    with pytest.raises(RequestFailed, match="is failed: SignerValidationFailure bad"):
        certificate_of({"metadata": {"name": "csr-1"}, "status": {"conditions": [condition]}})


async def test_the_current_pair_is_replaced_in_one_step_and_old_ones_stay(world: World, tmp_path: Path) -> None:
    store = PairStore(tmp_path, "kubelet-client")
    assert store.load() is None
    first = await _signed(world, Template(node_name="node-1", dns_names=("a",)))
    second = await _signed(world, Template(node_name="node-1", dns_names=("b",)))
    store.save(first, now_s=0)
    store.save(second, now_s=3600)
    assert store.load() == second
    assert store.current_path.is_symlink()
    assert files(tmp_path) == [
        "kubelet-client-1970-01-01-00-00-00.pem", "kubelet-client-1970-01-01-01-00-00.pem", "kubelet-client-current.pem"
    ]  # fmt: skip
    assert stat.S_IMODE(store.current_path.stat().st_mode) == 0o600


async def test_a_key_that_belongs_to_another_certificate_is_noticed(world: World) -> None:
    pair = await _signed(world, Template(node_name="node-1", dns_names=("a",)))
    with pytest.raises(PairError, match="do not belong together"):
        pair_of(pair.certificate_pem, key_to_pem(new_key()))


async def test_the_kubeconfig_that_bootstrapping_leaves_behind(world: World, tmp_path: Path) -> None:
    clock = FakeClock()
    store = PairStore(tmp_path / "pki", "kubelet-client")
    pair = await _signed(world, Template(node_name="node-1", dns_names=("a",)))
    kubeconfig = tmp_path / "kubelet.conf"
    assert not is_usable(kubeconfig, now_s=clock.now())
    given = KubeConfig(server="https://192.0.2.7:6443", ca_pem=b"authority", token="secret")
    store.save(pair, now_s=clock.now())
    write_kubeconfig(kubeconfig, given, store.current_path)
    document = yaml.safe_load(kubeconfig.read_text())
    assert document["users"][0]["user"] == {
        "client-certificate": str(store.current_path), "client-key": str(store.current_path)
    }  # fmt: skip
    found = load(kubeconfig)
    assert (found.server, found.ca_pem, found.token) == (given.server, given.ca_pem, "")
    assert is_usable(kubeconfig, now_s=clock.now())
    assert not is_usable(kubeconfig, now_s=clock.now() + 400 * HOUR_S)


async def test_a_server_without_a_certificate_yet_refuses_handshakes_until_it_has_one(world: World) -> None:
    served = ServerCertificate(None, None)
    pair = await _signed(world, Template(node_name="node-1", dns_names=("node-1",)))
    with pytest.raises(ssl.SSLError):
        _handshake(served.context)
    served.use_pair(pair)
    assert _handshake(served.context) == pair.leaf.serial_number


def _handshake(server: ssl.SSLContext) -> int:
    """The serial number of the certificate that a client sees."""
    client = ssl.create_default_context()
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    here = client.wrap_bio(to_client, to_server)
    there = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (here, there):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    der = here.getpeercert(binary_form=True)
    assert der is not None
    return x509.load_der_x509_certificate(der).serial_number
