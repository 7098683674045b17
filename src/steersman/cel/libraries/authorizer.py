"""Kubernetes' authorizer: ``authorizer.group("apps").resource("deployments").namespace("x").check("create").allowed()``.

Whoever evaluates binds ``authorizer`` to an ``Authorizer`` over something that decides; nothing here knows users.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Protocol

from msgspec import Struct
from msgspec.structs import replace

from steersman.cel import types
from steersman.cel.costs import NEW_LIST, NEW_OBJECT, TRAVERSAL, Estimate, Range, Rule, fixed
from steersman.cel.declarations import Function, Library, function, member
from steersman.cel.errors import EvaluationError
from steersman.cel.types import BOOL, STRING, Type
from steersman.cel.values import size_of
from steersman.meta import names

AUTHORIZER_TYPE = types.object_of("kubernetes.authorization.Authorizer")
PATH_CHECK_TYPE = types.object_of("kubernetes.authorization.PathCheck")
GROUP_CHECK_TYPE = types.object_of("kubernetes.authorization.GroupCheck")
RESOURCE_CHECK_TYPE = types.object_of("kubernetes.authorization.ResourceCheck")
DECISION_TYPE = types.object_of("kubernetes.authorization.Decision")
CHECK_COST = 350_000
"""So that one expression can afford two."""


class Decision(Struct, frozen=True, kw_only=True):
    cel_type: ClassVar[Type] = DECISION_TYPE

    allowed: bool
    reason: str = ""
    error: str = ""
    """Why it could not be decided."""


class Question(Struct, frozen=True, kw_only=True):
    """May the user do this? A resource, or with ``path`` set a path of the API."""

    verb: str
    service_account: tuple[str, str] | None = None
    """(namespace, name) to ask for instead of the request's user."""
    path: str = ""
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    field_selector: str = ""
    label_selector: str = ""


class Decides(Protocol):
    """What answers checks, for the user of the request at hand. Must not block."""

    def decide(self, question: Question) -> Decision: ...


class Authorizer(Struct, frozen=True):
    """The value of ``authorizer``."""

    cel_type: ClassVar[Type] = AUTHORIZER_TYPE

    decides: Decides
    question: Question = Question(verb="")

    def request_resource(self, **resource: str) -> ResourceCheck:
        """The value of ``authorizer.requestResource``: fields of ``Question`` of the resource that is requested."""
        return ResourceCheck(self.decides, replace(self.question, **resource))


class PathCheck(Struct, frozen=True):
    cel_type: ClassVar[Type] = PATH_CHECK_TYPE

    decides: Decides
    question: Question


class GroupCheck(Struct, frozen=True):
    cel_type: ClassVar[Type] = GROUP_CHECK_TYPE

    decides: Decides
    question: Question


class ResourceCheck(Struct, frozen=True):
    cel_type: ClassVar[Type] = RESOURCE_CHECK_TYPE

    decides: Decides
    question: Question


def _path(authorizer: Authorizer, path: str) -> PathCheck:
    if not path.strip():
        raise EvaluationError("path must not be empty")
    return PathCheck(authorizer.decides, replace(authorizer.question, path=path))


def _group(authorizer: Authorizer, group: str) -> GroupCheck:
    return GroupCheck(authorizer.decides, replace(authorizer.question, group=group))


def _service_account(authorizer: Authorizer, namespace: str, name: str) -> Authorizer:
    if names.subdomain_errors(name):
        raise EvaluationError("Invalid service account name")
    if names.label_errors(namespace):
        raise EvaluationError("Invalid service account namespace")
    return Authorizer(authorizer.decides, replace(authorizer.question, service_account=(namespace, name)))


def _resource(check: GroupCheck, resource: str) -> ResourceCheck:
    if not resource.strip():
        raise EvaluationError("resource must not be empty")
    return ResourceCheck(check.decides, replace(check.question, resource=resource))


def _check(check: PathCheck | ResourceCheck, verb: str) -> Decision:
    return check.decides.decide(replace(check.question, verb=verb))


def _narrowing(name: str, id: str, field: str, cost: Rule | None = None) -> Function:
    def narrow(check: ResourceCheck, value: str) -> ResourceCheck:
        return ResourceCheck(check.decides, replace(check.question, **{field: value}))

    return function(name, member(id, RESOURCE_CHECK_TYPE, STRING, to=RESOURCE_CHECK_TYPE, do=narrow, cost=cost))


def _selector_range(length: Range) -> Range:
    """A list of requirements, one for each two characters at worst."""
    requirements = length.scaled(0.5).scaled(NEW_LIST + NEW_OBJECT)
    return fixed(NEW_LIST) + length.scaled(TRAVERSAL) + requirements


_SELECTOR = Rule(
    lambda operands, _: _selector_range(fixed(size_of(operands[1]))).max,
    lambda operands: Estimate(_selector_range(operands.size(1))),
)
_CHECK = Rule(lambda _operands, _result: CHECK_COST, lambda _: Estimate(fixed(CHECK_COST)))


def _of_decision(name: str, to: Type, read: Callable[[Decision], object]) -> Function:
    return function(name, member(f"decision_{name}", DECISION_TYPE, to=to, do=read))


LIBRARY = Library(
    name="kubernetes.authz",
    functions=(
        function("path", member("authorizer_path", AUTHORIZER_TYPE, STRING, to=PATH_CHECK_TYPE, do=_path)),
        function("group", member("authorizer_group", AUTHORIZER_TYPE, STRING, to=GROUP_CHECK_TYPE, do=_group)),
        function(
            "serviceAccount",
            member(
                "authorizer_serviceaccount", AUTHORIZER_TYPE, STRING, STRING, to=AUTHORIZER_TYPE, do=_service_account
            ),
        ),
        function(
            "resource", member("groupcheck_resource", GROUP_CHECK_TYPE, STRING, to=RESOURCE_CHECK_TYPE, do=_resource)
        ),
        _narrowing("subresource", "resourcecheck_subresource", "subresource"),
        _narrowing("namespace", "resourcecheck_namespace", "namespace"),
        _narrowing("name", "resourcecheck_name", "name"),
        _narrowing("fieldSelector", "authorizer_fieldselector", "field_selector", _SELECTOR),
        _narrowing("labelSelector", "authorizer_labelselector", "label_selector", _SELECTOR),
        function(
            "check",
            member("pathcheck_check", PATH_CHECK_TYPE, STRING, to=DECISION_TYPE, do=_check, cost=_CHECK),
            member("resourcecheck_check", RESOURCE_CHECK_TYPE, STRING, to=DECISION_TYPE, do=_check, cost=_CHECK),
        ),
        _of_decision("allowed", BOOL, lambda decision: decision.allowed),
        _of_decision("reason", STRING, lambda decision: decision.reason),
        _of_decision("errored", BOOL, lambda decision: decision.error != ""),
        _of_decision("error", STRING, lambda decision: decision.error),
    ),
    types=(AUTHORIZER_TYPE, PATH_CHECK_TYPE, GROUP_CHECK_TYPE, RESOURCE_CHECK_TYPE, DECISION_TYPE),
)
