"""May this user do that: the authorizers' answer, or 403 in upstream's words."""

from __future__ import annotations

from steersman.aio.clock import Clock
from steersman.apiserver.authz.api import Attributes, Authorizer
from steersman.apiserver.authz.selectors import NONE, VERBS, parsed
from steersman.apiserver.call import Call
from steersman.apiserver.filters.api import Filter, Next
from steersman.apiserver.metrics.identity import IdentityMetrics
from steersman.meta.errors import Forbidden
from steersman.meta.wire import Response

DECISION_ANNOTATION = "authorization.k8s.io/decision"
REASON_ANNOTATION = "authorization.k8s.io/reason"


def attributes_of(call: Call) -> Attributes:
    """The call as authorization sees it."""
    info = call.info
    if not info.is_resource:
        return Attributes(user=call.user, verb=info.verb, path=info.path, is_resource=False)
    selection = NONE
    if call.request.query and info.verb in VERBS and not info.is_verb_in_path:
        selection = parsed(call.query("fieldSelector"), call.query("labelSelector"))
    return Attributes(
        user=call.user,
        verb=info.verb,
        namespace=info.namespace,
        group=info.group,
        version=info.version,
        resource=info.resource,
        subresource=info.subresource,
        name=info.name,
        path=info.path,
        field_selector=selection.field_selector,
        field_selector_error=selection.field_selector_error,
        label_selector=selection.label_selector,
        label_selector_error=selection.label_selector_error,
    )


def forbidden(attributes: Attributes, reason: str) -> Forbidden:
    """``pods "a" is forbidden: User "b" cannot get resource "pods" in API group "" in the namespace "c"``."""
    user = attributes.user.name
    if not attributes.is_resource:
        text = f'User "{user}" cannot {attributes.verb} path "{attributes.path}"'
        return Forbidden(f"forbidden: {text}{': ' + reason if reason else ''}", details={})
    resource = f"{attributes.resource}/{attributes.subresource}" if attributes.subresource else attributes.resource
    text = f'User "{user}" cannot {attributes.verb} resource "{resource}" in API group "{attributes.group}"'
    text += f' in the namespace "{attributes.namespace}"' if attributes.namespace else " at the cluster scope"
    if reason:
        text = f"{text}: {reason}"
    qualified = f"{attributes.resource}.{attributes.group}" if attributes.group else attributes.resource
    subject = f'{qualified} "{attributes.name}"' if attributes.name else qualified
    details: dict[str, str] = {"name": attributes.name} if attributes.name else {}
    if attributes.group:
        details["group"] = attributes.group
    details["kind"] = attributes.resource
    return Forbidden(f"{subject} is forbidden: {text}", details=details)


class AuthorizationFilter:
    NAME = "authorization"

    def __init__(self, authorizer: Authorizer, *, clock: Clock, metrics: IdentityMetrics) -> None:
        self._authorizer = authorizer
        self._clock = clock
        self._metrics = metrics

    async def __call__(self, call: Call, following: Next) -> Response:
        attributes = attributes_of(call)
        began_s = self._clock.monotonic()
        decision = await self._authorizer.authorize(attributes)
        self._metrics.authorized(decision.allowed, self._clock.monotonic() - began_s)
        call.annotations[DECISION_ANNOTATION] = "allow" if decision.allowed else "forbid"
        call.annotations[REASON_ANNOTATION] = decision.reason
        if not decision.allowed:
            raise forbidden(attributes, decision.reason)
        return await following(call)


def _conforms(authorizer: Authorizer, clock: Clock, metrics: IdentityMetrics) -> Filter:
    return AuthorizationFilter(authorizer, clock=clock, metrics=metrics)
