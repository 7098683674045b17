"""TokenReview and SelfSubjectReview: who a token's bearer is, and who is asking."""

from __future__ import annotations

from typing import Any

from steersman.apiserver.authn.api import User
from steersman.apiserver.authn.claims import InvalidToken
from steersman.apiserver.authn.serviceaccount import ServiceAccountAuthenticator
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


async def review_token(review: Object, authenticator: ServiceAccountAuthenticator) -> Object:
    """``review`` with its status: whether its token is good for one of its audiences, and whose it is."""
    spec = review.get("spec") or {}
    token = spec.get("token") or ""
    if not token:
        raise BadRequest("token is required for TokenReview in authentication")
    audiences = spec.get("audiences") or ()
    try:
        known = await authenticator.review(token, audiences)
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
