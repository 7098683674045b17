"""What an authenticator is, and who a user is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct, field

from steersman.meta.wire import Request

ANONYMOUS = "system:anonymous"
UNAUTHENTICATED_GROUP = "system:unauthenticated"
AUTHENTICATED_GROUP = "system:authenticated"
MASTERS_GROUP = "system:masters"
CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"
"""In ``User.extra``: which certificate or token it was."""


class User(Struct, frozen=True, kw_only=True):
    """Who is asking, as an authenticator established it."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class Authenticator(Protocol):
    """Establishes who sent a request."""

    async def authenticate(self, request: Request) -> User | None:
        """The user, or None when the request has no credentials of the kind this one knows.

        Raises ``Unauthorized`` when it has such credentials and they are wrong.
        """
