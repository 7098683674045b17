"""What a service account token says, apart from how it is signed (``tokens.py``): no cryptography is imported here.

Source: "Bound service account tokens" in the Kubernetes documentation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

LEGACY_ISSUER = "kubernetes/serviceaccount"
KUBELET_EXPIRATION_S = 3607
"""What kubelets ask for; such tokens live a year so that old clients which never reread them go on, and warn instead."""
EXTENDED_EXPIRATION_S = 365 * 24 * 3600


class Claims(Struct, frozen=True, kw_only=True):
    """What a token says, after its signature and times were found good."""

    namespace: str
    name: str
    uid: str = ""
    audiences: tuple[str, ...] = ()
    token_id: str = ""
    pod: tuple[str, str] | None = None
    """(name, uid) of what the token is bound to, here and below."""
    node: tuple[str, str] | None = None
    secret: tuple[str, str] | None = None
    expires_s: float = float("inf")
    warn_after_s: float = float("inf")
    is_legacy: bool = False


class InvalidToken(Exception):
    """The token is one of ours (by its issuer) and must not be accepted; the message says why."""


def claims_of(payload: Mapping[str, Any], wanted: tuple[str, ...]) -> Claims:
    """``wanted`` are audiences. Raises ``InvalidToken`` where the token is for none of them."""
    if payload.get("iss") == LEGACY_ISSUER:
        prefix = "kubernetes.io/serviceaccount/"
        secret = payload.get(f"{prefix}secret.name", "")
        return Claims(
            namespace=payload.get(f"{prefix}namespace", ""),
            name=payload.get(f"{prefix}service-account.name", ""),
            uid=payload.get(f"{prefix}service-account.uid", ""),
            audiences=wanted,
            secret=(secret, "") if secret else None,
            is_legacy=True,
        )
    audience = payload.get("aud") or []
    has = {audience} if isinstance(audience, str) else set(audience)
    common = tuple(entry for entry in wanted if entry in has)
    if not common:
        raise InvalidToken(f"token audiences {sorted(has)} are not any of {list(wanted)}")
    private = payload.get("kubernetes.io") or {}
    account = private.get("serviceaccount") or {}

    def bound(kind: str) -> tuple[str, str] | None:
        entry = private.get(kind)
        return (entry.get("name", ""), entry.get("uid", "")) if entry else None

    return Claims(
        namespace=private.get("namespace", ""),
        name=account.get("name", ""),
        uid=account.get("uid", ""),
        audiences=common,
        token_id=payload.get("jti", ""),
        pod=bound("pod"),
        node=bound("node"),
        secret=bound("secret"),
        expires_s=float(payload.get("exp") or 0),
        warn_after_s=float(private.get("warnafter") or "inf"),
    )
