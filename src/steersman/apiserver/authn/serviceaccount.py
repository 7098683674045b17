"""Bearer tokens of service accounts: the user is the account, as long as it and what the token is bound to exist."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING

from steersman.aio.clock import Clock
from steersman.apiserver.admission.api import Reader
from steersman.apiserver.authn.api import AUTHENTICATED_GROUP, CREDENTIAL_ID, Authenticator, User
from steersman.apiserver.authn.claims import Claims, InvalidToken
from steersman.apiserver.authn.legacytokens import INVALID_SINCE, UseTracker, is_token_of
from steersman.apiserver.metrics.credentials import CredentialMetrics
from steersman.meta import objects, times
from steersman.meta.errors import Unauthorized
from steersman.meta.resources import NODES, PODS, SECRETS, SERVICEACCOUNTS, Resource
from steersman.meta.wire import Request

if TYPE_CHECKING:
    from steersman.apiserver.authn.tokens import TokenVerifier

NAME = "ServiceAccount"
DELETION_GRACE_S = 60
"""How long after its deletionTimestamp plus grace an account or pod still counts, so that it can clean up."""
_EXTRA = "authentication.kubernetes.io"


class ServiceAccountAuthenticator:
    """``uses`` hears of uses of tokens that stand in Secrets."""

    def __init__(
        self,
        verifier: TokenVerifier,
        reader: Reader,
        *,
        clock: Clock,
        uses: UseTracker | None = None,
        metrics: CredentialMetrics | None = None,
    ) -> None:
        self._verifier = verifier
        self._reader = reader
        self._clock = clock
        self._uses = uses
        self._metrics = metrics

    async def authenticate(self, request: Request) -> User | None:
        token = bearer_token(request)
        if not token:
            return None
        try:
            known = await self.review(token)
        except InvalidToken as error:
            raise Unauthorized from error
        return known[0] if known is not None else None

    async def review(self, token: str, audiences: Sequence[str] = ()) -> tuple[User, tuple[str, ...]] | None:
        """The user of ``token`` and for which of ``audiences`` it is good; None where it is no service account's.

        Raises ``InvalidToken``.
        """
        claims = self._verifier.verify(token, audiences)
        if claims is None:
            return None
        secret = self._check_bindings(claims, token)
        if secret is not None:
            if self._uses is not None:
                await self._uses.used(secret)
            self._count_legacy(secret, claims)
            _check_valid(secret, claims)
        self._count("legacy_tokens" if claims.is_legacy else "valid_tokens")
        if self._clock.now() > claims.warn_after_s:
            self._count("stale_tokens")
        return user_of(claims), claims.audiences

    def _count(self, name: str) -> None:
        if self._metrics is not None:
            self._metrics.token(name)

    def _count_legacy(self, secret: objects.Object, claims: Claims) -> None:
        if objects.labels(secret).get(INVALID_SINCE):
            self._count("invalid_legacy_auto_token_uses")
            return
        account = self._reader.get(SERVICEACCOUNTS, claims.namespace, claims.name) or {}
        is_made = any(entry.get("name") == objects.name(secret) for entry in account.get("secrets") or ())
        self._count("legacy_auto_token_uses" if is_made else "legacy_manual_token_uses")

    def _check_bindings(self, claims: Claims, token: str) -> objects.Object | None:
        """The Secret that a legacy token stands in."""
        self._check(SERVICEACCOUNTS, claims.namespace, (claims.name, claims.uid))
        standing_in = None
        if claims.secret is not None:
            secret = self._check(SECRETS, claims.namespace, claims.secret)
            if claims.is_legacy:
                if objects.is_deleting(secret):
                    raise InvalidToken("Token has been invalidated")
                if not is_token_of(secret, token):
                    raise InvalidToken("Token does not match server's copy")
                standing_in = secret
        if claims.pod is not None:
            self._check(PODS, claims.namespace, claims.pod)
        elif claims.node is not None:
            self._check(NODES, "", claims.node)
        return standing_in

    def _check(self, resource: Resource, namespace: str, bound: tuple[str, str]) -> objects.Object:
        name, uid = bound
        found = self._reader.get(resource, namespace, name)
        if found is None or (uid and objects.uid(found) != uid):
            raise InvalidToken(f"{resource.plural} {name} of the token does not exist any more")
        deleted = objects.metadata(found).get("deletionTimestamp")
        if deleted and self._clock.now() > times.parse_time(deleted) + DELETION_GRACE_S:
            raise InvalidToken(f"{resource.plural} {name} of the token is deleted")
        return found


def _check_valid(secret: objects.Object, claims: Claims) -> None:
    """Nobody has marked the token in ``secret`` as invalid."""
    if not objects.labels(secret).get(INVALID_SINCE):
        return
    account, name = f"{claims.namespace}/{claims.name}", f"{claims.namespace}/{objects.name(secret)}"
    raise InvalidToken(
        f"the token in secret {name} for service account {account} has been marked invalid. Use tokens from the TokenRequest "
        f"API or manually created secret-based tokens, or remove the '{INVALID_SINCE}' label from the secret to temporarily "
        "allow use of this token"
    )


def user_of(claims: Claims) -> User:
    """The user that a token makes of its bearer."""
    extra: dict[str, tuple[str, ...]] = {}
    if claims.token_id:
        extra[CREDENTIAL_ID] = (f"JTI={claims.token_id}",)
    for kind, bound in (("pod", claims.pod), ("node", claims.node)):
        if bound is not None:
            extra[f"{_EXTRA}/{kind}-name"] = (bound[0],)
            if bound[1]:
                extra[f"{_EXTRA}/{kind}-uid"] = (bound[1],)
    return User(
        name=f"system:serviceaccount:{claims.namespace}:{claims.name}",
        uid=claims.uid,
        groups=(
            "system:serviceaccounts",
            f"system:serviceaccounts:{claims.namespace}",
            AUTHENTICATED_GROUP,
        ),
        extra=extra,
    )


def bearer_token(request: Request) -> str:
    """The token of ``Authorization: Bearer`` or of the WebSocket protocol that browsers use in its place."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return token.strip()
    prefix = "base64url.bearer.authorization.k8s.io."
    for entry in request.headers.get("sec-websocket-protocol", "").split(","):
        if entry.strip().startswith(prefix):
            encoded = entry.strip()[len(prefix) :]
            try:
                return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
            except ValueError:
                return ""
    return ""


def _conforms(verifier: TokenVerifier, reader: Reader, clock: Clock) -> Authenticator:
    return ServiceAccountAuthenticator(verifier, reader, clock=clock)
