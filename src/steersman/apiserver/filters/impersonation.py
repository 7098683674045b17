"""Impersonation: acting as another user, group, uid or extra, each of which has to be granted.

Source: "User impersonation" in the Kubernetes documentation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import unquote

from steersman.apiserver.authn.api import User
from steersman.apiserver.call import Call
from steersman.apiserver.filters.api import Filter, Next
from steersman.apiserver.filters.authorization import attributes_of
from steersman.apiserver.impersonation.modes import Impersonation
from steersman.meta.errors import BadRequest
from steersman.meta.quoting import quoted
from steersman.meta.wire import Response

_USER = "impersonate-user"
_GROUP = "impersonate-group"
_UID = "impersonate-uid"
_EXTRA = "impersonate-extra-"


class ImpersonationFilter:
    NAME = "impersonation"

    def __init__(self, impersonation: Impersonation) -> None:
        self._impersonation = impersonation

    async def __call__(self, call: Call, following: Next) -> Response:
        headers = call.request.headers
        for name in headers:
            if name.startswith("impersonate-"):
                break
        else:
            return await following(call)
        wanted = _wanted(call)
        if wanted is None:
            return await following(call)
        found = await self._impersonation.impersonate(wanted, attributes_of(call))
        call.impersonator = call.user
        call.user = found.user
        call.impersonation_constraint = found.constraint
        return await following(call)


def _wanted(call: Call) -> User | None:
    """Whom the request is made for; None where its headers are empty. Raises ``BadRequest``."""
    headers = call.request.headers
    name = headers.get(_USER, "")
    groups = tuple(call.request.header_values(_GROUP))
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


def _conforms(impersonation: Impersonation) -> Filter:
    return ImpersonationFilter(impersonation)
