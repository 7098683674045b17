"""Certificates, before a server with RBAC: who may approve, sign and attest; what nobody may ask for; times of conditions."""

from __future__ import annotations

import base64
import random
from collections.abc import AsyncIterator

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec.structs import replace

from steersman.aio.clock import FakeClock
from steersman.apiserver.admission.api import AdmissionRequest, Operation
from steersman.apiserver.admission.certificatesubjectrestriction import CertificateSubjectRestriction
from steersman.apiserver.admission.clustertrustbundleattest import ClusterTrustBundleAttest
from steersman.apiserver.authn.api import User
from steersman.apiserver.authz.alwaysallow import AlwaysAllowAuthorizer
from steersman.apiserver.authz.alwaysdeny import AlwaysDenyAuthorizer
from steersman.apiserver.component import APIServer
from steersman.client.api import Client
from steersman.client.inprocess import InProcessTransport
from steersman.meta import objects, times
from steersman.meta.errors import Forbidden
from steersman.meta.objects import Object
from steersman.meta.resources import CERTIFICATESIGNINGREQUESTS, CLUSTERROLEBINDINGS, CLUSTERROLES, Resource
from steersman.schema.kind import Kind
from steersman.store.drivers.memory import MemoryStore
from tests.apiserver.admission.asking import asked, refusal
from tests.apiserver.conftest import CONFIG

SIGNER = "example.com/clients"


@pytest.fixture
async def server(clock: FakeClock) -> AsyncIterator[APIServer]:
    config = replace(CONFIG, authorization_modes=("RBAC",))
    server = APIServer(store=MemoryStore(clock=clock), clock=clock, config=config, rng=random.Random(7))
    await server.start()
    yield server
    await server.close()


def encoded(*organizations: str) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    named = [x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, entry) for entry in organizations]
    subject = x509.Name([*named, x509.NameAttribute(x509.NameOID.COMMON_NAME, "joe")])
    pem = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return base64.b64encode(pem.public_bytes(serialization.Encoding.PEM)).decode()


def signing_request(signer: str = SIGNER, *organizations: str) -> Object:
    spec = {"request": encoded(*organizations), "signerName": signer, "usages": ["client auth"]}
    return {"metadata": {"name": "a"}, "spec": spec}


async def permitted(client: Client, user: str, *verbs: str, names: tuple[str, ...]) -> None:
    """``user`` may write certificate signing requests, and has the verbs on the signers of those names."""
    group = {"apiGroups": ["certificates.k8s.io"]}
    parts = ["certificatesigningrequests/approval", "certificatesigningrequests/status"]
    rules = [
        {**group, "resources": parts, "verbs": ["*"]},
        {**group, "resources": ["signers"], "resourceNames": list(names), "verbs": list(verbs)},
    ]
    await client.create(CLUSTERROLES, {"metadata": {"name": user}, "rules": rules})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": user}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}
    await client.create(CLUSTERROLEBINDINGS, {"metadata": {"name": user}, "roleRef": reference, "subjects": [subject]})


def as_user(server: APIServer, name: str) -> Client:
    return Client(InProcessTransport(server.handle, user=name, groups=("system:authenticated",)))


def with_condition(request: Object, kind: str, **fields: str) -> Object:
    condition = {"type": kind, "status": "True", "reason": "Test", **fields}
    status = request.get("status") or {}
    return {**request, "status": {**status, "conditions": [*status.get("conditions", ()), condition]}}


@pytest.mark.parametrize("names", [(SIGNER,), ("example.com/*",)])
@pytest.mark.parametrize(
    ("verb", "subresource", "kind"), [("approve", "approval", "Denied"), ("sign", "status", "Failed")]
)
async def test_a_signer_is_spoken_for_by_who_is_permitted(
    client: Client, server: APIServer, verb: str, subresource: str, kind: str, names: tuple[str, ...]
) -> None:
    await permitted(client, "joe", verb, names=names)
    made = with_condition(await client.create(CERTIFICATESIGNINGREQUESTS, signing_request()), kind)
    written = await as_user(server, "joe").update(CERTIFICATESIGNINGREQUESTS, made, subresource=subresource)
    assert objects.is_true(written, kind)


@pytest.mark.parametrize(
    ("verb", "subresource", "kind"), [("approve", "approval", "Denied"), ("sign", "status", "Failed")]
)
async def test_nobody_else_speaks_for_it(
    client: Client, server: APIServer, verb: str, subresource: str, kind: str
) -> None:
    other = "sign" if verb == "approve" else "approve"
    await permitted(client, "joe", verb, names=("example.com/others", "other.com/*"))
    await permitted(client, "ann", other, names=(SIGNER,))
    made = with_condition(await client.create(CERTIFICATESIGNINGREQUESTS, signing_request()), kind)
    for user in ("joe", "ann"):
        with pytest.raises(Forbidden) as caught:
            await as_user(server, user).update(CERTIFICATESIGNINGREQUESTS, made, subresource=subresource)
        assert caught.value.message == (
            f'certificatesigningrequests.certificates.k8s.io "a" is forbidden: user not permitted to {verb} requests with '
            f'signerName "{SIGNER}"'
        )


