"""Requests without credentials: ``system:anonymous``, as ``--anonymous-auth`` allows."""

from __future__ import annotations

from steersman.apiserver.authn.api import ANONYMOUS, UNAUTHENTICATED_GROUP, Authenticator, User
from steersman.meta.errors import Unauthorized
from steersman.meta.wire import Request

NAME = "Anonymous"

_USER = User(name=ANONYMOUS, groups=(UNAUTHENTICATED_GROUP,))


class AnonymousAuthenticator:
    """Everyone without a bearer token. Comes last: a token that no other authenticator knew is wrong, not absent."""

    async def authenticate(self, request: Request) -> User | None:
        if request.headers.get("authorization", "").lower().startswith("bearer "):
            raise Unauthorized
        return _USER


def _conforms() -> Authenticator:
    return AnonymousAuthenticator()
