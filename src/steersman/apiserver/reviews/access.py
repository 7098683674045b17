"""SubjectAccessReview and its relatives: may this user do that, and what may I do at all.

Source: "Authorization" in the Kubernetes documentation, and the API reference of authorization.k8s.io/v1.
"""

from __future__ import annotations

from steersman.apiserver.authn.api import User
from steersman.apiserver.authz.api import Attributes, Authorizer
from steersman.apiserver.authz.rbac import RBACAuthorizer, non_resource_rules, resource_rules
from steersman.apiserver.authz.selectors import reviewed
from steersman.meta.errors import BadRequest, FieldError, Invalid, invalid
from steersman.meta.objects import Object
from steersman.schema.groups.authorization.attributes import check_selectors

GROUP = "authorization.k8s.io"


async def review_access(review: Object, authorizer: Authorizer, *, namespace: str = "") -> Object:
    """A (Local)SubjectAccessReview with its status. ``namespace`` is the URL's, for the local kind.

    Raises ``Invalid`` and ``BadRequest``.
    """
    spec = review.get("spec") or {}
    errors = _attribute_errors(spec)
    if not spec.get("user") and not spec.get("groups"):
        errors.append(invalid("spec.user", "", "at least one of user or group must be specified"))
    if namespace:
        wanted = (spec.get("resourceAttributes") or {}).get("namespace") or ""
        if not spec.get("resourceAttributes"):
            path = _shown(spec.get("nonResourceAttributes"))
            errors.append(invalid("spec.nonResourceAttributes", path, "disallowed on this kind of request"))
        elif wanted != namespace:
            errors.append(invalid("spec.resourceAttributes.namespace", wanted, "must match metadata.namespace"))
    if errors:
        raise Invalid.of("", GROUP, "", errors)
    user = User(
        name=spec.get("user") or "",
        uid=spec.get("uid") or "",
        groups=tuple(spec.get("groups") or ()),
        extra={key: tuple(values or ()) for key, values in (spec.get("extra") or {}).items()},
    )
    return {**review, "status": await _status(spec, user, authorizer)}


async def review_own_access(review: Object, user: User, authorizer: Authorizer) -> Object:
    """A SelfSubjectAccessReview with its status. Raises ``Invalid``."""
    spec = review.get("spec") or {}
    errors = _attribute_errors(spec)
    if errors:
        raise Invalid.of("", GROUP, "", errors)
    return {**review, "status": await _status(spec, user, authorizer)}


def review_own_rules(review: Object, user: User, resolver: RBACAuthorizer | None) -> Object:
    """A SelfSubjectRulesReview with its status. Raises ``BadRequest``.

    Without RBAC the list is incomplete, and says so.
    """
    namespace = (review.get("spec") or {}).get("namespace") or ""
    if not namespace:
        raise BadRequest("no namespace on request")
    if resolver is None:
        status: Object = {
            "resourceRules": [],
            "nonResourceRules": [],
            "incomplete": True,
            "evaluationError": "the authorizers in use cannot list rules",
        }
        return {**review, "status": status}
    rules, problem = resolver.rules_for(user, namespace)
    status = {
        "resourceRules": resource_rules(rules),
        "nonResourceRules": non_resource_rules(rules),
        "incomplete": bool(problem),
    }
    if problem:
        status["evaluationError"] = problem
    return {**review, "status": status}


async def _status(spec: Object, user: User, authorizer: Authorizer) -> Object:
    decision = await authorizer.authorize(_attributes(spec, user))
    status: Object = {"allowed": decision.allowed}
    if decision.denied:
        status["denied"] = True
    if decision.reason:
        status["reason"] = decision.reason
    errors = reviewed(spec.get("resourceAttributes") or {}).evaluation_errors()
    if errors:
        status["evaluationError"] = "; ".join(errors)
    return status


def _attributes(spec: Object, user: User) -> Attributes:
    path = spec.get("nonResourceAttributes")
    if path:
        return Attributes(user=user, verb=path.get("verb") or "", path=path.get("path") or "", is_resource=False)
    of = spec.get("resourceAttributes") or {}
    selection = reviewed(of)
    return Attributes(
        user=user,
        verb=of.get("verb") or "",
        namespace=of.get("namespace") or "",
        group=of.get("group") or "",
        version=of.get("version") or "*",
        resource=of.get("resource") or "",
        subresource=of.get("subresource") or "",
        name=of.get("name") or "",
        field_selector=selection.field_selector,
        field_selector_error=selection.field_selector_error,
        label_selector=selection.label_selector,
        label_selector_error=selection.label_selector_error,
    )


def _attribute_errors(spec: Object) -> list[FieldError]:
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is not None and path is not None:
        detail = "cannot be specified in combination with resourceAttributes"
        return [invalid("spec.nonResourceAttributes", _shown(path), detail)]
    if resource is None and path is None:
        detail = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        return [invalid("spec.resourceAttributes", None, detail)]
    errors: list[FieldError] = []
    check_selectors(errors, resource or {})
    return errors


def _shown(path: Object | None) -> Object | None:
    """As upstream's own type of it is printed."""
    return None if path is None else {"Path": path.get("path") or "", "Verb": path.get("verb") or ""}
