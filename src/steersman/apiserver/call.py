"""One request on its way through the server: what the filters find out and the endpoints use."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

from msgspec import Struct, field

from steersman.apiserver.audit.event import AuditRecord
from steersman.apiserver.authn.api import ANONYMOUS, User
from steersman.apiserver.requestinfo import RequestInfo
from steersman.meta.wire import Request

_NOBODY = User(name=ANONYMOUS)


class IdentityHeaders(Struct, frozen=True, kw_only=True):
    """Headers that say who somebody is, in lower case. A server that passes requests on says that itself."""

    names: frozenset[str]
    prefixes: tuple[str, ...]

    def has(self, name: str) -> bool:
        return name in self.names or name.startswith(self.prefixes)


STANDARD_IDENTITY_HEADERS = IdentityHeaders(
    names=frozenset({"authorization", "x-remote-user", "x-remote-uid", "x-remote-group"}),
    prefixes=("impersonate-", "x-remote-extra-"),
)


class Call(Struct):
    """The state of one request; it lives as long as its response and is used by one task."""

    request: Request
    info: RequestInfo
    received_s: float
    """Monotonic time of arrival."""
    deadline_s: float | None = None
    """Monotonic time at which the request is given up; None: never."""
    user: User = _NOBODY
    """Whose permissions count: after impersonation, the impersonated."""
    impersonator: User | None = None
    """Who really asks, where that is someone else."""
    impersonation_constraint: str = ""
    """The verb of constrained impersonation that allowed it."""
    audit_id: str = ""
    identity_headers: IdentityHeaders = STANDARD_IDENTITY_HEADERS
    """What of the request's headers is passed on to nobody."""
    warnings: list[str] = field(default_factory=list)
    annotations: dict[str, str] = field(default_factory=dict)
    """For the audit event."""
    monitored: str | None = None
    """Counted by metrics, of paths that name no resource as this ``subresource``; None: nobody answers it yet."""
    audit: AuditRecord | None = None
    """What is recorded of this request; None: nothing."""
    response_headers: Mapping[str, str] | None = None
    """What every response to this call carries besides."""
    time_limit_s: float = 0.0
    """Seconds from its arrival until it has to be answered; 0: it may take as long as it likes."""

    @property
    def is_in_process(self) -> bool:
        """The caller reads decoded objects rather than bytes."""
        return bool(self.request.peer.user)

    def header(self, name: str) -> str:
        return self.request.headers.get(name, "")

    def query(self, name: str) -> str:
        return self.request.query_value(name)

    def warn(self, text: str) -> None:
        """Send ``text`` in a Warning header."""
        add_warning(self.warnings, text)


def add_warning(warnings: list[str], text: str) -> None:
    """Add ``text`` to what becomes Warning headers, once; upstream sends none with control characters, as of several lines."""
    if text and text not in warnings and not any(unicodedata.category(character) == "Cc" for character in text):
        warnings.append(text)
