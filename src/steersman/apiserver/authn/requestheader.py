"""A front proxy that has authenticated its user and says so in headers.

Only believed with a client certificate of the front proxy's own authority and, where names are configured, one of them as
its common name. A value is one group, commas included: several groups are several headers. Source: "Authenticating Proxy"
in the Kubernetes documentation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import unquote

from cryptography import x509
from cryptography.x509.oid import NameOID
from msgspec import Struct

from steersman.apiserver.authn.api import AUTHENTICATED_GROUP, Authenticator, User
from steersman.apiserver.authn.x509 import is_issued_by
from steersman.meta.wire import Request

NAME = "RequestHeader"


class RequestHeaderConfig(Struct, frozen=True, kw_only=True):
    """``--requestheader-*``."""

    authorities: Sequence[x509.Certificate]
    allowed_names: Sequence[str] = ()
    """Common names that may speak for others; empty: any."""
    username_headers: Sequence[str] = ("x-remote-user",)
    uid_headers: Sequence[str] = ("x-remote-uid",)
    group_headers: Sequence[str] = ("x-remote-group",)
    extra_prefixes: Sequence[str] = ("x-remote-extra-",)


class RequestHeaderAuthenticator:
    def __init__(self, config: RequestHeaderConfig) -> None:
        self._config = config
        self._trusted: dict[bytes, bool] = {}

    async def authenticate(self, request: Request) -> User | None:
        der = request.peer.certificate_der
        if der is None:
            return None
        name = _first(request.headers, self._config.username_headers)
        if not name or not self._is_trusted(der):
            return None
        groups = [
            value for header in self._config.group_headers for value in request.header_values(header.lower()) if value
        ]
        if AUTHENTICATED_GROUP not in groups:
            groups.append(AUTHENTICATED_GROUP)
        uid = _first(request.headers, self._config.uid_headers)
        return User(name=name, uid=uid, groups=tuple(groups), extra=self._extra(request))

    def _extra(self, request: Request) -> dict[str, tuple[str, ...]]:
        extra: dict[str, tuple[str, ...]] = {}
        for prefix in self._config.extra_prefixes:
            for header in request.headers:
                if header.startswith(prefix.lower()):
                    key = unquote(header[len(prefix) :])
                    extra[key] = (*extra.get(key, ()), *request.header_values(header))
        return extra

    def _is_trusted(self, der: bytes) -> bool:
        trusted = self._trusted.get(der)
        if trusted is None:
            certificate = x509.load_der_x509_certificate(der)
            names = [str(entry.value) for entry in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
            allowed = self._config.allowed_names
            trusted = is_issued_by(certificate, self._config.authorities) and (
                not allowed or any(name in allowed for name in names)
            )
            if len(self._trusted) < 1024:
                self._trusted[der] = trusted
        return trusted


def _first(headers: Mapping[str, str], names: Sequence[str]) -> str:
    return next((headers[name.lower()] for name in names if headers.get(name.lower())), "")


def _conforms(config: RequestHeaderConfig) -> Authenticator:
    return RequestHeaderAuthenticator(config)
