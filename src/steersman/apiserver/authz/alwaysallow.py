"""``--authorization-mode=AlwaysAllow``."""

from __future__ import annotations

from steersman.apiserver.authz.api import ALLOWED, Attributes, Authorizer, Decision

NAME = "AlwaysAllow"


class AlwaysAllowAuthorizer:
    async def authorize(self, attributes: Attributes) -> Decision:
        return ALLOWED


def _conforms() -> Authorizer:
    return AlwaysAllowAuthorizer()
