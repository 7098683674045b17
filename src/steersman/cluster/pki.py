"""The cluster's certificates and keys: one CA for clients and servers, one for the front proxy, a key for tokens.

All keys are P-256. ``ensure`` makes what is missing, about to expire or no longer matches what is asked for, and keeps
the rest, so that it can run before every start. File names are those kubeadm uses.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import Struct

from steersman.aio.clock import Clock

AUTHORITY_LIFETIME_DAYS = 3650
LIFETIME_DAYS = 365
RENEW_BEFORE_DAYS = 30
BACKDATE_S = 300


class Identity(Struct, frozen=True, kw_only=True):
    """What one certificate says."""

    common_name: str
    organizations: tuple[str, ...] = ()
    """Groups of a client."""
    hosts: tuple[str, ...] = ()
    """DNS names and addresses of a server; empty: a client certificate only."""

    @property
    def names(self) -> list[x509.GeneralName]:
        names: list[x509.GeneralName] = []
        for host in self.hosts:
            try:
                names.append(x509.IPAddress(ipaddress.ip_address(host)))
            except ValueError:
                names.append(x509.DNSName(host))
        return names

    @property
    def subject(self) -> x509.Name:
        organizations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, entry) for entry in self.organizations]
        return x509.Name([*organizations, x509.NameAttribute(NameOID.COMMON_NAME, self.common_name)])


class Pair(Struct, frozen=True):
    """A certificate and its key, as files."""

    certificate: Path
    key: Path

    @classmethod
    def of(cls, directory: Path, name: str) -> Pair:
        return cls(directory / f"{name}.crt", directory / f"{name}.key")


class Authority:
    """A certificate authority kept in two files."""

    def __init__(self, pair: Pair, *, common_name: str, clock: Clock) -> None:
        self.pair = pair
        self._clock = clock
        if not (pair.certificate.exists() and pair.key.exists()):
            self._create(common_name)
        self._certificate = x509.load_pem_x509_certificate(pair.certificate.read_bytes())
        self._key = _load_key(pair.key)

    def ensure(self, pair: Pair, identity: Identity) -> bool:
        """Issue ``identity`` into ``pair`` unless a valid certificate for it is there. Whether it was issued anew."""
        if self._is_good(pair, identity):
            return False
        key = ec.generate_private_key(ec.SECP256R1())
        now = self._now()
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
        if identity.hosts:
            usages.append(ExtendedKeyUsageOID.SERVER_AUTH)
        builder = (
            x509.CertificateBuilder()
            .subject_name(identity.subject)
            .issuer_name(self._certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(seconds=BACKDATE_S))
            .not_valid_after(now + datetime.timedelta(days=LIFETIME_DAYS))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(is_authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if identity.hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName(identity.names), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        _write(pair.key, _key_pem(key), mode=0o600)
        _write(pair.certificate, certificate.public_bytes(serialization.Encoding.PEM), mode=0o644)
        return True

    def _is_good(self, pair: Pair, identity: Identity) -> bool:
        try:
            certificate = x509.load_pem_x509_certificate(pair.certificate.read_bytes())
            key = _load_key(pair.key)
        except (OSError, ValueError):
            return False
        left = certificate.not_valid_after_utc - self._now()
        try:
            names = list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
        except x509.ExtensionNotFound:
            names = []
        try:
            certificate.verify_directly_issued_by(self._certificate)
        except Exception:
            return False
        return (
            left > datetime.timedelta(days=RENEW_BEFORE_DAYS)
            and certificate.subject == identity.subject
            and names == identity.names
            and certificate.public_key() == key.public_key()
        )

    def _create(self, common_name: str) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        now = self._now()
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(seconds=BACKDATE_S))
            .not_valid_after(now + datetime.timedelta(days=AUTHORITY_LIFETIME_DAYS))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_key_usage(is_authority=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        _write(self.pair.key, _key_pem(key), mode=0o600)
        _write(self.pair.certificate, certificate.public_bytes(serialization.Encoding.PEM), mode=0o644)

    def _now(self) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(int(self._clock.now()), datetime.UTC)


class ServingHosts(Struct, frozen=True):
    """By which names and addresses the API server is called."""

    addresses: Sequence[str]
    dns_domain: str

    @property
    def all(self) -> tuple[str, ...]:
        service = ("kubernetes", "kubernetes.default", "kubernetes.default.svc")
        names = (*service, f"kubernetes.default.svc.{self.dns_domain}", "localhost", "127.0.0.1", "::1")
        return tuple(dict.fromkeys((*names, *self.addresses)))


class ClusterPKI:
    """All certificates of one cluster below one directory."""

    def __init__(self, directory: Path, *, clock: Clock) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._directory = directory
        self.authority = Authority(Pair.of(directory, "ca"), common_name="kubernetes", clock=clock)
        self.front_proxy = Authority(Pair.of(directory, "front-proxy-ca"), common_name="front-proxy-ca", clock=clock)
        self.token_key = directory / "sa.key"
        self.token_public_key = directory / "sa.pub"
        if not self.token_key.exists():
            key = ec.generate_private_key(ec.SECP256R1())
            public = key.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            _write(self.token_public_key, public, mode=0o644)
            _write(self.token_key, _key_pem(key), mode=0o600)

    def pair(self, name: str) -> Pair:
        return Pair.of(self._directory, name)

    def ensure_api_server(self, hosts: ServingHosts) -> bool:
        """The API server's serving certificate and the ones by which it calls kubelets and extension servers."""
        kubelet_client = Identity(common_name="kube-apiserver-kubelet-client", organizations=("system:masters",))
        self.authority.ensure(self.pair("apiserver-kubelet-client"), kubelet_client)
        self.front_proxy.ensure(self.pair("front-proxy-client"), Identity(common_name="front-proxy-client"))
        serving = Identity(common_name="kube-apiserver", hosts=hosts.all)
        return self.authority.ensure(self.pair("apiserver"), serving)

    def ensure_client(self, name: str, user: str, groups: tuple[str, ...] = ()) -> Pair:
        """A client certificate for ``user``, kept as ``<name>.crt`` and ``<name>.key``."""
        pair = self.pair(name)
        self.authority.ensure(pair, Identity(common_name=user, organizations=groups))
        return pair

    def ensure_kubelet_server(self, node: str, addresses: Sequence[str]) -> Pair:
        """The certificate with which a node's kubelet serves."""
        pair = self.pair(f"kubelet-{node}")
        identity = Identity(
            common_name=f"system:node:{node}", organizations=("system:nodes",), hosts=(node, *addresses)
        )
        self.authority.ensure(pair, identity)
        return pair


def _key_usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=not is_authority,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError(f"{path} holds no EC key")
    return key


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, data: bytes, *, mode: int) -> None:
    fresh = path.with_name(f"{path.name}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    fresh.replace(path)
