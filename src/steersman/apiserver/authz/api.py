"""What an authorizer is asked and what it answers."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from steersman.apiserver.authn.api import User
from steersman.meta.selectors import EVERY_FIELD, EVERYTHING, FieldSelector, LabelSelector


class Attributes(Struct, frozen=True, kw_only=True):
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
    field_selector: FieldSelector = EVERY_FIELD
    """Of requests for many objects: what they are restricted to. What could not be parsed is left out: authorization of more."""
    field_selector_error: str = ""
    label_selector: LabelSelector = EVERYTHING
    label_selector_error: str = ""


class Decision(Struct, frozen=True, kw_only=True):
    """Allowed, denied (nobody else is asked), or neither: no opinion."""

    allowed: bool
    denied: bool = False
    reason: str = ""


ALLOWED = Decision(allowed=True)
NO_OPINION = Decision(allowed=False)


class Authorizer(Protocol):
    """Decides about requests. A failure to decide is no opinion with a reason, never an exception."""

    async def authorize(self, attributes: Attributes) -> Decision: ...
