"""What an authorizer is asked and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from steersman.apiserver.authn.api import User
from steersman.meta.selectors import EVERY_FIELD, EVERYTHING, FieldSelector, LabelSelector


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
    field_selector: FieldSelector = EVERY_FIELD
    """Of requests for many objects: what they are restricted to. What could not be parsed is left out: authorization of more."""
    field_selector_error: str = ""
    label_selector: LabelSelector = EVERYTHING
    label_selector_error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Allowed, denied (nobody else is asked), or neither: no opinion."""

    allowed: bool
    denied: bool = False
    reason: str = ""


ALLOWED = Decision(allowed=True)
NO_OPINION = Decision(allowed=False)


class Authorizer(Protocol):
    """Decides about requests. A failure to decide is no opinion with a reason, never an exception."""

    async def authorize(self, attributes: Attributes) -> Decision: ...
