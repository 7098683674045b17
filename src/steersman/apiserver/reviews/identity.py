"""TokenReview and SelfSubjectReview: who a token's bearer is, and who is asking."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from steersman.apiserver.authn.api import User
from steersman.apiserver.authn.claims import InvalidToken
from steersman.meta import times
from steersman.meta.errors import BadRequest
from steersman.meta.objects import Object


def user_info(user: User) -> Object:
    """``authentication.k8s.io/v1`` UserInfo."""
    info: dict[str, Any] = {"username": user.name}
    if user.uid:
        info["uid"] = user.uid
    if user.groups:
        info["groups"] = [*user.groups]
    if user.extra:
        info["extra"] = {key: [*values] for key, values in user.extra.items()}
    return info


class TokenReviewer(Protocol):
    """Knows some kind of tokens."""

    async def review(self, token: str, audiences: Sequence[str] = ()) -> tuple[User, tuple[str, ...]] | None:
        """The user of ``token`` and for which of ``audiences`` it is good; None: it is of another kind. Raises ``InvalidToken``."""


async def _reviewed(
    token: str, audiences: Sequence[str], reviewers: Sequence[TokenReviewer]
) -> tuple[User, tuple[str, ...]] | None:
    """What the first one says that knows the token."""
    refusal: InvalidToken | None = None
    for reviewer in reviewers:
        try:
            known = await reviewer.review(token, audiences)
        except InvalidToken as error:
            refusal = error
            continue
        if known is not None:
            return known
    if refusal is not None:
        raise refusal
    return None


async def review_token(review: Object, *reviewers: TokenReviewer) -> Object:
    """``review`` with its status: whether its token is good for one of its audiences, and whose it is."""
    spec = review.get("spec") or {}
    token = spec.get("token") or ""
    if not token:
        raise BadRequest("token is required for TokenReview in authentication")
    audiences = spec.get("audiences") or ()
    try:
        known = await _reviewed(token, audiences, reviewers)
    except InvalidToken as error:
        return {**review, "status": {"user": {}, "error": f"[invalid bearer token, {error}]"}}
    if known is None:
        return {**review, "status": {"user": {}, "error": "invalid bearer token"}}
    user, accepted = known
    return {**review, "status": {"authenticated": True, "user": user_info(user), "audiences": [*accepted]}}


def review_self(review: Object, user: User, *, now_s: float) -> Object:
    """``review`` with the asking user in its status."""
    metadata = {**(review.get("metadata") or {}), "creationTimestamp": times.format_time(now_s)}
    return {**review, "metadata": metadata, "status": {"userInfo": user_info(user)}}
