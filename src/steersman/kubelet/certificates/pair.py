"""A certificate with its key, and where a kubelet keeps the current one (upstream's file layout).

``<prefix>-current.pem`` is a link to the newest ``<prefix>-<date>.pem``, which holds the certificate, those of its
authorities, and the key; older ones stay. Replacing the link is one step: a reader never sees half a pair.
"""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from msgspec import Struct


class PairError(ValueError):
    """Certificate and key cannot be read or do not belong together."""


class CertificatePair(Struct, frozen=True, kw_only=True):
    """PEM. ``leaf`` is the first of the certificates."""

    certificate_pem: bytes
    key_pem: bytes
    leaf: x509.Certificate

    @property
    def not_before_s(self) -> float:
        return self.leaf.not_valid_before_utc.timestamp()

    @property
    def not_after_s(self) -> float:
        return self.leaf.not_valid_after_utc.timestamp()


def pair_of(certificate_pem: bytes, key_pem: bytes) -> CertificatePair:
    """Each may hold the other too, as in one file for both. Raises ``PairError``."""
    certificate_pem, key_pem = _blocks(certificate_pem, b"CERTIFICATE"), _blocks(key_pem, b"PRIVATE KEY")
    try:
        leaf = x509.load_pem_x509_certificates(certificate_pem)[0]
        key = load_pem_private_key(key_pem, None)
    except (ValueError, TypeError) as error:
        raise PairError(f"certificate and key cannot be read: {error}") from error
    if _public(leaf.public_key()) != _public(key.public_key()):
        raise PairError("certificate and key do not belong together")
    return CertificatePair(certificate_pem=certificate_pem, key_pem=key_pem, leaf=leaf)


def _blocks(content: bytes, kind: bytes) -> bytes:
    """The PEM blocks whose title ends so."""
    found = re.findall(
        rb"-----BEGIN [A-Z0-9 ]*" + kind + rb"-----.*?-----END [A-Z0-9 ]*" + kind + rb"-----", content, re.S
    )
    return b"".join(block + b"\n" for block in found)


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def key_to_pem(key: PrivateKeyTypes) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _public(key: object) -> bytes:
    found: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]
    return found


class PairStore:
    """The pairs of one purpose in one folder. ``files``: a pair that somebody else put there, for when there is no current
    one yet."""

    def __init__(self, folder: Path, prefix: str, *, files: tuple[Path, Path] | None = None) -> None:
        self._folder = folder
        self._prefix = prefix
        self._files = files

    @property
    def current_path(self) -> Path:
        return self._folder / f"{self._prefix}-current.pem"

    def load(self) -> CertificatePair | None:
        """None where there is none. Raises ``PairError``."""
        if self.current_path.exists():
            content = self.current_path.read_bytes()
            return pair_of(content, content)
        own = (self._folder / f"{self._prefix}.crt", self._folder / f"{self._prefix}.key")
        for certificate, key in filter(None, (self._files, own)):
            if certificate.exists() and key.exists():
                return pair_of(certificate.read_bytes(), key.read_bytes())
        return None

    def save(self, pair: CertificatePair, *, now_s: float) -> None:
        """Make it the current one. Raises ``OSError``."""
        self._folder.mkdir(parents=True, exist_ok=True)
        stamp = time.strftime("%Y-%m-%d-%H-%M-%S", time.gmtime(now_s))
        target = self._folder / f"{self._prefix}-{stamp}.pem"
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(pair.certificate_pem.rstrip() + b"\n" + pair.key_pem)
            file.flush()
            os.fsync(file.fileno())
        fresh = self._folder / f"{self._prefix}-updated.pem"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(target.name)
        fresh.replace(self.current_path)
