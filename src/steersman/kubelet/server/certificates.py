"""The server's certificate: given, or made here where none is."""

from __future__ import annotations

import datetime
import ipaddress
import logging
import ssl
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from steersman.aio.clock import Clock
from steersman.kubelet.certificates.pair import CertificatePair
from steersman.kubelet.server.tls_settings import TLSSettings

VALIDITY: Final = datetime.timedelta(days=365)
RELOAD_S: Final = 60.0
"""How often the certificate's files are looked at for a newer one."""
log = logging.getLogger(__name__)


def ensure_self_signed(
    directory: Path, hostname: str, addresses: Sequence[str], *, now_s: float, name: str = "kubelet"
) -> tuple[Path, Path]:
    """Certificate and key files in ``directory``, made unless they are there: ``kubelet.crt`` and ``kubelet.key``."""
    certificate_file, key_file = directory / f"{name}.crt", directory / f"{name}.key"
    if certificate_file.exists() and key_file.exists():
        return certificate_file, key_file
    directory.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{hostname}@{int(now_s)}")])
    begin = datetime.datetime.fromtimestamp(now_s, datetime.UTC)
    names: list[x509.GeneralName] = [x509.DNSName(hostname)]
    names += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
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
    """The TLS settings of a server whose certificate and client authority may be replaced while it runs.

    Connections are taken by ``context``, which hands each to the settings that are current then; nothing that is open is
    touched. Without a certificate yet, as before the first one was signed, handshakes fail.
    """

    def __init__(
        self,
        files: tuple[Path, Path] | None,
        client_ca_file: Path | None,
        *,
        settings: TLSSettings | None = None,
    ) -> None:
        """``files``: certificate and key; None: ``use_pair`` brings them. Raises ``OSError`` and ``ssl.SSLError``."""
        self._files = files
        self._client_ca_file = client_ca_file
        self._settings = settings or TLSSettings()
        self._pair: CertificatePair | None = None
        self._current: ssl.SSLContext | None = None
        self._loaded: tuple[int, ...] = ()
        self.context = self._bare()
        self.context.sni_callback = self._hand_over
        if client_ca_file is not None:
            self.context.verify_mode = ssl.CERT_OPTIONAL
        if files is not None:
            self._load()

    def use_pair(self, pair: CertificatePair) -> None:
        """Serve with it from now on. Raises ``ssl.SSLError``."""
        self._pair = pair
        self._load()

    async def keep_fresh(self, clock: Clock) -> None:
        """Take up files that have changed, for new connections. Runs until cancelled."""
        while True:
            await clock.sleep(RELOAD_S)
            self.refresh()

    def refresh(self) -> None:
        """Take up files that have changed; such as cannot be read leave everything as it was."""
        try:
            if self._stamp() != self._loaded:
                self._load()
                log.info("certificates of the server were read anew")
        except (OSError, ssl.SSLError) as error:
            log.warning("certificates of the server cannot be read anew: %s", error)

    def _load(self) -> None:
        stamp = self._stamp()
        fresh = self._bare()
        if self._pair is not None:
            # The ssl module reads certificates from files only.
            with tempfile.NamedTemporaryFile() as file:
                file.write(self._pair.certificate_pem.rstrip() + b"\n" + self._pair.key_pem)
                file.flush()
                fresh.load_cert_chain(file.name)
        elif self._files is not None:
            fresh.load_cert_chain(*self._files)
        else:
            return
        if self._client_ca_file is not None:
            fresh.load_verify_locations(self._client_ca_file)
            fresh.verify_mode = ssl.CERT_OPTIONAL
        self._current = fresh
        self._loaded = stamp

    def _bare(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._settings.apply(context)
        return context

    def _hand_over(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> int | None:
        if self._current is None:
            log.info("no serving certificate available for the kubelet")
            return int(ssl.ALERT_DESCRIPTION_INTERNAL_ERROR)
        connection.context = self._current
        return None

    def _stamp(self) -> tuple[int, ...]:
        files = [*(self._files or ()), self._client_ca_file]
        return tuple(file.stat().st_mtime_ns for file in files if file is not None)
