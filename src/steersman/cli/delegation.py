"""Delegated authentication and authorization: the API server says who a caller of a component's own server is, and whether he may
read what he asks for. As for upstream's components, paths of health are open to everybody.

Source: "Controlling Access to the Kubernetes API", the flags ``--authentication-*`` and ``--authorization-*`` of kube-scheduler.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from pathlib import Path
from typing import Any

from aiohttp import web
from msgspec import Struct

from steersman.aio.clock import Clock
from steersman.cli.program import Delegation, Environment
from steersman.client.api import Client
from steersman.client.transport import Unreachable
from steersman.kubelet.server.authentication import (
    MAX_CACHED,
    AnonymousAuthenticator,
    Authenticator,
    Caller,
    CertificateAuthenticator,
    Credentials,
    TokenReviewAuthenticator,
    UnionAuthenticator,
)
from steersman.meta.errors import APIError, Forbidden, Unauthorized
from steersman.meta.resources import CONFIGMAPS, SUBJECTACCESSREVIEWS

AUTHORITY_NAME, AUTHORITY_NAMESPACE, AUTHORITY_KEY = (
    "extension-apiserver-authentication",
    "kube-system",
    "client-ca-file",
)
log = logging.getLogger(__name__)


class PathAuthorizer:
    """Asks the API server about paths, and remembers its answers for a while. Without a client nothing is allowed."""

    def __init__(
        self, client: Client | None, *, clock: Clock, authorized_ttl_s: float, unauthorized_ttl_s: float
    ) -> None:
        self._client = client
        self._clock = clock
        self._ttl_s = {True: authorized_ttl_s, False: unauthorized_ttl_s}
        self._answers: OrderedDict[Any, tuple[float, bool]] = OrderedDict()

    async def allows(self, caller: Caller, verb: str, path: str) -> bool:
        """Raises ``APIError`` and ``Unreachable``."""
        if self._client is None:
            return False
        key = (caller.name, caller.uid, caller.groups, tuple(sorted(caller.extra.items())), verb, path)
        known = self._answers.get(key)
        if known is not None and known[0] > self._clock.monotonic():
            return known[1]
        review: dict[str, Any] = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "metadata": {},
            "spec": {
                "user": caller.name,
                "uid": caller.uid,
                "groups": list(caller.groups),
                "extra": {name: list(values) for name, values in caller.extra.items()},
                "nonResourceAttributes": {"path": path, "verb": verb},
            },
        }
        answer = await self._client.create(SUBJECTACCESSREVIEWS, review)
        allowed = bool((answer.get("status") or {}).get("allowed"))
        self._answers[key] = (self._clock.monotonic() + self._ttl_s[allowed], allowed)
        self._answers.move_to_end(key)
        if len(self._answers) > MAX_CACHED:
            self._answers.popitem(last=False)
        return allowed


class Doorkeeper(Struct, frozen=True, kw_only=True):
    """Lets requests in, or has the answer that they get instead."""

    authenticator: Authenticator
    authorizer: PathAuthorizer
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
            if await self.authorizer.allows(caller, verb, path):
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
    known: list[Authenticator] = [CertificateAuthenticator()]
    if authenticating is not None:
        known.append(TokenReviewAuthenticator(authenticating, clock=environment.clock, ttl_s=delegation.token_ttl_s))
    return Doorkeeper(
        authenticator=UnionAuthenticator(*known, AnonymousAuthenticator()),
        authorizer=PathAuthorizer(
            client_of(delegation.authorization_kubeconfig),
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
