"""The questions that an impersonation depends on: may this user be, in these groups, with this uid and these extras."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from steersman.apiserver.authn.api import ANONYMOUS, AUTHENTICATED_GROUP, MASTERS_GROUP, UNAUTHENTICATED_GROUP, User
from steersman.apiserver.authz.api import Attributes, Authorizer
from steersman.apiserver.filters.authorization import forbidden
from steersman.apiserver.impersonation.subjects import Subject
from steersman.meta.domains import domain_prefixed_path_errors
from steersman.meta.quoting import quoted

AUTHENTICATION_GROUP = "authentication.k8s.io"
_MANY = 4
"""From this many groups or extras on it is asked first whether all are allowed."""


class Checks(Struct, frozen=True, kw_only=True):
    """Asks with one verb for all that is wanted. ``is_constrained``: nothing that legacy impersonation lets through."""

    authorizer: Authorizer
    verb: str
    is_constrained: bool

    async def allow(self, wanted: User, subject: Subject, requestor: User) -> User:
        """Whom the request is made as. Raises ``Forbidden``."""
        group = AUTHENTICATION_GROUP if self.is_constrained else ""
        asked = Attributes(user=requestor, verb=self.verb, group=group, version="v1", resource=subject.resource)
        await self.require(replace(asked, namespace=subject.namespace, name=subject.name))
        about = replace(asked, group=AUTHENTICATION_GROUP)
        if wanted.uid:
            await self.require(replace(about, resource="uids", name=wanted.uid))
        await self._allow_groups(replace(asked, resource="groups"), wanted)
        await self._allow_extra(replace(about, resource="userextras"), wanted)
        return with_implied_groups(replace(wanted, groups=wanted.groups or subject.groups))

    async def _allow_groups(self, asked: Attributes, wanted: User) -> None:
        if self.is_constrained:
            if "" in wanted.groups:
                raise forbidden(asked, "impersonating the empty string group is not allowed")
            if MASTERS_GROUP in wanted.groups:
                raise forbidden(
                    replace(asked, name=MASTERS_GROUP), "impersonating the system:masters group is not allowed"
                )
            if len(wanted.groups) >= _MANY and await self._allows(replace(asked, name="*")):
                return
        for name in wanted.groups:
            await self.require(replace(asked, name=name))

    async def _allow_extra(self, asked: Attributes, wanted: User) -> None:
        if self.is_constrained and wanted.extra:
            for problem in _extra_problems(wanted):
                raise forbidden(asked, problem)
            is_large = len(wanted.extra) >= _MANY or sum(map(len, wanted.extra.values())) >= _MANY
            if is_large and await self._allows(replace(asked, subresource="*", name="*")):
                return
        for key, values in wanted.extra.items():
            for value in values:
                await self.require(replace(asked, subresource=key, name=value))

    async def require(self, attributes: Attributes) -> None:
        """Raises ``Forbidden``."""
        decision = await self.authorizer.authorize(attributes)
        if not decision.allowed:
            raise forbidden(attributes, decision.reason)

    async def _allows(self, attributes: Attributes) -> bool:
        return (await self.authorizer.authorize(attributes)).allowed


def with_implied_groups(user: User) -> User:
    """A member of the groups that everybody is in who is authenticated, or is not."""
    if user.name == ANONYMOUS:
        implied = UNAUTHENTICATED_GROUP
    elif UNAUTHENTICATED_GROUP in user.groups:
        return user
    else:
        implied = AUTHENTICATED_GROUP
    return user if implied in user.groups else replace(user, groups=(*user.groups, implied))


def _extra_problems(wanted: User) -> Iterator[str]:
    for key, values in wanted.extra.items():
        if not key:
            yield "impersonating the empty string key in extra is not allowed"
        errors = [str(error) for error in domain_prefixed_path_errors(key, "extra.key")]
        if errors:
            text = errors[0] if len(errors) == 1 else f"[{', '.join(errors)}]"
            yield f"impersonating an invalid key in extra is not allowed: {text}"
        if key != key.lower():
            yield f"impersonating a non-lowercase key in extra is not allowed: {quoted(key)}"
        if not values:
            yield "impersonating empty values in extra is not allowed"
        if "" in values:
            yield "impersonating the empty string value in extra is not allowed"
