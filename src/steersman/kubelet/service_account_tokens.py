"""Tokens for the service accounts of pods: asked for with TokenRequest, bound to the pod, renewed well before their end."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from steersman.aio.clock import Clock
from steersman.client.api import Client
from steersman.client.transport import Unreachable
from steersman.meta import objects, times
from steersman.meta.errors import APIError
from steersman.meta.resources import SERVICEACCOUNTS

MAX_AGE_S = 24 * 3600.0
MAX_JITTER_S = 10.0
RENEW_AT = 0.8
"""Of its life a token is renewed at this share, or after a day (upstream's token manager)."""


class _Token(Struct, frozen=True):
    value: str
    expires_s: float
    renew_s: float


class ServiceAccountTokens:
    """Tokens by pod, audience and life."""

    def __init__(self, client: Client, *, clock: Clock, rng: random.Random) -> None:
        self._client = client
        self._clock = clock
        self._rng = rng
        self._tokens: dict[tuple[str, str, int, str], _Token] = {}

    async def token(self, pod: Mapping[str, Any], *, audience: str, expiration_s: int, account_uid: str = "") -> str:
        """Raises ``APIError`` or ``Unreachable`` when there is none and none can be had. ``account_uid``: only of this
        account, not of a later one with its name."""
        key = (objects.uid(pod), audience, expiration_s, account_uid)
        known = self._tokens.get(key)
        now_s = self._clock.now()
        if known is not None and now_s < known.renew_s:
            return known.value
        try:
            fresh = await self._request(pod, audience, expiration_s, account_uid)
        except (APIError, Unreachable):
            if known is not None and now_s < known.expires_s:
                return known.value
            raise
        self._tokens[key] = fresh
        return fresh.value

    def forget(self, uid: str) -> None:
        for key in [key for key in self._tokens if key[0] == uid]:
            del self._tokens[key]

    async def _request(self, pod: Mapping[str, Any], audience: str, expiration_s: int, account_uid: str) -> _Token:
        account = pod["spec"].get("serviceAccountName") or "default"
        metadata = {"name": account, "namespace": objects.namespace(pod)}
        if account_uid:
            metadata["uid"] = account_uid
        answer = await self._client.create(
            SERVICEACCOUNTS,
            {
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenRequest",
                "metadata": metadata,
                "spec": {
                    "audiences": [audience] if audience else [],
                    "expirationSeconds": expiration_s,
                    "boundObjectRef": {
                        "apiVersion": "v1", "kind": "Pod", "name": objects.name(pod), "uid": objects.uid(pod)
                    },
                },
            },
            namespace=objects.namespace(pod),
            name=account,
            subresource="token",
        )  # fmt: skip
        status = answer["status"]
        now_s = self._clock.now()
        expires_s = times.parse_time(status["expirationTimestamp"])
        life_s = expires_s - now_s
        renew_s = min(now_s + life_s * RENEW_AT, now_s + MAX_AGE_S) - self._rng.random() * MAX_JITTER_S
        return _Token(status["token"], expires_s, renew_s)
