"""Certificates of signing requests: what each of Kubernetes' own signers accepts, and signing. Imported when one is looked into.

Source: "Certificates and Certificate Signing Requests / Kubernetes signers" in the Kubernetes documentation.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier
from msgspec import Struct

from steersman.controllers.config import KeyPair
from steersman.controllers.signingrequests import CLIENT, KUBELET_CLIENT, KUBELET_SERVING

BACKDATE = timedelta(minutes=5)
SHORT = timedelta(hours=8)
_KEY_USAGES: Mapping[str, str] = {
    "signing": "digital_signature",
    "digital signature": "digital_signature",
    "content commitment": "content_commitment",
    "key encipherment": "key_encipherment",
    "key agreement": "key_agreement",
    "data encipherment": "data_encipherment",
    "cert sign": "key_cert_sign",
    "crl sign": "crl_sign",
    "encipher only": "encipher_only",
    "decipher only": "decipher_only",
}
_EXTENDED_USAGES: Mapping[str, ObjectIdentifier] = {
    "any": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    "server auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "code signing": ExtendedKeyUsageOID.CODE_SIGNING,
    "email protection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "s/mime": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "ipsec end system": ObjectIdentifier("1.3.6.1.5.5.7.3.5"),
    "ipsec tunnel": ObjectIdentifier("1.3.6.1.5.5.7.3.6"),
    "ipsec user": ObjectIdentifier("1.3.6.1.5.5.7.3.7"),
    "timestamping": ExtendedKeyUsageOID.TIME_STAMPING,
    "ocsp signing": ExtendedKeyUsageOID.OCSP_SIGNING,
    "microsoft sgc": ObjectIdentifier("1.3.6.1.4.1.311.10.3.3"),
    "netscape sgc": ObjectIdentifier("2.16.840.1.113730.4.1"),
}
_USAGE_FLAGS = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
                "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")  # fmt: skip


class NotAcceptable(ValueError):
    """The signer refuses the request; the message says why, in upstream's words."""


class ParsedRequest(Struct, frozen=True, kw_only=True):
    """A PKCS#10 request and what signers look at in it."""

    csr: x509.CertificateSigningRequest
    common_name: str
    organizations: Sequence[str]
    dns: Sequence[str]
    ips: Sequence[str]
    emails: Sequence[str]
    uris: Sequence[str]


def parse(request: Mapping[str, Any]) -> ParsedRequest:
    """``spec.request`` of a CertificateSigningRequest. Raises ``ValueError``."""
    csr = x509.load_pem_x509_csr(base64.b64decode(request["spec"]["request"]))
    if not csr.is_signature_valid:
        raise ValueError("the request's signature is invalid")
    names = csr.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    organizations = csr.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    try:
        alternative = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        alternative = x509.SubjectAlternativeName([])
    return ParsedRequest(
        csr=csr,
        common_name=str(names[-1].value) if names else "",
        organizations=[str(entry.value) for entry in organizations],
        dns=alternative.get_values_for_type(x509.DNSName),
        ips=[str(address) for address in alternative.get_values_for_type(x509.IPAddress)],
        emails=alternative.get_values_for_type(x509.RFC822Name),
        uris=alternative.get_values_for_type(x509.UniformResourceIdentifier),
    )


def check(signer: str, parsed: ParsedRequest, usages: Sequence[str]) -> None:
    """Raises ``NotAcceptable`` for what ``signer`` must not sign."""
    if signer == CLIENT:
        wrong = sorted(set(usages) - {"digital signature", "key encipherment", "client auth"})
        if wrong:
            raise NotAcceptable(f"invalid usage for client certificate: {wrong[0]}")
        if "client auth" not in usages:
            raise NotAcceptable("missing required usage for client certificate: client auth")
    elif signer == KUBELET_CLIENT:
        check_kubelet_client(parsed, usages)
    elif signer == KUBELET_SERVING:
        _check_kubelet_serving(parsed, usages)


def check_kubelet_client(parsed: ParsedRequest, usages: Sequence[str]) -> None:
    """Raises ``NotAcceptable`` for what is no request of a kubelet for its client certificate."""
    _check_organization(parsed)
    for kind, values in (("DNS", parsed.dns), ("Email", parsed.emails), ("IP", parsed.ips), ("URI", parsed.uris)):
        if values:
            raise NotAcceptable(f"{kind} subjectAltNames are not allowed")
    _check_common_name(parsed)
    _check_usages(usages, "client auth")


