"""``--authorization-mode=AlwaysDeny``, for tests."""

from __future__ import annotations

from steersman.apiserver.authz.api import NO_OPINION, Attributes, Authorizer, Decision

NAME = "AlwaysDeny"


class AlwaysDenyAuthorizer:
    async def authorize(self, attributes: Attributes) -> Decision:
        return NO_OPINION


def _conforms() -> Authorizer:
    return AlwaysDenyAuthorizer()
