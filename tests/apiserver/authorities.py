"""Certificates for tests over real sockets."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, slots=True)
class Certified:
    certificate: Path
    key: Path


class TestAuthority:
    """A certificate authority for 127.0.0.1 and for clients."""

    __test__ = False

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        certificate = self._builder(self._name, self._key).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self.pem = certificate.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        self.file = directory / "ca.crt"
        self.file.write_bytes(self.pem)

    def server(self, name: str = "server", *hosts: str) -> Certified:
        """Of 127.0.0.1 and localhost, or of ``hosts`` where some are given."""
        return self._issue(name, (), server=True, hosts=hosts)

    def client(self, user: str, *groups: str) -> Certified:
        return self._issue(user, groups, server=False)

    def client_context(self, client: Certified | None = None) -> ssl.SSLContext:
        """For a client that trusts this authority."""
        context = ssl.create_default_context(cadata=self.pem.decode())
        if client is not None:
            context.load_cert_chain(client.certificate, client.key)
        return context

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
        )

    def _issue(self, name: str, groups: tuple[str, ...], *, server: bool, hosts: tuple[str, ...] = ()) -> Certified:
        key = ec.generate_private_key(ec.SECP256R1())
        organizations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        subject = x509.Name([*organizations, x509.NameAttribute(NameOID.COMMON_NAME, name)])
        usage = x509.oid.ExtendedKeyUsageOID
        builder = self._builder(subject, key).add_extension(
            x509.ExtendedKeyUsage([usage.SERVER_AUTH if server else usage.CLIENT_AUTH]), critical=False
        )
        if server:
            loopback = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
            names = [x509.DNSName(host) for host in hosts] or loopback
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        pem = builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        found = Certified(self._directory / f"{name}.crt", self._directory / f"{name}.key")
        found.certificate.write_bytes(pem)
        found.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return found
