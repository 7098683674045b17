"""``tlsMinVersion`` and ``tlsCipherSuites``: Go's names, and what they are to OpenSSL."""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

VERSIONS: Final[Mapping[str, ssl.TLSVersion]] = {
    "VersionTLS12": ssl.TLSVersion.TLSv1_2,
    "VersionTLS13": ssl.TLSVersion.TLSv1_3,
}
OLD_VERSIONS: Final = ("VersionTLS10", "VersionTLS11")
CIPHERS: Final[Mapping[str, str]] = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256": "ECDHE-ECDSA-AES128-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256": "ECDHE-RSA-AES128-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_RSA_WITH_AES_128_CBC_SHA": "AES128-SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256": "AES128-SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256": "AES128-GCM-SHA256",
    "TLS_RSA_WITH_AES_256_CBC_SHA": "AES256-SHA",
    "TLS_RSA_WITH_AES_256_GCM_SHA384": "AES256-GCM-SHA384",
}
"""Of TLS 1.2. Those of 1.3 cannot be chosen, neither in Go nor here."""
FIXED: Final = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")


class TLSSettingsError(ValueError):
    """A version or a cipher suite that there is none of."""


class TLSSettings(Struct, frozen=True, kw_only=True):
    minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2
    ciphers: tuple[str, ...] = ()
    """OpenSSL's names; empty: its own choice."""

    def apply(self, context: ssl.SSLContext) -> None:
        context.minimum_version = self.minimum
        if self.ciphers:
            context.set_ciphers(":".join(self.ciphers))


def tls_settings(minimum: str, suites: Sequence[str]) -> TLSSettings:
    """Raises ``TLSSettingsError``."""
    if minimum in OLD_VERSIONS:
        raise TLSSettingsError(f"tlsMinVersion {minimum} is not supported by this kubelet; TLS 1.2 is the oldest")
    if minimum and minimum not in VERSIONS:
        raise TLSSettingsError(f'unknown tls version "{minimum}"')
    unknown = [name for name in suites if name not in CIPHERS and name not in FIXED]
    if unknown:
        raise TLSSettingsError(f"cipher suite {unknown[0]} not supported or doesn't exist")
    if minimum == "VersionTLS13" and suites:
        raise TLSSettingsError("tlsCipherSuites cannot be chosen for TLS 1.3")
    return TLSSettings(
        minimum=VERSIONS.get(minimum, ssl.TLSVersion.TLSv1_2),
        ciphers=tuple(CIPHERS[name] for name in suites if name in CIPHERS),
    )
