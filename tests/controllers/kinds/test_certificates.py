"""CSR approving, signing and cleaning."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from steersman.controllers import certificates, signingrequests
from steersman.controllers.config import KeyPair
from steersman.meta import objects, times
from steersman.meta.objects import Object
from steersman.meta.resources import CERTIFICATESIGNINGREQUESTS
from tests.controllers.conftest import StartWorld
from tests.controllers.world import World

KUBELET_USAGES = ("digital signature", "client auth")


def authority() -> KeyPair:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test-ca")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2025, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2036, 1, 1, tzinfo=UTC))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    return KeyPair(certificate_pem=certificate.public_bytes(Encoding.PEM), key_pem=key_pem)


def request(
    signer: str = signingrequests.KUBELET_CLIENT,
    *,
    name: str = "csr",
    common_name: str = "system:node:n1",
    organization: str = "system:nodes",
    usages: tuple[str, ...] = KUBELET_USAGES,
    dns: tuple[str, ...] = (),
    **spec: Any,
) -> Object:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = [
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
        x509.NameAttribute(NameOID.COMMON_NAME, common_name),
    ]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    if dns:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(entry) for entry in dns]), critical=False
        )
    pem = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    body = {"request": base64.b64encode(pem).decode(), "signerName": signer, "usages": list(usages), **spec}
    return {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": name},
        "spec": body,
    }


async def approve(world: World, name: str = "csr") -> None:
    found = await world.get(CERTIFICATESIGNINGREQUESTS, name)
    now = times.format_time(world.clock.now())
    entry = {"type": "Approved", "status": "True", "reason": "Test", "lastUpdateTime": now}
    await world.client.update(
        CERTIFICATESIGNINGREQUESTS, {**found, "status": {"conditions": [entry]}}, subresource="approval"
    )
    await world.settle()


async def issued(world: World, name: str = "csr") -> x509.Certificate:
    found = await world.get(CERTIFICATESIGNINGREQUESTS, name)
    return x509.load_pem_x509_certificate(base64.b64decode(found["status"]["certificate"]))


async def test_an_approved_request_is_signed_and_then_cleaned_away(world_of: StartWorld) -> None:
    world = await world_of(
        "certificatesigningrequest-signing-controller",
        "certificatesigningrequest-cleaner-controller",
        cluster_signing=authority(),
    )
    await world.create(CERTIFICATESIGNINGREQUESTS, request(expirationSeconds=7200))
    assert not ((await world.get(CERTIFICATESIGNINGREQUESTS, "csr")).get("status") or {}).get("certificate")
    await approve(world)
    certificate = await issued(world)
    now = datetime.fromtimestamp(world.clock.now(), UTC)
    assert (certificate.not_valid_after_utc - now).total_seconds() == 7200
    assert (now - certificate.not_valid_before_utc).total_seconds() == 300
    purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    await world.advance(3590)
    assert await world.exists(CERTIFICATESIGNINGREQUESTS, "csr")
    await world.advance(20)
    assert not await world.exists(CERTIFICATESIGNINGREQUESTS, "csr")


async def test_a_request_that_the_signer_is_not_for_fails(world_of: StartWorld) -> None:
    world = await world_of("certificatesigningrequest-signing-controller", cluster_signing=authority())
    await world.create(CERTIFICATESIGNINGREQUESTS, request(organization="others"))
    await approve(world)
    failed = objects.condition(await world.get(CERTIFICATESIGNINGREQUESTS, "csr"), "Failed")
    assert failed is not None
    assert (failed["reason"], failed["message"]) == (
        "SignerValidationFailure",
        "subject organization is not system:nodes",
    )


async def test_a_kubelet_is_approved_when_authorization_allows_it(world_of: StartWorld) -> None:
    world = await world_of("certificatesigningrequest-approving-controller")
    await world.create(CERTIFICATESIGNINGREQUESTS, request())
    await world.create(CERTIFICATESIGNINGREQUESTS, request(name="other", signer=signingrequests.CLIENT))
    approved = objects.condition(await world.get(CERTIFICATESIGNINGREQUESTS, "csr"), "Approved")
    assert approved is not None
    assert approved["message"] == "Auto approving kubelet client certificate after SubjectAccessReview."
    assert objects.condition(await world.get(CERTIFICATESIGNINGREQUESTS, "other"), "Approved") is None


@pytest.mark.parametrize(
    "signer, fields, complaint",
    [
        (signingrequests.KUBELET_CLIENT, {}, ""),
        (signingrequests.KUBELET_CLIENT, {"common_name": "n1"}, "subject common name does not begin with system:node:"),
        (signingrequests.KUBELET_CLIENT, {"dns": ("n1",)}, "DNS subjectAltNames are not allowed"),
        (
            signingrequests.KUBELET_CLIENT,
            {"usages": ("server auth",)},
            "usages did not match [client auth digital signature key encipherment]",
        ),
        (signingrequests.KUBELET_SERVING, {"usages": ("digital signature", "server auth"), "dns": ("n1",)}, ""),
        (
            signingrequests.KUBELET_SERVING,
            {"usages": ("digital signature", "server auth")},
            "DNS or IP subjectAltName is required",
        ),
        (signingrequests.CLIENT, {"usages": ("client auth",)}, ""),
        (signingrequests.CLIENT, {"usages": ("server auth",)}, "invalid usage for client certificate: server auth"),
        (signingrequests.LEGACY_UNKNOWN, {"organization": "anything"}, ""),
    ],
)
def test_what_each_signer_accepts(signer: str, fields: dict[str, Any], complaint: str) -> None:
    made = request(signer, **fields)
    parsed = certificates.parse(made)
    if not complaint:
        certificates.check(signer, parsed, made["spec"]["usages"])
        return
    with pytest.raises(certificates.NotAcceptable) as caught:
        certificates.check(signer, parsed, made["spec"]["usages"])
    assert str(caught.value) == complaint
