"""Tokens that stand in Secrets: when each was used last, so that those that nobody uses can be removed.

Source: KEP-2799 (reduction of secret-based service account tokens). The ConfigMap that ``bootstrap`` makes says since when this is
done; the day, in UTC, is the unit of time.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import logging
from datetime import UTC, datetime
from typing import Protocol

from steersman.aio.clock import Clock
from steersman.client.api import MERGE_PATCH, Client
from steersman.meta import objects
from steersman.meta.errors import APIError
from steersman.meta.objects import Object
from steersman.meta.resources import SECRETS

LAST_USED = "kubernetes.io/legacy-token-last-used"
INVALID_SINCE = "kubernetes.io/legacy-token-invalid-since"
TRACKING = "kube-apiserver-legacy-service-account-token-tracking"
DAY_S = 24 * 3600.0
log = logging.getLogger(__name__)


def day_of(epoch_s: float) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%d")


def tracking_since(now_s: float) -> Object:
    """The ConfigMap of a server that begins to track at ``now_s``."""
    return {"metadata": {"name": TRACKING, "namespace": "kube-system"}, "data": {"since": day_of(now_s)}}


def is_token_of(secret: Object, token: str) -> bool:
    """The Secret has that very token."""
    try:
        stored = base64.b64decode((secret.get("data") or {}).get("token") or "", validate=True)
    except binascii.Error:
        return False
    return hmac.compare_digest(stored, token.encode())


class UseTracker(Protocol):
    """Hears of every use of a token that stands in a Secret."""

    async def used(self, secret: Object) -> None: ...


class LastUsedLabels:
    """Writes the day into the Secret's labels, once a day."""

    def __init__(self, client: Client, *, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    async def used(self, secret: Object) -> None:
        now_s = self._clock.now()
        if objects.labels(secret).get(LAST_USED) in (day_of(now_s), day_of(now_s + DAY_S)):
            return
        name, namespace = objects.name(secret), objects.namespace(secret)
        patch = {"metadata": {"uid": objects.uid(secret), "labels": {LAST_USED: day_of(now_s)}}}
        try:
            await self._client.patch(SECRETS, name, patch, namespace=namespace, patch_type=MERGE_PATCH)
        except APIError as error:
            log.error("the use of the token in secret %s/%s could not be noted: %s", namespace, name, error.message)


def _conforms(client: Client, clock: Clock) -> UseTracker:
    return LastUsedLabels(client, clock=clock)
