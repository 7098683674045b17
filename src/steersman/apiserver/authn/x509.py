"""Client certificates: the common name is the user, the organizations are its groups.

TLS has verified that some trusted authority signed the certificate; this authenticator also asks that it was *this*
authority, because the same listener trusts the front proxy's authority, whose certificates make nobody a user.
Source: "X.509 client certificates" in the Kubernetes documentation on authentication.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import NameOID

from steersman.aio.clock import Clock
from steersman.apiserver.authn.api import AUTHENTICATED_GROUP, CREDENTIAL_ID, Authenticator, User
from steersman.apiserver.metrics.credentials import CredentialMetrics
from steersman.meta.errors import Unauthorized
from steersman.meta.wire import Request

NAME = "X509"
CACHE_LIMIT = 4096


def load_authorities(pem: bytes) -> list[x509.Certificate]:
    """The certificates of a CA bundle. Raises ``ValueError`` where there is none."""
    return x509.load_pem_x509_certificates(pem)


def is_issued_by(certificate: x509.Certificate, authorities: Sequence[x509.Certificate]) -> bool:
    """One of ``authorities`` signed ``certificate``."""
    for authority in authorities:
        try:
            certificate.verify_directly_issued_by(authority)
        except (ValueError, TypeError, InvalidSignature):
            continue
        return True
    return False


class X509Authenticator:
    """Users by the certificates of ``authorities``."""

    def __init__(
        self, authorities: Sequence[x509.Certificate], *, clock: Clock, metrics: CredentialMetrics | None = None
    ) -> None:
        self._metrics = metrics
        self._authorities = tuple(authorities)
        self._clock = clock
        self._known: OrderedDict[bytes, tuple[User, float]] = OrderedDict()

    async def authenticate(self, request: Request) -> User | None:
        der = request.peer.certificate_der
        if der is None:
            return None
        known = self._known.get(der)
        if known is None:
            certificate = x509.load_der_x509_certificate(der)
            if not is_issued_by(certificate, self._authorities):
                return None
            user = user_of(certificate, der)
            if user is None:
                return None
            known = (user, certificate.not_valid_after_utc.timestamp())
            self._known[der] = known
            if len(self._known) > CACHE_LIMIT:
                self._known.popitem(last=False)
        user, expires_s = known
        left_s = expires_s - self._clock.now()
        if left_s < 0:
            raise Unauthorized
        if self._metrics is not None:
            self._metrics.certificate_lifetimes.observe(left_s)
        return user


def user_of(certificate: x509.Certificate, der: bytes) -> User | None:
    """The user that a certificate names; None where it has no common name."""
    names = [str(entry.value) for entry in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if not names or not names[0]:
        return None
    groups = [str(entry.value) for entry in certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    digest = hashlib.sha256(der).hexdigest()
    return User(
        name=names[0],
        groups=(*groups, AUTHENTICATED_GROUP),
        extra={CREDENTIAL_ID: (f"X509SHA256={digest}",)},
    )


def _conforms(clock: Clock) -> Authenticator:
    return X509Authenticator((), clock=clock)
