"""Who is asking: a client certificate, a bearer token that the API server knows, or nobody in particular."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final, Protocol

from cryptography import x509
from cryptography.x509.oid import NameOID
from msgspec import Struct, field

from steersman.aio.clock import Clock
from steersman.client.api import Client
from steersman.meta import resources

ANONYMOUS: Final = "system:anonymous"
UNAUTHENTICATED: Final = "system:unauthenticated"
AUTHENTICATED: Final = "system:authenticated"
TOKEN_CACHE_TTL_S: Final = 120.0
"""``authentication.webhook.cacheTTL``'s default."""
MAX_CACHED: Final = 4096
"""Remembered answers; the oldest goes first."""


class Caller(Struct, frozen=True, kw_only=True):
    """An authenticated user."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class Credentials(Struct, frozen=True, kw_only=True):
    """What a request brings."""

    certificate_der: bytes | None = None
    """Verified against the client CA by TLS."""
    token: str = ""


class Authenticator(Protocol):
    async def authenticate(self, credentials: Credentials) -> Caller | None:
        """None: these credentials are not good enough."""


class CertificateAuthenticator:
    """The certificate's common name is the user, its organizations are the groups."""

    async def authenticate(self, credentials: Credentials) -> Caller | None:
        if credentials.certificate_der is None:
            return None
        subject = x509.load_der_x509_certificate(credentials.certificate_der).subject
        names = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        if not names:
            return None
        groups = tuple(str(group.value) for group in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME))
        return Caller(name=str(names[0].value), groups=(*groups, AUTHENTICATED))


class TokenReviewAuthenticator:
    """Asks the API server whose a bearer token is, and remembers the answer for a while."""

    def __init__(self, client: Client, *, clock: Clock, ttl_s: float = TOKEN_CACHE_TTL_S) -> None:
        self._client = client
        self._clock = clock
        self._ttl_s = ttl_s
        self._answers: OrderedDict[bytes, tuple[float, Caller | None]] = OrderedDict()

    async def authenticate(self, credentials: Credentials) -> Caller | None:
        if not credentials.token:
            return None
        key = hashlib.sha256(credentials.token.encode()).digest()
        known = self._answers.get(key)
        if known is not None and known[0] > self._clock.monotonic():
            return known[1]
        review = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "metadata": {},
            "spec": {"token": credentials.token},
        }
        status = (await self._client.create(resources.TOKENREVIEWS, review)).get("status") or {}
        caller = _caller(status.get("user") or {}) if status.get("authenticated") else None
        self._answers[key] = (self._clock.monotonic() + self._ttl_s, caller)
        self._answers.move_to_end(key)
        if len(self._answers) > MAX_CACHED:
            self._answers.popitem(last=False)
        return caller


class AnonymousAuthenticator:
    """Everybody else, where that is allowed: requests without credentials only."""

    async def authenticate(self, credentials: Credentials) -> Caller | None:
        if credentials.token:
            return None
        return Caller(name=ANONYMOUS, groups=(UNAUTHENTICATED,))


class UnionAuthenticator:
    """The first that knows the caller decides."""

    def __init__(self, *authenticators: Authenticator) -> None:
        self._authenticators = authenticators

    async def authenticate(self, credentials: Credentials) -> Caller | None:
        for authenticator in self._authenticators:
            caller = await authenticator.authenticate(credentials)
            if caller is not None:
                return caller
        return None


def _caller(user: Mapping[str, object]) -> Caller:
    groups, extra = user.get("groups"), user.get("extra")
    return Caller(
        name=str(user.get("username") or ""),
        uid=str(user.get("uid") or ""),
        groups=tuple(str(group) for group in groups) if isinstance(groups, list) else (),
        extra={str(key): tuple(values) for key, values in extra.items()} if isinstance(extra, dict) else {},
    )


def _conforms(client: Client, clock: Clock) -> list[Authenticator]:
    return [
        CertificateAuthenticator(),
        TokenReviewAuthenticator(client, clock=clock),
        AnonymousAuthenticator(),
        UnionAuthenticator(),
    ]
