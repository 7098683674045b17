"""How this server proves itself to webhooks: users of a kubeconfig, found by the webhook's host.

The names of its users are hosts with ports: ``svc.ns.svc:8443``, ``webhook.example.com`` (port 443), ``*.example.com``.
Source: "Authenticate API servers" in the documentation of dynamic admission control.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct, field
from msgspec.structs import replace

from steersman.aio.clock import Clock
from steersman.apiserver.webhooks.api import HTTPS_PORT, Endpoint
from steersman.client.kubeconfig import KubeConfigError, field_data, read_document

TOKEN_REREAD_S = 60.0
_UNSUPPORTED = ("exec", "auth-provider")


class _Identity(Struct, frozen=True, kw_only=True):
    """One user of the kubeconfig."""

    headers: Mapping[str, str] = field(default_factory=dict)
    token_file: str = ""
    certificate_pem: bytes = b""
    key_pem: bytes = b""


class Credentials:
    """The users of one kubeconfig."""

    def __init__(self, identities: Mapping[str, _Identity], *, clock: Clock) -> None:
        self._identities = identities
        self._clock = clock
        self._tokens: dict[str, tuple[float, str]] = {}

    @classmethod
    def load(cls, path: str, *, clock: Clock) -> Credentials:
        """Raises ``KubeConfigError``."""
        file = Path(path)
        if not file.is_absolute():
            raise KubeConfigError(f'kubeConfigFile: Invalid value: "{path}": must be an absolute file path')
        users = read_document(file).get("users") or []
        return cls({str(user.get("name")): _identity(user.get("user") or {}, file) for user in users}, clock=clock)

    def of(self, endpoint: Endpoint) -> Endpoint:
        """``endpoint`` with what it takes to be known there. Raises ``OSError`` where a token cannot be read."""
        found = self._find(endpoint)
        if found is None:
            return endpoint
        headers = {**endpoint.headers, **found.headers}
        if found.token_file and "authorization" not in headers:
            headers["authorization"] = f"Bearer {self._token(found.token_file)}"
        return replace(
            endpoint, headers=headers, client_certificate_pem=found.certificate_pem, client_key_pem=found.key_pem
        )

    def _find(self, endpoint: Endpoint) -> _Identity | None:
        parts = urlsplit(endpoint.url)
        host, port = parts.hostname or "", parts.port or HTTPS_PORT
        targets = [f"{host}:{port}", *([host] if port == HTTPS_PORT else [])]
        for target in targets:
            steps = target.split(".")
            for name in (target, *(f"*.{'.'.join(steps[at:])}" for at in range(1, len(steps)))):
                if name in self._identities:
                    return self._identities[name]
        return None

    def _token(self, path: str) -> str:
        now_s = self._clock.monotonic()
        read_s, token = self._tokens.get(path, (float("-inf"), ""))
        if now_s >= read_s + TOKEN_REREAD_S:
            token = Path(path).read_text().strip()
            self._tokens[path] = (now_s, token)
        return token


def _identity(user: Mapping[str, Any], origin: Path) -> _Identity:
    for name in _UNSUPPORTED:
        if user.get(name):
            raise KubeConfigError(f"{origin}: {name} is not supported")
    headers: dict[str, str] = {}
    if user.get("token"):
        headers["authorization"] = f"Bearer {user['token']}"
    elif user.get("username") or user.get("password"):
        pair = f"{user.get('username') or ''}:{user.get('password') or ''}"
        headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    if user.get("as"):
        headers["impersonate-user"] = user["as"]
        if user.get("as-uid"):
            headers["impersonate-uid"] = user["as-uid"]
    for name in ("as-groups", "as-user-extra"):
        if user.get(name):
            raise KubeConfigError(f"{origin}: {name} is not supported for webhooks")
    certificate, key = (field_data(user, name, origin) for name in ("client-certificate", "client-key"))
    if bool(certificate) != bool(key):
        raise KubeConfigError(f"{origin}: client-certificate and client-key need each other")
    token_file = user.get("tokenFile") or ""
    return _Identity(
        headers=headers,
        token_file=str(origin.parent / token_file) if token_file else "",
        certificate_pem=certificate,
        key_pem=key,
    )
