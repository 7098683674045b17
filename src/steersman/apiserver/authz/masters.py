"""``system:masters`` may do everything, before any other authorizer is asked."""

from __future__ import annotations

from steersman.apiserver.authn.api import MASTERS_GROUP
from steersman.apiserver.authz.api import ALLOWED, NO_OPINION, Attributes, Authorizer, Decision

NAME = "SystemMasters"


class SystemMastersAuthorizer:
    async def authorize(self, attributes: Attributes) -> Decision:
        return ALLOWED if MASTERS_GROUP in attributes.user.groups else NO_OPINION


def _conforms() -> Authorizer:
    return SystemMastersAuthorizer()
