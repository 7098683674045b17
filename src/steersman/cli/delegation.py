"""Delegated authentication and authorization: the API server says who a caller of a component's own server is, and whether he may
read what he asks for. As for upstream's components, paths of health are open to everybody.

Source: "Controlling Access to the Kubernetes API", the flags ``--authentication-*`` and ``--authorization-*`` of kube-scheduler.
"""

from __future__ import annotations

import logging
from pathlib import Path

from aiohttp import web
from msgspec import Struct

from steersman.cli.program import Delegation, Environment
from steersman.client.api import Client
from steersman.client.transport import Unreachable
from steersman.kubelet.server.authentication import (
    AnonymousAuthenticator,
    Authenticator,
    CertificateAuthenticator,
    Credentials,
    TokenReviewAuthenticator,
    UnionAuthenticator,
)
from steersman.kubelet.server.authorization import AccessReviews
from steersman.meta.errors import APIError, Forbidden, Unauthorized
from steersman.meta.resources import CONFIGMAPS

AUTHORITY_NAME, AUTHORITY_NAMESPACE, AUTHORITY_KEY = (
    "extension-apiserver-authentication",
    "kube-system",
    "client-ca-file",
)
log = logging.getLogger(__name__)


class Doorkeeper(Struct, frozen=True, kw_only=True):
    """Lets requests in, or has the answer that they get instead."""

    authenticator: Authenticator
    reviews: AccessReviews | None
    """None: nothing but ``open_paths`` is allowed."""
    open_paths: tuple[str, ...] = ()
    """For everybody; one that ends with ``*`` stands for all below."""
    client_ca: str = ""
    """PEM; certificates that it signed say who a caller is."""

    async def refusal(self, request: web.BaseRequest) -> web.Response | None:
        """None for who may."""
        path, verb = request.path, request.method.lower()
        if any(path == each or (each.endswith("*") and path.startswith(each[:-1])) for each in self.open_paths):
            return None
        try:
            caller = await self.authenticator.authenticate(_credentials(request))
            if caller is None:
                return _as_response(Unauthorized())
            attributes = {"nonResourceAttributes": {"path": path, "verb": verb}}
            if self.reviews is not None and await self.reviews.allows(caller, (verb, path), attributes):
                return None
        except (APIError, Unreachable) as error:
            log.warning("cannot ask the API server about a request for %s: %s", path, error)
            return _as_response(Unauthorized())
        return _as_response(Forbidden(f'forbidden: User "{caller.name}" cannot {verb} path "{path}"', details={}))


async def doorkeeper(delegation: Delegation, environment: Environment) -> Doorkeeper:
    """Raises ``OSError`` where ``--client-ca-file`` cannot be read, and, where failures to look up the authority are not
    tolerated, ``APIError`` and ``Unreachable``."""

    def client_of(kubeconfig: str) -> Client | None:
        return environment.client(kubeconfig, user_agent="delegated") if kubeconfig else None

    authenticating = client_of(delegation.authentication_kubeconfig)
    authorizing = client_of(delegation.authorization_kubeconfig)
    known: list[Authenticator] = [CertificateAuthenticator()]
    if authenticating is not None:
        known.append(TokenReviewAuthenticator(authenticating, clock=environment.clock, ttl_s=delegation.token_ttl_s))
    return Doorkeeper(
        authenticator=UnionAuthenticator(*known, AnonymousAuthenticator()),
        reviews=None
        if authorizing is None
        else AccessReviews(
            authorizing,
            clock=environment.clock,
            authorized_ttl_s=delegation.authorized_ttl_s,
            unauthorized_ttl_s=delegation.unauthorized_ttl_s,
        ),
        open_paths=delegation.always_allow_paths,
        client_ca=_named_authority(delegation) or await _authority(delegation, authenticating),
    )


def _named_authority(delegation: Delegation) -> str:
    return Path(delegation.client_ca_file).read_text(encoding="utf-8") if delegation.client_ca_file else ""


async def _authority(delegation: Delegation, client: Client | None) -> str:
    """The API server's authority of clients."""
    if client is None or delegation.skips_lookup:
        return ""
    try:
        found = await client.get(CONFIGMAPS, AUTHORITY_NAME, namespace=AUTHORITY_NAMESPACE)
    except (APIError, Unreachable) as error:
        if not delegation.tolerates_lookup_failure:
            raise
        log.warning("%s/%s cannot be read, client certificates count for nothing: %s", AUTHORITY_NAMESPACE,
                    AUTHORITY_NAME, error)  # fmt: skip
        return ""
    return str((found.get("data") or {}).get(AUTHORITY_KEY) or "")


def _credentials(request: web.BaseRequest) -> Credentials:
    tls = request.get_extra_info("ssl_object")
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return Credentials(
        certificate_der=tls.getpeercert(binary_form=True) if tls is not None else None,
        token=token.strip() if scheme.lower() == "bearer" else "",
    )


def _as_response(error: APIError) -> web.Response:
    return web.json_response(error.status(), status=error.http_code)
