"""The server's certificate: given, or made here where none is."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from steersman.aio.clock import Clock

VALIDITY: Final = datetime.timedelta(days=365)
RELOAD_S: Final = 60.0
"""How often the certificate's files are looked at for a newer one."""


def ensure_self_signed(directory: Path, hostname: str, addresses: Sequence[str], *, now_s: float) -> tuple[Path, Path]:
    """Certificate and key files in ``directory``, made unless they are there: ``kubelet.crt`` and ``kubelet.key``."""
    certificate_file, key_file = directory / "kubelet.crt", directory / "kubelet.key"
    if certificate_file.exists() and key_file.exists():
        return certificate_file, key_file
    directory.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{hostname}@{int(now_s)}")])
    begin = datetime.datetime.fromtimestamp(now_s, datetime.UTC)
    names: list[x509.GeneralName] = [x509.DNSName(hostname)]
    names += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin - datetime.timedelta(hours=1))
        .not_valid_after(begin + VALIDITY)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    key_file.touch(mode=0o600)
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return certificate_file, key_file


class ServerCertificate:
    """The TLS settings of a server whose certificate may be replaced while it runs."""

    def __init__(self, certificate_file: Path, key_file: Path, client_ca_file: Path | None) -> None:
        self._files = (certificate_file, key_file)
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._loaded = self._stamp()
        self.context.load_cert_chain(certificate_file, key_file)
        if client_ca_file is not None:
            self.context.load_verify_locations(client_ca_file)
            self.context.verify_mode = ssl.CERT_OPTIONAL

    async def keep_fresh(self, clock: Clock) -> None:
        """Serve a newer certificate to new connections once its files have changed. Runs until cancelled."""
        while True:
            await clock.sleep(RELOAD_S)
            stamp = self._stamp()
            if stamp != self._loaded:
                self.context.load_cert_chain(*self._files)
                self._loaded = stamp

    def _stamp(self) -> tuple[int, ...]:
        return tuple(file.stat().st_mtime_ns for file in self._files)
