"""Bearer tokens by which users are looked up, wherever they are kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from steersman.apiserver.authn.api import Authenticator, User
from steersman.apiserver.authn.serviceaccount import bearer_token
from steersman.meta.errors import Unauthorized
from steersman.meta.wire import Request

Find = Callable[[str], User | None]
"""Whose a token is; None where it is not known."""


class BearerTokenAuthenticator:
    """Users by their tokens. A token that it does not know may still be somebody else's."""

    def __init__(self, find: Find, *, audiences: Sequence[str]) -> None:
        """``audiences``: those of this API server, for which every token is good."""
        self._find = find
        self._audiences = tuple(audiences)

    async def authenticate(self, request: Request) -> User | None:
        token = bearer_token(request)
        if not token:
            return None
        user = self._find(token)
        if user is None:
            raise Unauthorized
        return user

    async def review(self, token: str, audiences: Sequence[str] = ()) -> tuple[User, tuple[str, ...]] | None:
        """The user of ``token`` and for which of ``audiences`` it is good; None where it is not known or good for none."""
        user = self._find(token)
        accepted = tuple(audience for audience in self._audiences if not audiences or audience in audiences)
        return (user, accepted) if user is not None and accepted else None


def _conforms(find: Find) -> Authenticator:
    return BearerTokenAuthenticator(find, audiences=())
