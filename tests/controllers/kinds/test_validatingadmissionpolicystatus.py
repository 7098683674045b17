"""Type checking of ValidatingAdmissionPolicies: who is warned of what."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.aio.clock import SystemClock
from steersman.controllers.kinds.validatingadmissionpolicystatus import plan
from steersman.controllers.typechecking import PolicyTypes
from steersman.meta.objects import Object, is_true
from steersman.meta.resources import CUSTOMRESOURCEDEFINITIONS, VALIDATINGADMISSIONPOLICIES
from steersman.testing.waiting import eventually
from tests.controllers.conftest import StartWorld
from tests.controllers.world import World

NAME = "validatingadmissionpolicy-status-controller"


def _policy(*expressions: str, name: str = "p", rules: list[Object] | None = None, **spec: Any) -> Object:
    deployments = {
        "operations": ["*"], "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"],
    }  # fmt: skip
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "matchConstraints": {"resourceRules": rules or [deployments]},
            "validations": [{"expression": expression} for expression in expressions],
            **spec,
        },
    }


async def _status(world: World, name: str = "p") -> Object:
    """Once the policy has been checked: with OpenAPI documents, which are made in threads that no virtual clock waits for."""

    async def checked() -> Object | None:
        found = await world.get(VALIDATINGADMISSIONPOLICIES, name)
        status: Object = found.get("status") or {}
        return status if status.get("observedGeneration") == found["metadata"]["generation"] else None

    status: Object = await eventually(checked, clock=SystemClock())
    await world.settle()
    return status


async def _checked(world: World, policy: Object) -> list[Object]:
    await world.client.create(VALIDATINGADMISSIONPOLICIES, policy)
    status = await _status(world, policy["metadata"]["name"])
    warnings: list[Object] = status["typeChecking"].get("expressionWarnings") or []
    return warnings


RIGHT = [
    "object.spec.replicas > 1",
    "object.metadata.name == 'x' && !has(object.spec.paused)",
    "object.spec.template.spec.containers.all(c, c.image != '')",
    "object.spec.strategy.rollingUpdate.maxSurge == 1",
    "object == oldObject && request.name == 'a' && namespaceObject.metadata.name == 'b'",
]


@pytest.mark.parametrize("expression", RIGHT)
async def test_expressions_of_right_types_are_checked_without_warnings(world_of: StartWorld, expression: str) -> None:
    world = await world_of(NAME)
    assert await _checked(world, _policy(expression)) == []


async def test_confused_types_are_told_with_their_places(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    policy = _policy("object.spec.replicas > '1'", "object.spec.nope == 1")
    policy["spec"]["validations"][0]["messageExpression"] = "'wants replicas > 1, got ' + object.spec.replicas"
    first, message, second = await _checked(world, policy)
    assert first["fieldRef"] == "spec.validations[0].expression"
    assert first["warning"] == (
        "apps/v1, Kind=Deployment: ERROR: <input>:1:22: found no matching overload for '_>_' applied to '(int, string)'\n"
        " | object.spec.replicas > '1'\n | .....................^\n"
    )
    assert message["fieldRef"] == "spec.validations[0].messageExpression"
    assert "found no matching overload for '_+_' applied to '(string, int)'" in message["warning"]
    assert "undefined field 'nope'" in second["warning"]


async def test_a_policy_is_checked_anew_when_it_changes(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    assert await _checked(world, _policy("object.spec.replicas > '1'"))
    patch = {"spec": {"validations": [{"expression": "object.spec.replicas > 1"}]}}
    await world.client.patch(VALIDATINGADMISSIONPOLICIES, "p", patch)
    assert await _status(world) == {"observedGeneration": 2, "typeChecking": {}}


async def test_each_type_of_the_rules_is_checked_but_not_wildcards(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    several = {
        "operations": ["*"], "apiGroups": ["", "apps"], "apiVersions": ["v1"], "resources": ["deployments", "pods", "pods/exec"],
    }  # fmt: skip
    (warning,) = await _checked(world, _policy("object.spec.replicas > 1 && object.spec.hostNetwork", rules=[several]))
    deployment, pod = warning["warning"].split("\n\n")
    assert deployment.startswith("/v1, Kind=Pod: ERROR: <input>:1:12: undefined field 'replicas'")
    assert pod.startswith("apps/v1, Kind=Deployment: ERROR: <input>:1:40: undefined field 'hostNetwork'")
    anything = {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"]}
    assert await _checked(world, _policy("object.nope == 1", name="q", rules=[anything])) == []


async def test_variables_and_parameters_have_types_too(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    policy = _policy(
        "variables.replicas > 'x'",
        "params.data.x == 1",
        variables=[{"name": "replicas", "expression": "object.spec.replicas"}],
        paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
    )
    first, second = await _checked(world, policy)
    assert "'_>_' applied to '(int, string)'" in first["warning"]
    assert "'_==_' applied to '(string, int)'" in second["warning"]


async def test_custom_resources_are_checked_by_their_schema(world_of: StartWorld) -> None:
    world = await world_of(NAME)
    schema = {
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": {"replicas": {"type": "integer"}}}},
    }
    definition: Object = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "crontabs.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "crontabs", "kind": "CronTab"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }
    await world.create(CUSTOMRESOURCEDEFINITIONS, definition)
    assert is_true(await world.get(CUSTOMRESOURCEDEFINITIONS, "crontabs.example.com"), "Established")
    rules = [{"operations": ["*"], "apiGroups": ["example.com"], "apiVersions": ["v1"], "resources": ["crontabs"]}]
    policy = _policy("object.spec.replicas > 1", "object.spec.replicas > '1'", "object.spec.retries < 1", rules=rules)
    confused, unknown = await _checked(world, policy)
    assert "(int, string)" in confused["warning"]
    assert "undefined field 'retries'" in unknown["warning"]


@pytest.mark.parametrize(
    ("generation", "observed", "expected"),
    [
        (1, 0, {"observedGeneration": 1, "typeChecking": {}}),
        (2, 1, {"observedGeneration": 2, "typeChecking": {}}),
        (2, 2, None),
        (2, 3, None),
    ],
)
def test_a_generation_is_checked_once(generation: int, observed: int, expected: Object | None) -> None:
    policy = _policy("1 == 1")
    policy["metadata"]["generation"] = generation
    assert plan({**policy, "status": {"observedGeneration": observed}}, PolicyTypes()).status == expected
