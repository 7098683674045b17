"""Bootstrap tokens: Secrets in kube-system by which new nodes and the cluster come to know each other.

Source: "Authenticating with Bootstrap Tokens" in the Kubernetes documentation.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from steersman.meta import objects, times

TYPE = "bootstrap.kubernetes.io/token"
NAMESPACE = "kube-system"
PREFIX = "bootstrap-token-"
_ID = re.compile(r"[a-z0-9]{6}", re.ASCII)
_SECRET = re.compile(r"[a-z0-9]{16}", re.ASCII)
USER_PREFIX = "system:bootstrap:"
GROUP = "system:bootstrappers"
"""Of whoever has a bootstrap token."""
_EXTRA_GROUP = re.compile(r"system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]", re.ASCII)


class BootstrapToken(Struct, frozen=True, kw_only=True):
    id: str
    secret: str
    expires_s: float | None
    signs: bool
    """It may sign the cluster's public information."""
    authenticates: bool
    """Its bearer is known to the API server."""
    extra_groups: tuple[str, ...] | None
    """Groups of its bearer beyond ``GROUP``; None where the Secret names one that is not below it."""


def parse(secret: Mapping[str, Any]) -> BootstrapToken | None:
    """The token that ``secret`` holds; None where it holds none that is valid. A malformed expiration has passed."""
    if secret.get("type") != TYPE:
        return None
    data = {key: base64.b64decode(text).decode(errors="replace") for key, text in (secret.get("data") or {}).items()}
    token_id, token_secret = data.get("token-id", ""), data.get("token-secret", "")
    if not _ID.fullmatch(token_id) or not _SECRET.fullmatch(token_secret):
        return None
    if objects.name(secret) != PREFIX + token_id:
        return None
    expires_s = None
    if data.get("expiration"):
        try:
            expires_s = times.parse_time(data["expiration"])
        except ValueError:
            expires_s = 0.0
    return BootstrapToken(
        id=token_id,
        secret=token_secret,
        expires_s=expires_s,
        signs=data.get("usage-bootstrap-signing") == "true",
        authenticates=data.get("usage-bootstrap-authentication") == "true",
        extra_groups=_extra_groups(data.get("auth-extra-groups", "")),
    )


def split(bearer: str) -> tuple[str, str] | None:
    """The id and the secret of what a bearer presents; None where that is no bootstrap token."""
    token_id, _, secret = bearer.partition(".")
    return (token_id, secret) if _ID.fullmatch(token_id) and _SECRET.fullmatch(secret) else None


def _extra_groups(text: str) -> tuple[str, ...] | None:
    groups = text.split(",") if text else []
    return tuple(groups) if all(_EXTRA_GROUP.fullmatch(group) for group in groups) else None


def signature(content: str, token: BootstrapToken) -> str:
    """A detached JSON Web Signature (HS256) over ``content`` with the token's secret."""
    header = _encoded(msgspec.json.encode({"alg": "HS256", "kid": token.id}))
    signed = f"{header}.{_encoded(content.encode())}".encode()
    return f"{header}..{_encoded(hmac.new(token.secret.encode(), signed, hashlib.sha256).digest())}"


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
