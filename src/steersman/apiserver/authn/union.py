"""Several authenticators asked in turn."""

from __future__ import annotations

from collections.abc import Sequence

from steersman.apiserver.authn.api import Authenticator, User
from steersman.meta.errors import Unauthorized
from steersman.meta.wire import Request


class UnionAuthenticator:
    """The first answer counts. Wrong credentials of one kind fail the request only if no other authenticator knows it,
    and never fall through to the anonymous user: that one is asked only when nobody objected."""

    def __init__(self, authenticators: Sequence[Authenticator], *, last: Authenticator | None = None) -> None:
        self._authenticators = tuple(authenticators)
        self._last = last

    async def authenticate(self, request: Request) -> User | None:
        refusal: Unauthorized | None = None
        for authenticator in self._authenticators:
            try:
                user = await authenticator.authenticate(request)
            except Unauthorized as error:
                refusal = error
                continue
            if user is not None:
                return user
        if refusal is not None:
            raise refusal
        return await self._last.authenticate(request) if self._last is not None else None


def _conforms() -> Authenticator:
    return UnionAuthenticator(())
