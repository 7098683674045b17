"""Impersonation: acting as another user, group, uid or extra, each of which has to be granted.

Source: "User impersonation" in the Kubernetes documentation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import unquote

from steersman.apiserver.authn.api import ANONYMOUS, AUTHENTICATED_GROUP, UNAUTHENTICATED_GROUP, User
from steersman.apiserver.authz.api import Attributes, Authorizer
from steersman.apiserver.call import Call
from steersman.apiserver.filters.api import Filter, Next
from steersman.apiserver.filters.authorization import forbidden
from steersman.meta.errors import BadRequest
from steersman.meta.quoting import quoted
from steersman.meta.wire import Response

_USER = "impersonate-user"
_GROUP = "impersonate-group"
_UID = "impersonate-uid"
_EXTRA = "impersonate-extra-"
_AUTHENTICATION_GROUP = "authentication.k8s.io"
_SERVICE_ACCOUNT = "system:serviceaccount:"


class ImpersonationFilter:
    NAME = "impersonation"

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    async def __call__(self, call: Call, following: Next) -> Response:
        headers = call.request.headers
        if not any(name.startswith("impersonate-") for name in headers):
            return await following(call)
        user = _wanted(call)
        if user is None:
            return await following(call)
        for attributes in _questions(call.user, user):
            decision = await self._authorizer.authorize(attributes)
            if not decision.allowed:
                raise forbidden(attributes, decision.reason)
        call.impersonator = call.user
        call.user = _with_implied_groups(user)
        return await following(call)


def _wanted(call: Call) -> User | None:
    """Whom the request is made for; None where its headers are empty. Raises ``BadRequest``."""
    headers = call.request.headers
    name = headers.get(_USER, "")
    groups = tuple(group for group in call.request.header_values(_GROUP) if group)
    extra = {
        unquote(header[len(_EXTRA) :]): call.request.header_values(header)
        for header in headers
        if header.startswith(_EXTRA)
    }
    if not name and not groups and not extra and not headers.get(_UID):
        return None
    if not name:
        raise BadRequest(f"requested {_as_go(headers.get(_UID, ''), groups, extra)} without impersonating a user name")
    return User(name=name, uid=headers.get(_UID, ""), groups=groups, extra=extra)


def _as_go(uid: str, groups: Sequence[str], extra: Mapping[str, Sequence[str]]) -> str:
    """A user without a name, as Go shows its value."""
    texts = {key: ", ".join(map(quoted, values)) for key, values in extra.items()}
    listed = ", ".join(f"{quoted(key)}:[]string{{{values}}}" for key, values in sorted(texts.items()))
    shown_groups = f"[]string{{{', '.join(map(quoted, groups))}}}" if groups else "[]string(nil)"
    shown_extra = f"map[string][]string{{{listed}}}" if extra else "map[string][]string(nil)"
    return f'&user.DefaultInfo{{Name:"", UID:{quoted(uid)}, Groups:{shown_groups}, Extra:{shown_extra}}}'


def _questions(user: User, wanted: User) -> Iterator[Attributes]:
    """What ``user`` must be allowed in order to act as ``wanted``."""
    if wanted.name.startswith(_SERVICE_ACCOUNT) and wanted.name.count(":") == 3:
        _, _, namespace, name = wanted.name.split(":")
        yield Attributes(
            user=user, verb="impersonate", version="v1", resource="serviceaccounts", namespace=namespace, name=name
        )
    else:
        yield Attributes(user=user, verb="impersonate", version="v1", resource="users", name=wanted.name)
    if wanted.uid:
        yield Attributes(
            user=user, verb="impersonate", group=_AUTHENTICATION_GROUP, version="v1", resource="uids", name=wanted.uid
        )
    for group in wanted.groups:
        yield Attributes(user=user, verb="impersonate", version="v1", resource="groups", name=group)
    for key, values in wanted.extra.items():
        for value in values:
            yield Attributes(
                user=user,
                verb="impersonate",
                group=_AUTHENTICATION_GROUP,
                version="v1",
                resource="userextras",
                subresource=key,
                name=value,
            )


def _with_implied_groups(user: User) -> User:
    groups = list(user.groups)
    if user.name.startswith(_SERVICE_ACCOUNT) and not groups and user.name.count(":") == 3:
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{user.name.split(':')[2]}"]
    if user.name == ANONYMOUS:
        if UNAUTHENTICATED_GROUP not in groups:
            groups.append(UNAUTHENTICATED_GROUP)
    elif AUTHENTICATED_GROUP not in groups and UNAUTHENTICATED_GROUP not in groups:
        groups.append(AUTHENTICATED_GROUP)
    return User(name=user.name, uid=user.uid, groups=tuple(groups), extra=user.extra)


def _conforms(authorizer: Authorizer) -> Filter:
    return ImpersonationFilter(authorizer)
