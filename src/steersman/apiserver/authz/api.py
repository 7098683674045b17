"""What an authorizer is asked and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import msgspec

from steersman.apiserver.authn.api import User


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """A request as authorization sees it."""

    user: User
    verb: str
    namespace: str = ""
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""
    path: str = ""
    """The URL path, for requests that name no resource."""
    is_resource: bool = True


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """Allowed, denied (nobody else is asked), or neither: no opinion. A struct, not a dataclass: every request makes some."""

    allowed: bool
    denied: bool = False
    reason: str = ""


ALLOWED = Decision(allowed=True)
NO_OPINION = Decision(allowed=False)


class Authorizer(Protocol):
    """Decides about requests. A failure to decide is no opinion with a reason, never an exception."""

    async def authorize(self, attributes: Attributes) -> Decision: ...
