"""Whether a certificate and a key belong together, in the words of Go's crypto/tls, by which upstream warns of TLS secrets.

What is wrong inside of a certificate is told as one thing: Go's parser has a message for each of its steps.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode

_BEGINNING = re.compile(rb"^-----BEGIN ([^\r\n-]+)-----[ \t]*\r?$", re.MULTILINE)


def pair_error(certificate: str, key: str) -> str:
    """Of base64 of PEM; empty where nothing is wrong."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

    chain, secret = _decoded(certificate), _decoded(key)
    found = _block_error(chain, is_key=False) or _block_error(secret, is_key=True)
    if found:
        return found
    try:
        public = x509.load_pem_x509_certificates(chain)[0].public_key()
    except (ValueError, UnsupportedAlgorithm):
        return "x509: malformed certificate"
    try:
        private = load_pem_private_key(secret, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return "tls: failed to parse private key"
    ours = private.public_key()
    if type(public) is not type(ours):
        return "tls: private key type does not match public key type"
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    if public.public_bytes(*form) != ours.public_bytes(*form):
        return "tls: private key does not match public key"
    return ""


def _decoded(encoded: str) -> bytes:
    try:
        return b64decode(encoded)
    except binascii.Error:
        return b""


def _block_error(pem: bytes, *, is_key: bool) -> str:
    kinds = [kind.decode(errors="replace") for kind in _BEGINNING.findall(pem)]
    if any(
        kind == "PRIVATE KEY" or kind.endswith(" PRIVATE KEY") if is_key else kind == "CERTIFICATE" for kind in kinds
    ):
        return ""
    where = "key" if is_key else "certificate"
    if not kinds:
        return f"tls: failed to find any PEM data in {where} input"
    if is_key and kinds == ["CERTIFICATE"]:
        return "tls: found a certificate rather than a key in the PEM for the private key"
    if not is_key and len(kinds) == 1 and kinds[0].endswith("PRIVATE KEY"):
        return (
            "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have "
            "been switched"
        )
    wanted = 'PEM block with type ending in "PRIVATE KEY"' if is_key else '"CERTIFICATE" PEM block'
    return f"tls: failed to find {wanted} in {where} input after skipping PEM blocks of the following types: [{' '.join(kinds)}]"