def _check_kubelet_serving(parsed: ParsedRequest, usages: Sequence[str]) -> None:
    _check_organization(parsed)
    if not parsed.dns and not parsed.ips:
        raise NotAcceptable("DNS or IP subjectAltName is required")
    for kind, values in (("Email", parsed.emails), ("URI", parsed.uris)):
        if values:
            raise NotAcceptable(f"{kind} subjectAltNames are not allowed")
    _check_usages(usages, "server auth")
    _check_common_name(parsed)


def _check_organization(parsed: ParsedRequest) -> None:
    if list(parsed.organizations) != ["system:nodes"]:
        raise NotAcceptable("subject organization is not system:nodes")


def _check_common_name(parsed: ParsedRequest) -> None:
    if not parsed.common_name.startswith("system:node:"):
        raise NotAcceptable("subject common name does not begin with system:node:")


def _check_usages(usages: Sequence[str], purpose: str) -> None:
    least = {"digital signature", purpose}
    if set(usages) not in (least, least | {"key encipherment"}):
        listed = " ".join(sorted(least | {"key encipherment"}))
        raise NotAcceptable(f"usages did not match [{listed}]")


class Authority:
    """One CA that signs."""

    def __init__(self, pair: KeyPair) -> None:
        self._certificate = x509.load_pem_x509_certificate(pair.certificate_pem)
        key = load_pem_private_key(pair.key_pem, password=None)
        if not isinstance(key, RSAPrivateKey | EllipticCurvePrivateKey):
            raise ValueError("cluster-signing-key-file: only RSA and EC keys are supported")
        self._key = key

    def sign(self, parsed: ParsedRequest, usages: Sequence[str], life_s: float, now_s: float) -> bytes:
        """The certificate, PEM. Raises ``NotAcceptable`` for unknown usages and when the CA has expired."""
        now = datetime.fromtimestamp(int(now_s), UTC)
        last = self._certificate.not_valid_after_utc
        if now >= last:
            raise NotAcceptable(f"refusing to sign a certificate that expired in the past: NotAfter={last}")
        life = timedelta(seconds=life_s)
        end = now + life if life < SHORT else now + life - BACKDATE
        builder = (
            x509.CertificateBuilder()
            .subject_name(parsed.csr.subject)
            .issuer_name(self._certificate.subject)
            .public_key(parsed.csr.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATE)
            .not_valid_after(min(end, last))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        )
        for extension, critical in _usage_extensions(usages):
            builder = builder.add_extension(extension, critical=critical)
        builder = builder.add_extension(self._authority_key(), critical=False)
        try:
            alternative = parsed.csr.extensions.get_extension_for_class(x509.SubjectAlternativeName)
            builder = builder.add_extension(alternative.value, critical=alternative.critical)
        except x509.ExtensionNotFound:
            pass
        return builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def _authority_key(self) -> x509.AuthorityKeyIdentifier:
        try:
            own = self._certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        except x509.ExtensionNotFound:
            return x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)


def _usage_extensions(usages: Sequence[str]) -> list[tuple[x509.ExtensionType, bool]]:
    unknown = [usage for usage in usages if usage not in _KEY_USAGES and usage not in _EXTENDED_USAGES]
    if unknown:
        raise NotAcceptable(f"unrecognized usage values: {unknown}")
    flags = {_KEY_USAGES[usage] for usage in usages if usage in _KEY_USAGES}
    extended = list(dict.fromkeys(_EXTENDED_USAGES[usage] for usage in usages if usage in _EXTENDED_USAGES))
    found: list[tuple[x509.ExtensionType, bool]] = []
    if flags:
        found.append((x509.KeyUsage(**{flag: flag in flags for flag in _USAGE_FLAGS}), True))
    if extended:
        found.append((x509.ExtendedKeyUsage(extended), False))
    return found


def expires_s(request: Mapping[str, Any]) -> float | None:
    """When the issued certificate expires, epoch seconds; None where there is none that can be read."""
    issued = (request.get("status") or {}).get("certificate")
    if not issued:
        return None
    try:
        return x509.load_pem_x509_certificate(base64.b64decode(issued)).not_valid_after_utc.timestamp()
    except ValueError:
        return None
