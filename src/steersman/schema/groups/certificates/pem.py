"""PEM of certificate requests and of issued certificates: what is wrong with it, empty where nothing is."""

from __future__ import annotations

import base64
import binascii
import re

_BLOCK = re.compile(
    rb"-----BEGIN (?P<type>[^\r\n-]+)-----[ \t]*\r?\n(?P<body>.*?)-----END (?P=type)-----[ \t]*(?:\r?\n|$)", re.DOTALL
)


def request_error(encoded: str) -> str:
    """What is wrong with a signing request, base64 of PEM of PKCS #10."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm

    block = _BLOCK.search(_decoded(encoded))
    if block is None or block["type"] != b"CERTIFICATE REQUEST":
        return "PEM block type must be CERTIFICATE REQUEST"
    try:
        request = x509.load_pem_x509_csr(block[0])
        if not request.is_signature_valid:
            return "x509: invalid signature: parent certificate cannot sign this kind of certificate"
    except UnsupportedAlgorithm:
        return "x509: cannot verify signature: algorithm unimplemented"
    except ValueError:
        return "asn1: structure error: malformed certificate request"
    return ""


def requested_organizations(encoded: str) -> list[str]:
    """The organizations that a signing request names, which are groups of its user. Raises ``ValueError``."""
    from cryptography import x509

    block = _BLOCK.search(_decoded(encoded))
    if block is None or block["type"] != b"CERTIFICATE REQUEST":
        raise ValueError("PEM block type must be CERTIFICATE REQUEST")
    subject = x509.load_pem_x509_csr(block[0]).subject
    return [str(entry.value) for entry in subject.get_attributes_for_oid(x509.NameOID.ORGANIZATION_NAME)]


def certificates_error(encoded: str) -> str:
    """What is wrong with issued certificates, base64 of one or more PEM blocks."""
    from cryptography import x509

    blocks = list(_BLOCK.finditer(_decoded(encoded)))
    for block in blocks:
        kind = block["type"].decode(errors="replace")
        if kind != "CERTIFICATE":
            return f'only CERTIFICATE PEM blocks are allowed, found "{kind}"'
        if b":" in block["body"]:
            return "no PEM block headers are permitted"
        try:
            x509.load_pem_x509_certificate(block[0])
        except ValueError:
            return "x509: malformed certificate"
    return "" if blocks else "must contain at least one CERTIFICATE PEM block"


def _decoded(encoded: str) -> bytes:
    try:
        return base64.b64decode(encoded)
    except (binascii.Error, ValueError):
        return b""