async def test_a_status_write_that_signs_nothing_needs_no_permission(client: Client, server: APIServer) -> None:
    await permitted(client, "joe", "sign", names=("example.com/others",))
    made = await client.create(CERTIFICATESIGNINGREQUESTS, signing_request())
    labelled = {**made, "metadata": {**made["metadata"], "labels": {"a": "b"}}}
    await as_user(server, "joe").update(CERTIFICATESIGNINGREQUESTS, labelled, subresource="status")


@pytest.mark.parametrize(
    ("signer", "organizations", "why"),
    [
        (
            "kubernetes.io/kube-apiserver-client",
            ("a", "system:masters"),
            "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed",
        ),
        ("kubernetes.io/kube-apiserver-client", ("system:nodes",), ""),
        (SIGNER, ("system:masters",), ""),
    ],
)
async def test_no_client_certificate_makes_a_master(signer: str, organizations: tuple[str, ...], why: str) -> None:
    request = asked(CERTIFICATESIGNINGREQUESTS, signing_request(signer, *organizations))
    expected = f'certificatesigningrequests.certificates.k8s.io "a" is forbidden: {why}' if why else ""
    assert await refusal(CertificateSubjectRestriction(), request) == expected


async def test_a_request_that_is_none_is_refused() -> None:
    made = signing_request("kubernetes.io/kube-apiserver-client")
    made["spec"]["request"] = base64.b64encode(b"nothing").decode()
    assert "failed to parse CSR: PEM block type must be CERTIFICATE REQUEST" in await refusal(
        CertificateSubjectRestriction(), asked(CERTIFICATESIGNINGREQUESTS, made)
    )


BUNDLES = Kind(
    resource=Resource(
        group="certificates.k8s.io",
        version="v1beta1",
        plural="clustertrustbundles",
        kind="ClusterTrustBundle",
        namespaced=False,
    ),
    definition="io.k8s.api.certificates.v1beta1.ClusterTrustBundle",
    singular="clustertrustbundle",
    storage_prefix="clustertrustbundles",
)


@pytest.mark.parametrize(
    ("operation", "signer", "changes", "is_asked"),
    [
        ("CREATE", SIGNER, {}, True),
        ("CREATE", "", {}, False),
        ("UPDATE", SIGNER, {"spec": {"signerName": SIGNER, "trustBundle": "new"}}, True),
        ("UPDATE", SIGNER, {"metadata": {"name": "b", "finalizers": ["a/b"]}}, False),
        ("UPDATE", SIGNER, {"metadata": {"name": "b", "labels": {"a": "b"}}}, True),
        ("DELETE", SIGNER, {}, False),
    ],
)
async def test_a_trust_bundle_is_published_by_who_attests(
    operation: Operation, signer: str, changes: Object, is_asked: bool
) -> None:
    bundle: Object = {"metadata": {"name": "b"}, "spec": {"signerName": signer, "trustBundle": "old"}}
    request = AdmissionRequest(
        operation=operation,
        kind=BUNDLES,
        namespace="",
        name="b",
        obj=None if operation == "DELETE" else {**bundle, **changes},
        old=None if operation == "CREATE" else bundle,
        user=User(name="joe"),
    )
    assert await refusal(ClusterTrustBundleAttest(AlwaysAllowAuthorizer()), request) == ""
    denied = await refusal(ClusterTrustBundleAttest(AlwaysDenyAuthorizer()), request)
    assert denied.endswith(f'user not permitted to attest for signerName "{SIGNER}"') == is_asked
    assert bool(denied) == is_asked


async def test_conditions_get_their_times(client: Client, clock: FakeClock) -> None:
    made = await client.create(CERTIFICATESIGNINGREQUESTS, signing_request())
    first = times.format_time(clock.now())
    approved = await client.update(CERTIFICATESIGNINGREQUESTS, with_condition(made, "Approved"), subresource="approval")
    assert approved["status"]["conditions"] == [
        {
            "type": "Approved",
            "status": "True",
            "reason": "Test",
            "lastUpdateTime": first,
            "lastTransitionTime": first,
        }
    ]
    await clock.advance(60)
    second = times.format_time(clock.now())
    again = {**approved, "status": {}}
    written = await client.update(
        CERTIFICATESIGNINGREQUESTS,
        with_condition(with_condition(again, "Approved", message="m"), "Audited", lastUpdateTime=first),
        subresource="approval",
    )
    found = {entry["type"]: entry for entry in written["status"]["conditions"]}
    assert (found["Approved"]["lastUpdateTime"], found["Approved"]["lastTransitionTime"]) == (second, first)
    assert (found["Audited"]["lastUpdateTime"], found["Audited"]["lastTransitionTime"]) == (first, second)
    third = await client.update(CERTIFICATESIGNINGREQUESTS, with_condition(written, "Failed"), subresource="status")
    failed = objects.condition(third, "Failed") or {}
    assert (failed["lastUpdateTime"], failed["lastTransitionTime"]) == (second, second)
