"""Asking the cluster for a certificate: a CertificateSigningRequest, and waiting for somebody to approve and sign it."""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from msgspec import Struct

from steersman.aio.clock import Clock
from steersman.client.api import Client
from steersman.kubelet.certificates.pair import CertificatePair, PairError, key_to_pem, pair_of
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import CERTIFICATESIGNINGREQUESTS

CLIENT_SIGNER: Final = "kubernetes.io/kube-apiserver-client-kubelet"
SERVING_SIGNER: Final = "kubernetes.io/kubelet-serving"
PATIENCE_S: Final = 900.0
"""How long a request may wait for its certificate before another one is made."""

Key = EllipticCurvePrivateKey | RSAPrivateKey


class RequestFailed(Exception):
    """The request was denied, could not be signed, or took too long."""


class Template(Struct, frozen=True, kw_only=True):
    """Whom the certificate is for."""

    node_name: str
    dns_names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()

    @property
    def common_name(self) -> str:
        return f"system:node:{self.node_name}"

    def fits(self, certificate: x509.Certificate) -> bool:
        """The certificate says all of this; it may say more."""
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        organizations = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        if [item.value for item in names] != [self.common_name] or "system:nodes" not in [
            item.value for item in organizations
        ]:
            return False
        try:
            alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return not self.dns_names and not self.addresses
        known = {
            *alternatives.get_values_for_type(x509.DNSName),
            *(str(address) for address in alternatives.get_values_for_type(x509.IPAddress)),
        }
        return known.issuperset((*self.dns_names, *self.addresses))


def serving_template(node_name: str, addresses: Sequence[Mapping[str, Any]]) -> Template | None:
    """For the kubelet's server, from the Node's addresses; None while there are none that clients could use."""
    dns, ips = set(), set()
    for entry in addresses:
        text = entry.get("address") or ""
        if not text:
            continue
        try:
            ip = str(ipaddress.ip_address(text))
        except ValueError:
            if entry["type"] in ("Hostname", "ExternalDNS", "InternalDNS"):
                dns.add(text)
        else:
            if entry["type"] in ("Hostname", "ExternalIP", "InternalIP"):
                ips.add(ip)
    if not dns and not ips:
        return None
    return Template(node_name=node_name, dns_names=tuple(sorted(dns)), addresses=tuple(sorted(ips)))


def signing_request(template: Template, key: Key, *, signer: str) -> Object:
    """As the kubelet creates it."""
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:nodes"),
            x509.NameAttribute(NameOID.COMMON_NAME, template.common_name),
        ]
    )
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in template.dns_names]
    names += [x509.IPAddress(ipaddress.ip_address(address)) for address in template.addresses]
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    pem = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    usages = ["digital signature", "client auth" if signer == CLIENT_SIGNER else "server auth"]
    if isinstance(key, RSAPrivateKey):
        usages.insert(0, "key encipherment")
    return {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"generateName": "csr-"},
        "spec": {"request": base64.b64encode(pem).decode(), "signerName": signer, "usages": usages},
    }


async def request_certificate(
    client: Client,
    template: Template,
    key: Key,
    *,
    signer: str,
    clock: Clock,
    requested: Callable[[str], None] = lambda name: None,
) -> CertificatePair:
    """Raises ``RequestFailed``, ``APIError`` or ``Unreachable``."""
    created = await client.create(CERTIFICATESIGNINGREQUESTS, signing_request(template, key, signer=signer))
    requested(objects.name(created))
    try:
        certificate = await clock.wait_for(_issued(client, objects.name(created)), PATIENCE_S)
    except TimeoutError as error:
        message = f"nobody has approved or signed {objects.name(created)} within {PATIENCE_S / 60:g} minutes"
        raise RequestFailed(message) from error
    try:
        return pair_of(certificate, key_to_pem(key))
    except PairError as error:
        raise RequestFailed(f"{objects.name(created)}: {error}") from error


async def _issued(client: Client, name: str) -> bytes:
    while True:
        events = client.watch(
            CERTIFICATESIGNINGREQUESTS, field_selector=f"metadata.name={name}", send_initial_events=True
        )
        async with aclosing(events):
            async for event in events:
                if event.type == "DELETED":
                    raise RequestFailed(f"{name} was deleted")
                if event.type in ("ADDED", "MODIFIED"):
                    certificate = certificate_of(event.object)
                    if certificate:
                        return certificate


def certificate_of(request: Mapping[str, Any]) -> bytes:
    """Empty while it is not issued yet. Raises ``RequestFailed`` where it never will be."""
    status = request.get("status") or {}
    for condition in status.get("conditions") or ():
        if condition["type"] in ("Denied", "Failed"):
            raise RequestFailed(
                f"certificate signing request {objects.name(request)} is {condition['type'].lower()}:"
                f" {condition.get('reason', '')} {condition.get('message', '')}".rstrip()
            )
    return base64.b64decode(status.get("certificate") or "")
