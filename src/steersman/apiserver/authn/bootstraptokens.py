"""Bootstrap tokens (``--enable-bootstrap-token-auth``): the Secrets by which nodes that are new make themselves known.

Source: "Authenticating with Bootstrap Tokens" in the Kubernetes documentation.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from steersman.aio.clock import Clock
from steersman.apiserver.admission.api import Reader
from steersman.apiserver.authn.api import AUTHENTICATED_GROUP, Authenticator, User
from steersman.apiserver.authn.serviceaccount import bearer_token
from steersman.meta import bootstraptokens, objects
from steersman.meta.errors import Unauthorized
from steersman.meta.resources import SECRETS
from steersman.meta.wire import Request


class BootstrapTokenAuthenticator:
    """Users ``system:bootstrap:<id>`` by the tokens of Secrets. A token that it does not know may still be somebody else's."""

    def __init__(self, reader: Reader, *, audiences: Sequence[str], clock: Clock) -> None:
        """``audiences``: those of this API server, for which every token is good."""
        self._reader = reader
        self._audiences = tuple(audiences)
        self._clock = clock

    async def authenticate(self, request: Request) -> User | None:
        token = bearer_token(request)
        if not token:
            return None
        user = self._user(token)
        if user is None:
            raise Unauthorized
        return user

    async def review(self, token: str, audiences: Sequence[str] = ()) -> tuple[User, tuple[str, ...]] | None:
        """The user of ``token`` and for which of ``audiences`` it is good; None where it is not known or good for none."""
        user = self._user(token)
        accepted = tuple(audience for audience in self._audiences if not audiences or audience in audiences)
        return (user, accepted) if user is not None and accepted else None

    def _user(self, bearer: str) -> User | None:
        presented = bootstraptokens.split(bearer)
        if presented is None:
            return None
        token_id, secret = presented
        stored = self._reader.get(SECRETS, bootstraptokens.NAMESPACE, bootstraptokens.PREFIX + token_id)
        token = None if stored is None or objects.is_deleting(stored) else bootstraptokens.parse(stored)
        if token is None or not hmac.compare_digest(token.secret, secret):
            return None
        if token.expires_s is not None and token.expires_s <= self._clock.now():
            return None
        if not token.authenticates or token.extra_groups is None:
            return None
        groups = sorted({bootstraptokens.GROUP, *token.extra_groups})
        return User(name=bootstraptokens.USER_PREFIX + token.id, groups=(*groups, AUTHENTICATED_GROUP))


def _conforms(reader: Reader, clock: Clock) -> Authenticator:
    return BootstrapTokenAuthenticator(reader, audiences=(), clock=clock)
