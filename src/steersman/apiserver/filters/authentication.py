"""Who is asking: the authenticators' answer, or 401."""

from __future__ import annotations

from steersman.apiserver.authn.api import Authenticator
from steersman.apiserver.call import STANDARD_IDENTITY_HEADERS, Call, IdentityHeaders
from steersman.apiserver.filters.api import Filter, Next
from steersman.apiserver.filters.audit import AuditFilter
from steersman.meta.errors import Unauthorized
from steersman.meta.wire import Response


class AuthenticationFilter:
    NAME = "authentication"

    def __init__(
        self,
        authenticator: Authenticator,
        *,
        identity_headers: IdentityHeaders = STANDARD_IDENTITY_HEADERS,
        audit: AuditFilter | None = None,
    ) -> None:
        self._authenticator = authenticator
        self._audit = audit
        self._identity_headers = identity_headers

    async def __call__(self, call: Call, following: Next) -> Response:
        try:
            user = await self._authenticator.authenticate(call.request)
            if user is None:
                raise Unauthorized
        except Unauthorized:
            if self._audit is not None:
                await self._audit.failed_authentication(call)
            raise
        call.user = user
        call.identity_headers = self._identity_headers
        return await following(call)


def _conforms(authenticator: Authenticator) -> Filter:
    return AuthenticationFilter(authenticator)
