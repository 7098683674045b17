"""Requests without credentials: ``system:anonymous``, as ``--anonymous-auth`` allows."""

from __future__ import annotations

from steersman.apiserver.authn.api import ANONYMOUS, UNAUTHENTICATED_GROUP, Authenticator, User
from steersman.meta.wire import Request

NAME = "Anonymous"

_USER = User(name=ANONYMOUS, groups=(UNAUTHENTICATED_GROUP,))


class AnonymousAuthenticator:
    """Everyone. Comes last, after the authenticators that look at credentials."""

    async def authenticate(self, request: Request) -> User | None:
        return _USER


def _conforms() -> Authenticator:
    return AnonymousAuthenticator()
