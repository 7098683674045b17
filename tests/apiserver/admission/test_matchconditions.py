"""CEL expressions that decide whether a webhook or policy is asked."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.apiserver.admission.api import AdmissionRequest
from steersman.apiserver.admission.decisions import Decisions
from steersman.apiserver.admission.evaluation import bindings
from steersman.apiserver.admission.matchconditions import MatchConditions, Verdict
from steersman.apiserver.admission.matching import Target, Versioned, kind_of
from steersman.apiserver.authn.api import User
from steersman.apiserver.authz.api import ALLOWED, NO_OPINION, Attributes, Decision
from steersman.meta.objects import Object
from steersman.meta.resources import PODS
from steersman.schema.groups import REGISTRY
from steersman.schema.groups.admissionregistration.expressions import Variables, compile_condition

POD_KIND = next(kind for kind in REGISTRY if kind.resource == PODS)
POD: Object = {"metadata": {"name": "a", "namespace": "team", "labels": {"app": "web"}}, "spec": {"nodeName": "n1"}}


class Allowing:
    """Allows one verb, and remembers what it was asked."""

    def __init__(self, verb: str = "") -> None:
        self.asked: list[Attributes] = []
        self._verb = verb

    async def authorize(self, attributes: Attributes) -> Decision:
        self.asked.append(attributes)
        return ALLOWED if attributes.verb == self._verb else NO_OPINION


async def verdict(
    *expressions: str, ignores: bool = False, authorizer: Allowing | None = None, **fields: Any
) -> Verdict:
    user = User(name="ada", groups=("devs",), extra={"scope": ("x", "y")})
    given: dict[str, Any] = {"namespace": "team", "name": "a", "obj": POD, "old": None, "user": user, "dry_run": True}
    request = AdmissionRequest(operation="CREATE", kind=POD_KIND, **given | fields)
    seen = Versioned(request=request, target=Target(PODS, kind_of(POD_KIND, "")), obj=request.obj, old=request.old)
    decisions = Decisions(authorizer or Allowing(), user)
    conditions = MatchConditions.of(
        [{"name": f"c{index}", "expression": expression} for index, expression in enumerate(expressions)]
    )
    return await conditions.evaluate(bindings(seen, decisions), decisions, ignores_failures=ignores)


@pytest.mark.parametrize(
    "expression",
    [
        "object.metadata.labels.app == 'web'",
        "oldObject == null",
        "request.operation == 'CREATE' && request.dryRun",
        "request.resource.resource == 'pods' && request.kind.kind == 'Pod' && request.requestKind.version == 'v1'",
        "request.userInfo.username == 'ada' && 'devs' in request.userInfo.groups",
        "request.userInfo.extra['scope'] == ['x', 'y']",
        "request.name == 'a' && request.namespace == 'team' && !has(request.subResource)",
        "namespaceObject == null",
    ],
)
async def test_conditions_see_the_request(expression: str) -> None:
    assert await verdict(expression) == Verdict(matches=True)


async def test_all_conditions_have_to_hold() -> None:
    assert await verdict("true", "object.spec.nodeName == 'n2'", "true") == Verdict(matches=False, false_condition="c1")


async def test_a_false_condition_settles_the_matter_even_after_errors() -> None:
    found = await verdict("object.spec.absent == 1", "false")
    assert found == Verdict(matches=False, false_condition="c1", failures=1)


async def test_an_error_refuses_the_request_or_skips_the_webhook_as_the_failure_policy_says() -> None:
    failing = await verdict("true", "object.spec.absent == 1")
    assert failing.error == "expression 'object.spec.absent == 1' resulted in error: no such key: absent"
    assert await verdict("object.spec.absent == 1", ignores=True) == Verdict(matches=False, failures=1)


async def test_several_errors_are_told_together() -> None:
    found = await verdict("object.a == 1", "object.b == 1")
    assert found.error == (
        "[expression 'object.a == 1' resulted in error: no such key: a, "
        "expression 'object.b == 1' resulted in error: no such key: b]"
    )


async def test_all_conditions_together_have_a_budget() -> None:
    expensive = "[1,2,3,4,5,6,7,8,9].all(a, [1,2,3,4,5,6,7,8,9].all(b, " * 3 + "true" + "))" * 3
    found = await verdict(*[expensive.replace("true", f"{index} < 99") for index in range(9)])
    assert found.error == "validation failed due to running out of cost budget, no further validation rules will be run"


async def test_the_authorizer_is_asked_for_the_user_of_the_request() -> None:
    authorizer = Allowing("delete")
    expression = "authorizer.requestResource.check('delete').allowed()"
    assert (await verdict(expression, expression, authorizer=authorizer)).matches
    assert not (await verdict("authorizer.requestResource.check('get').allowed()", authorizer=authorizer)).matches
    first = authorizer.asked[0]
    assert (first.user.name, first.resource, first.namespace, first.name) == ("ada", "pods", "team", "a")
    assert [asked.verb for asked in authorizer.asked] == ["delete", "get"]


async def test_the_authorizer_is_asked_with_selectors() -> None:
    authorizer = Allowing("list")
    pods = "authorizer.group('').resource('pods').fieldSelector('spec.nodeName=n1').labelSelector('app=x,y in')"
    await verdict(f"{pods}.check('list').allowed()", authorizer=authorizer)
    asked = authorizer.asked[0]
    assert asked.field_selector.terms == (("spec.nodeName", True, "n1"),)
    assert asked.label_selector.is_everything
    assert asked.label_selector_error, "it cannot be parsed, and is left out"


async def test_the_authorizer_can_be_asked_for_a_service_account_and_for_paths() -> None:
    authorizer = Allowing("get")
    assert (
        await verdict(
            "authorizer.serviceAccount('team', 'robot').group('apps').resource('deployments').check('get').allowed()",
            "authorizer.path('/healthz').check('get').allowed()",
            authorizer=authorizer,
        )
    ).matches
    account, path = authorizer.asked
    assert account.user.name == "system:serviceaccount:team:robot"
    assert (account.group, account.resource) == ("apps", "deployments")
    assert (path.path, path.is_resource) == ("/healthz", False)


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("1", "must evaluate to bool but got int"),
        ("request.uid == 'x'", "compilation failed: ERROR: <input>:1:8: undefined field 'uid'"),
        ("params.a", "compilation failed: ERROR: <input>:1:1: undeclared reference to 'params' (in container '')"),
    ],
)
def test_what_does_not_compile_says_why(expression: str, problem: str) -> None:
    found = compile_condition(expression, Variables())
    assert found.program is None
    assert found.problem.startswith(problem)
