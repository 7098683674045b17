"""What was allowed a moment ago is allowed still: every request of an agent is made as the same node."""

from __future__ import annotations

import hashlib
from collections import OrderedDict

from steersman.aio.clock import Clock
from steersman.apiserver.authn.api import User
from steersman.apiserver.authz.api import Attributes

_KEPT_S = 10.0
"""Upstream's; as long as it remembers tokens."""
_LIMIT = 10_000
"""Beyond it what was least recently allowed is asked again."""


def identity(user: User) -> tuple[object, ...]:
    """All that sets ``user`` apart."""
    return user.name, user.uid, user.groups, tuple(sorted(user.extra.items()))


def request_identity(request: Attributes) -> tuple[object, ...]:
    """All that an authorizer can tell ``request`` from others by."""
    return (
        identity(request.user),
        request.verb,
        request.namespace,
        request.group,
        request.version,
        request.resource,
        request.subresource,
        request.name,
        request.path,
        request.is_resource,
    )


class Allowances:
    """Users that were allowed, for ten seconds, by what was asked; refusals are not remembered."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: OrderedDict[bytes, tuple[float, User]] = OrderedDict()

    def get(self, key: tuple[object, ...]) -> User | None:
        digest = _digest(key)
        until_s, user = self._kept.get(digest, (0.0, None))
        if user is None or until_s <= self._clock.monotonic():
            self._kept.pop(digest, None)
            return None
        return user

    def add(self, key: tuple[object, ...], user: User) -> None:
        digest = _digest(key)
        self._kept[digest] = (self._clock.monotonic() + _KEPT_S, user)
        self._kept.move_to_end(digest)
        if len(self._kept) > _LIMIT:
            self._kept.popitem(last=False)


def _digest(key: tuple[object, ...]) -> bytes:
    """Of one size whatever a client sends."""
    return hashlib.sha256(repr(key).encode(errors="surrogatepass")).digest()
