"""Evaluating expressions of admission about one request: the values of their variables, the budget, the wording of errors."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from steersman.apiserver.admission.decisions import Decisions, Undecided
from steersman.apiserver.admission.matching import GroupVersionKind, Versioned, kind_of
from steersman.apiserver.authn.api import User
from steersman.apiserver.turns import in_turn
from steersman.cel.libraries.authorizer import Authorizer, Question
from steersman.cel.values import Value
from steersman.meta.objects import Object
from steersman.meta.resources import Resource
from steersman.schema.groups.admissionregistration.expressions import (
    AUTHORIZER,
    NAMESPACE,
    OBJECT,
    OLD_OBJECT,
    PARAMS,
    REQUEST,
    REQUEST_RESOURCE,
    Expression,
)

_OUT_OF_BUDGET = "validation failed due to running out of cost budget, no further validation rules will be run"


class OutOfBudget(Exception):
    """All expressions together cost more than they may. ``str()`` is upstream's detail."""

    def __init__(self) -> None:
        super().__init__(_OUT_OF_BUDGET)


class Result(Struct, frozen=True, kw_only=True):
    """What one expression came to."""

    value: Value = None
    error: str = ""
    """Upstream's detail; empty where there is a value."""
    remaining: int
    """Of the budget."""


async def evaluate(
    expression: Expression, bindings: Mapping[str, Value], decisions: Decisions, *, budget: int
) -> Result:
    """Raises ``OutOfBudget``. ``bindings`` may compute values when asked for them; ``Undecided`` is theirs to pass on."""
    program = expression.program
    if program is None:
        return Result(error=f"compilation error: {expression.problem}", remaining=budget)
    while True:
        try:
            outcome = await in_turn(partial(program.measure, bindings))
        except Undecided as undecided:
            await decisions.fetch(undecided.question)
        else:
            break
    if outcome.cost > budget:
        raise OutOfBudget
    remaining = budget - outcome.cost
    if outcome.error is not None:
        return Result(error=f"expression '{expression.text}' resulted in error: {outcome.error}", remaining=remaining)
    return Result(value=outcome.value, remaining=remaining)


def bindings(
    seen: Versioned, decisions: Decisions, *, namespace: Object | None = None, params: Object | None = None
) -> dict[str, Value]:
    """The values of the variables of ``expressions.declarations``, for the request as it is seen in one version."""
    request = seen.request
    question = Question(
        verb="",
        group=request.kind.resource.group,
        resource=request.kind.resource.plural,
        subresource=request.subresource,
        namespace=request.namespace,
        name=request.name,
    )
    authorizer = Authorizer(decisions)
    return {
        OBJECT: seen.obj,
        OLD_OBJECT: seen.old,
        PARAMS: params,
        REQUEST: request_value(seen),
        NAMESPACE: namespace_value(namespace),
        AUTHORIZER: authorizer,
        REQUEST_RESOURCE: replace(authorizer, question=question).request_resource(),
    }


def request_value(seen: Versioned) -> Object:
    """The ``request`` variable: an AdmissionRequest as JSON, whose empty fields are left out, without uid and objects."""
    request, target = seen.request, seen.target
    own, own_kind = request.kind.resource, kind_of(request.kind, request.subresource)
    value: dict[str, Any] = {
        "kind": kind_value(target.kind),
        "resource": resource_value(target.resource),
        "requestKind": kind_value(own_kind),
        "requestResource": resource_value(own),
        "operation": request.operation,
        "userInfo": user_value(request.user),
        "dryRun": request.dry_run,
        "options": dict(request.options) or None,
    }
    optional = {
        "subResource": request.subresource,
        "requestSubResource": request.subresource,
        "name": request.name,
        "namespace": request.namespace,
    }
    return value | {field: text for field, text in optional.items() if text}


def kind_value(kind: GroupVersionKind) -> Object:
    return {"group": kind.group, "version": kind.version, "kind": kind.kind}


def resource_value(resource: Resource) -> Object:
    return {"group": resource.group, "version": resource.version, "resource": resource.plural}


def user_value(user: User) -> Object:
    """An ``authentication.k8s.io/v1`` UserInfo."""
    value: Object = {}
    if user.name:
        value["username"] = user.name
    if user.uid:
        value["uid"] = user.uid
    if user.groups:
        value["groups"] = list(user.groups)
    if user.extra:
        value["extra"] = {key: list(values) for key, values in user.extra.items()}
    return value


_NAMESPACE_METADATA = (
    "name", "generateName", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp",
    "deletionGracePeriodSeconds", "labels", "annotations", "finalizers",
)  # fmt: skip


def namespace_value(namespace: Object | None) -> Object | None:
    """The ``namespaceObject`` variable: a namespace without managed fields and owners; None for what is in none."""
    if namespace is None:
        return None
    metadata = namespace["metadata"]
    kept = {field: metadata[field] for field in _NAMESPACE_METADATA if field in metadata}
    return {"metadata": kept, "spec": namespace.get("spec") or {}, "status": namespace.get("status") or {}}
