"""Callers in the same process, whose identity the composition root vouches for."""

from __future__ import annotations

from steersman.apiserver.authn.api import AUTHENTICATED_GROUP, Authenticator, User
from steersman.meta.wire import Request

NAME = "InProcess"


class InProcessAuthenticator:
    """The user that ``Peer.user`` names. The network never fills that field."""

    async def authenticate(self, request: Request) -> User | None:
        peer = request.peer
        if not peer.user:
            return None
        groups = peer.groups if AUTHENTICATED_GROUP in peer.groups else (*peer.groups, AUTHENTICATED_GROUP)
        return User(name=peer.user, groups=groups)


def _conforms() -> Authenticator:
    return InProcessAuthenticator()
