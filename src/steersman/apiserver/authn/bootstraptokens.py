"""Bootstrap tokens (``--enable-bootstrap-token-auth``): the Secrets by which nodes that are new make themselves known.

Source: "Authenticating with Bootstrap Tokens" in the Kubernetes documentation.
"""

from __future__ import annotations

import hmac

from steersman.aio.clock import Clock
from steersman.apiserver.admission.api import Reader
from steersman.apiserver.authn.api import AUTHENTICATED_GROUP, User
from steersman.meta import bootstraptokens, objects
from steersman.meta.resources import SECRETS


class BootstrapTokens:
    """The bootstrap tokens of the cluster as it is now."""

    def __init__(self, reader: Reader, *, clock: Clock) -> None:
        self._reader = reader
        self._clock = clock

    def bearer(self, text: str) -> User | None:
        """``system:bootstrap:<id>`` for the token ``<id>.<secret>``; None where there is no such token, or it is not valid (any more)."""
        presented = bootstraptokens.split(text)
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
