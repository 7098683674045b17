"""Who is asking: the authenticators' answer, or 401."""

from __future__ import annotations

from steersman.aio.clock import Clock
from steersman.apiserver.authn.api import Authenticator
from steersman.apiserver.call import STANDARD_IDENTITY_HEADERS, Call, IdentityHeaders
from steersman.apiserver.filters.api import Filter, Next
from steersman.apiserver.filters.audit import AuditFilter
from steersman.apiserver.metrics.identity import IdentityMetrics
from steersman.meta.errors import Unauthorized
from steersman.meta.wire import Response


class AuthenticationFilter:
    NAME = "authentication"

    def __init__(
        self,
        authenticator: Authenticator,
        *,
        clock: Clock,
        metrics: IdentityMetrics,
        identity_headers: IdentityHeaders = STANDARD_IDENTITY_HEADERS,
        audit: AuditFilter | None = None,
    ) -> None:
        self._authenticator = authenticator
        self._clock = clock
        self._metrics = metrics
        self._audit = audit
        self._identity_headers = identity_headers

    async def __call__(self, call: Call, following: Next) -> Response:
        began_s = self._clock.monotonic()
        try:
            user = await self._authenticator.authenticate(call.request)
        except Unauthorized:
            await self._refused(call, "error", began_s)
            raise
        if user is None:
            await self._refused(call, "failure", began_s)
            raise Unauthorized
        self._metrics.authenticated(user.name, self._clock.monotonic() - began_s)
        call.user = user
        call.identity_headers = self._identity_headers
        return await following(call)

    async def _refused(self, call: Call, result: str, began_s: float) -> None:
        self._metrics.not_authenticated(result, self._clock.monotonic() - began_s)
        if self._audit is not None:
            await self._audit.failed_authentication(call)


def _conforms(authenticator: Authenticator, clock: Clock, metrics: IdentityMetrics) -> Filter:
    return AuthenticationFilter(authenticator, clock=clock, metrics=metrics)
