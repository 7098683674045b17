"""The ways in which one may act as somebody else: four that are constrained to what is done so, and the legacy one.

A constrained mode needs two grants: ``impersonate:<mode>`` on the user who is wanted, in the API group
``authentication.k8s.io``, and ``impersonate-on:<mode>:<verb>`` on what the request is about. The first mode that allows a
request decides how it is made; the one that last allowed the same user something is asked first.

Source: KEP-5284 and "User impersonation" in the Kubernetes documentation.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from steersman.aio.clock import Clock
from steersman.apiserver.authn.api import User
from steersman.apiserver.authz.api import Attributes, Authorizer, Decision
from steersman.apiserver.impersonation.checks import Checks
from steersman.apiserver.impersonation.memory import Allowances, identity, request_identity
from steersman.apiserver.impersonation.subjects import (
    SubjectOf,
    arbitrary_node,
    associated_node,
    legacy_user,
    other_user,
    service_account,
)
from steersman.apiserver.metrics.impersonation import ImpersonationMetrics
from steersman.meta.errors import Forbidden

LEGACY = "legacy"
_LEGACY_VERB = "impersonate"
_ASSOCIATED_NODE = "associated-node"
_CONSTRAINED: tuple[tuple[str, SubjectOf], ...] = (
    (_ASSOCIATED_NODE, associated_node),
    ("arbitrary-node", arbitrary_node),
    ("serviceaccount", service_account),
    ("user-info", other_user),
)
_NODE_KEYS_EXTRA = "authentication.kubernetes.io/associated-node-keys"
_ANY_NODE = User(name="system:node:*")
_REMEMBERED_USERS = 10_000
"""Beyond it the mode of the user who least recently began with one is forgotten: all are tried in order."""


class Impersonated(Struct, frozen=True, kw_only=True):
    """Whom a request is made as."""

    user: User
    constraint: str = ""
    """The verb that allowed it; empty for legacy impersonation."""


class Mode(Protocol):
    NAME: str

    async def impersonate(self, wanted: User, request: Attributes) -> User | None:
        """Whom ``request``, of the user who asks, is made as; None: not in this mode. Raises ``Forbidden``."""

    @property
    def constraint(self) -> str: ...


class LegacyMode:
    """``impersonate`` alone: what may be done as the user is all that the user may."""

    NAME = LEGACY
    constraint = ""

    def __init__(self, authorizer: Authorizer) -> None:
        self._checks = Checks(authorizer=authorizer, verb=_LEGACY_VERB, is_constrained=False)

    async def impersonate(self, wanted: User, request: Attributes) -> User | None:
        subject = legacy_user(wanted, request.user)
        return await self._checks.allow(wanted, subject, request.user) if subject is not None else None


class ConstrainedMode:
    """One of the constrained modes.

    ``is_for_own_node``: the requests of one service account are alike on all nodes, so that what is allowed on one is
    remembered for all; authorizers see no more of the account than that.
    """

    def __init__(self, name: str, subject_of: SubjectOf, authorizer: Authorizer, clock: Clock) -> None:
        self.NAME = name
        self.constraint = f"impersonate:{name}"
        self._subject_of = subject_of
        self._is_for_own_node = name == _ASSOCIATED_NODE
        self._checks = Checks(authorizer=authorizer, verb=self.constraint, is_constrained=True)
        self._requests = Allowances(clock)
        self._users = Allowances(clock)

    async def impersonate(self, wanted: User, request: Attributes) -> User | None:
        subject = self._subject_of(wanted, request.user)
        if subject is None:
            return None
        asked_for = wanted
        if self._is_for_own_node:
            keys = tuple(sorted(request.user.extra))
            request = replace(request, user=replace(request.user, extra={_NODE_KEYS_EXTRA: keys}))
            asked_for = _ANY_NODE
        exactly = (identity(asked_for), request_identity(request))
        user = self._requests.get(exactly)
        if user is None:
            await self._checks.require(replace(request, verb=f"impersonate-on:{self.NAME}:{request.verb}"))
            in_general = (identity(asked_for), identity(request.user))
            user = self._users.get(in_general)
            if user is None:
                user = await self._checks.allow(asked_for, subject, request.user)
                self._users.add(in_general, user)
            self._requests.add(exactly, user)
        return replace(user, name=wanted.name)


class Impersonation:
    """All modes, in order."""

    def __init__(self, authorizer: Authorizer, *, clock: Clock, metrics: ImpersonationMetrics) -> None:
        self._clock = clock
        self._metrics = metrics

        def measured(mode: str) -> Authorizer:
            return _Measured(authorizer, clock=clock, asked=lambda *seen: metrics.asked(mode, *seen))

        self._modes: tuple[Mode, ...] = (
            *(ConstrainedMode(name, subject_of, measured(name), clock) for name, subject_of in _CONSTRAINED),
            LegacyMode(measured(LEGACY)),
        )
        self._last: OrderedDict[str, Mode] = OrderedDict()

    async def impersonate(self, wanted: User, request: Attributes) -> Impersonated:
        """Raises ``Forbidden``: what the first mode said that was asked."""
        began_s = self._clock.monotonic()
        refusal: Forbidden | None = None
        last = self._last.get(request.user.name)
        modes = self._modes if last is None else (last, *(mode for mode in self._modes if mode is not last))
        for mode in modes:
            try:
                user = await mode.impersonate(wanted, request)
            except Forbidden as error:
                refusal = refusal or error
                continue
            if user is not None:
                self._remember(request.user.name, mode)
                self._metrics.attempted(mode.NAME, True, self._clock.monotonic() - began_s)
                return Impersonated(user=user, constraint=mode.constraint)
        self._metrics.attempted("", False, self._clock.monotonic() - began_s)
        assert refusal is not None, "the legacy mode is for everybody"
        raise refusal

    def _remember(self, name: str, mode: Mode) -> None:
        self._last[name] = mode
        self._last.move_to_end(name)
        if len(self._last) > _REMEMBERED_USERS:
            self._last.popitem(last=False)


class _Measured:
    """An authorizer whose answers are counted."""

    def __init__(self, authorizer: Authorizer, *, clock: Clock, asked: Callable[[bool, float], None]) -> None:
        self._authorizer = authorizer
        self._clock = clock
        self._asked = asked

    async def authorize(self, attributes: Attributes) -> Decision:
        began_s = self._clock.monotonic()
        decision = await self._authorizer.authorize(attributes)
        self._asked(decision.allowed, self._clock.monotonic() - began_s)
        return decision
