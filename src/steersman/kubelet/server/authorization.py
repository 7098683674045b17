"""Who may do what on this server: each path is a subresource of the node, and the API server is asked.

Source: "Kubelet authentication/authorization" in the Kubernetes documentation, and KEP-2862 for the paths that have a
subresource of their own before falling back to ``nodes/proxy``.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final, Protocol

from steersman.aio.clock import Clock
from steersman.client.api import Client
from steersman.kubelet.server.authentication import MAX_CACHED, Caller
from steersman.meta import resources

AUTHORIZED_TTL_S: Final = 300.0
"""``authorization.webhook.cacheAuthorizedTTL``'s default."""
UNAUTHORIZED_TTL_S: Final = 30.0

_VERBS: Final = {"POST": "create", "GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_OWN: Final = (
    ("/stats", "stats"),
    ("/metrics", "metrics"),
    ("/logs", "log"),
    ("/checkpoint", "checkpoint"),
    ("/statusz", "statusz"),
    ("/flagz", "configz"),
)
_FINE_GRAINED: Final = (
    ("/pods", "pods"),
    ("/healthz", "healthz"),
    ("/configz", "configz"),
    ("/runningpods", "pods"),
)


def verb_of(method: str) -> str:
    """The API verb that an HTTP method stands for; empty for others."""
    return _VERBS.get(method, "")


def subresources_of(path: str) -> tuple[str, ...]:
    """The node's subresources that a path is; the caller needs one of them."""
    fine = next((name for prefix, name in _FINE_GRAINED if _is_below(path, prefix)), "")
    own = next((name for prefix, name in _OWN if _is_below(path, prefix)), "proxy")
    return (fine, own) if fine else (own,)


def _is_below(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(prefix + "/")


class Authorizer(Protocol):
    async def authorize(self, caller: Caller, verb: str, subresource: str) -> bool: ...


class AlwaysAllow:
    """``--authorization-mode=AlwaysAllow``."""

    async def authorize(self, caller: Caller, verb: str, subresource: str) -> bool:
        return True


class AccessReviews:
    """What the API server says of callers, remembered for a while. Bounded by ``MAX_CACHED`` answers."""

    def __init__(self, client: Client, *, clock: Clock, authorized_ttl_s: float, unauthorized_ttl_s: float) -> None:
        self._client = client
        self._clock = clock
        self._ttl_s = {True: authorized_ttl_s, False: unauthorized_ttl_s}
        self._answers: OrderedDict[Any, tuple[float, bool]] = OrderedDict()

    async def allows(self, caller: Caller, asked: tuple[str, ...], attributes: Mapping[str, Any]) -> bool:
        """``attributes``: those of a SubjectAccessReview's spec that say what is asked, and ``asked`` what is particular of
        them. Raises ``APIError`` and ``Unreachable``."""
        key = (caller.name, caller.uid, caller.groups, tuple(sorted(caller.extra.items())), asked)
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
                **attributes,
            },
        }
        answer = await self._client.create(resources.SUBJECTACCESSREVIEWS, review)
        allowed = bool((answer.get("status") or {}).get("allowed"))
        self._answers[key] = (self._clock.monotonic() + self._ttl_s[allowed], allowed)
        self._answers.move_to_end(key)
        if len(self._answers) > MAX_CACHED:
            self._answers.popitem(last=False)
        return allowed


class SubjectAccessReviewAuthorizer:
    """``--authorization-mode=Webhook``: the API server decides."""

    def __init__(
        self,
        client: Client,
        *,
        node_name: str,
        clock: Clock,
        authorized_ttl_s: float = AUTHORIZED_TTL_S,
        unauthorized_ttl_s: float = UNAUTHORIZED_TTL_S,
    ) -> None:
        self._reviews = AccessReviews(
            client, clock=clock, authorized_ttl_s=authorized_ttl_s, unauthorized_ttl_s=unauthorized_ttl_s
        )
        self._node_name = node_name

    async def authorize(self, caller: Caller, verb: str, subresource: str) -> bool:
        attributes = {
            "verb": verb, "version": "v1", "resource": "nodes", "subresource": subresource, "name": self._node_name
        }  # fmt: skip
        return await self._reviews.allows(caller, (verb, subresource), {"resourceAttributes": attributes})


def _conforms(client: Client, clock: Clock) -> list[Authorizer]:
    return [AlwaysAllow(), SubjectAccessReviewAuthorizer(client, node_name="", clock=clock)]
