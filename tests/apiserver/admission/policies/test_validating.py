"""ValidatingAdmissionPolicy: who is denied, warned or noted, and in which words."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from steersman.aio.clock import FakeClock
from steersman.apiserver.component import APIServer
from steersman.client.api import Client
from steersman.client.inprocess import InProcessTransport
from steersman.meta.errors import APIError, Invalid
from steersman.meta.objects import Object
from steersman.meta.resources import (
    CONFIGMAPS,
    DEPLOYMENTS,
    NAMESPACES,
    PODS,
    VALIDATINGADMISSIONPOLICIES,
    VALIDATINGADMISSIONPOLICYBINDINGS,
)
from steersman.store.drivers.memory import MemoryStore
from tests.apiserver.admission.policies.builders import enforce, rule, validating, validating_binding
from tests.apiserver.auditlog import AuditLogFile
from tests.apiserver.builders import config_map, deployment, pod
from tests.apiserver.conftest import CONFIG

Row = tuple[Object, int, str, str]
"""(policy, code, reason, message)"""
BY = "configmaps \"a\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: "


def _validation(expression: str, **more: Any) -> Object:
    return {"expression": expression, **more}


DENIED: list[Row] = [
    (validating("object.data.key != 'value'"), 422, "Invalid", f"{BY}failed expression: object.data.key != 'value'"),
    (validating(_validation("false", message=" no ")), 422, "Invalid", f"{BY}no"),
    (validating(_validation("false", reason="Forbidden")), 403, "Forbidden", f"{BY}failed expression: false"),
    (
        validating(_validation("false", reason="RequestEntityTooLarge")),
        413,
        "RequestEntityTooLarge",
        f"{BY}failed expression: false",
    ),
    (
        validating(_validation("false", messageExpression="'got ' + object.data.key", message="m")),
        422,
        "Invalid",
        f"{BY}got value",
    ),
    (validating(_validation("false", messageExpression="string(1 / 0)", message="m")), 422, "Invalid", f"{BY}m"),
    (validating(_validation("false", messageExpression="'a\\nb'", message="m")), 422, "Invalid", f"{BY}m"),
    (
        validating("object.nope == 1"),
        422,
        "Invalid",
        f"{BY}expression 'object.nope == 1' resulted in error: no such key: nope",
    ),
    (validating("true", "1 < 0", "false"), 422, "Invalid", f"{BY}failed expression: 1 < 0"),
    (
        validating("variables.b", variables=[{"name": "a", "expression": "size(object.data)"}, {"name": "b", "expression": "variables.a > 1"}]),
        422,
        "Invalid",
        f"{BY}failed expression: variables.b",
    ),
    (
        validating("variables.a == 1", variables=[{"name": "a", "expression": "object.nope"}]),
        422,
        "Invalid",
        f"{BY}expression 'variables.a == 1' resulted in error: composited variable \"a\" fails to evaluate: no such key: nope",
    ),
    (
        validating("authorizer.group('').resource('pods').namespace('default').check('get').allowed() && object.data.key == 'x'"),
        422,
        "Invalid",
        f"{BY}failed expression: authorizer.group('').resource('pods').namespace('default').check('get').allowed() && "
        "object.data.key == 'x'",
    ),
    (
        validating("lists.range(1000).all(a, lists.range(1000).all(b, lists.range(1000).all(c, a + b + c >= 0)))"),
        422,
        "Invalid",
        f"{BY}expression 'lists.range(1000).all(a, lists.range(1000).all(b, lists.range(1000).all(c, a + b + c >= 0)))' resulted "
        "in error: operation cancelled: actual cost limit exceeded",
    ),
    (
        validating(*["lists.range(100000).all(a, a >= 0)"] * 20),
        422,
        "Invalid",
        f"{BY}validation failed due to running out of cost budget, no further validation rules will be run",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("policy", "code", "reason", "message"), DENIED)
async def test_a_request_that_breaks_a_rule_is_denied(
    client: Client, policy: Object, code: int, reason: str, message: str
) -> None:
    await enforce(client, policy)
    with pytest.raises(APIError) as error:
        await client.create(CONFIGMAPS, config_map())
    status = error.value.status()
    assert (status["code"], status["reason"], status["message"]) == (code, reason, message)
    assert status["details"]["name"] == "a"
    assert status["details"]["kind"] == "configmaps"
    assert [cause["message"] for cause in status["details"]["causes"]] == [
        message.removeprefix('configmaps "a" is forbidden: ')
    ]


ALLOWED: list[Object] = [
    validating("object.data.key == 'value'"),
    validating("request.operation == 'CREATE' && request.name == 'a' && oldObject == null"),
    validating("namespaceObject.metadata.name == 'default' && namespaceObject.status.phase == 'Active'"),
    validating("variables.gone == null", variables=[{"name": "gone", "expression": "oldObject"}]),
    validating(
        "has(variables.used)",
        variables=[{"name": "used", "expression": "1"}, {"name": "not", "expression": "object.nope"}],
    ),
    validating("variables.list.all(x, x > 0)", variables=[{"name": "list", "expression": "[1, 2]"}]),
    validating("params == null", paramKind={"apiVersion": "v1", "kind": "ConfigMap"}),
    validating("object.nope == 1", failurePolicy="Ignore"),
    validating("false", matchConditions=[{"name": "c", "expression": "object.metadata.name != 'a'"}]),
    validating("false", matchConditions=[{"name": "c", "expression": "object.nope == 1"}], failurePolicy="Ignore"),
    validating("false", rules=[rule("secrets")]),
    validating("false", rules=[rule(resourceNames=["b"])]),
    validating("false", constraints={"excludeResourceRules": [rule(resourceNames=["a"])]}),
    validating("false", constraints={"namespaceSelector": {"matchLabels": {"x": "y"}}}),
    validating("false", constraints={"objectSelector": {"matchLabels": {"x": "y"}}}),
    validating("authorizer.requestResource.check('create').allowed()"),
]


@pytest.mark.parametrize("policy", ALLOWED)
async def test_a_request_that_keeps_the_rules_or_is_none_of_the_policys_business_is_allowed(
    client: Client, policy: Object
) -> None:
    await enforce(client, policy)
    await client.create(CONFIGMAPS, config_map())


async def test_others_are_served_while_a_policy_takes_long(client: Client) -> None:
    slow = "lists.range(100000).all(a, a >= 0)"
    lazy = [{"name": "slow", "expression": slow}, {"name": "far", "expression": f"!{slow}"}]
    await enforce(client, validating(slow, "variables.slow", "variables.far", variables=lazy))
    write = asyncio.create_task(client.create(CONFIGMAPS, config_map()))
    answered = 0
    while not write.done():
        await client.list(CONFIGMAPS)
        answered += 1
        await asyncio.sleep(0)
    with pytest.raises(Invalid, match=r"failed expression: variables\.far"):
        await write
    assert answered > 5


async def test_conditions_that_fail_deny_unless_failures_are_ignored(client: Client) -> None:
    await enforce(client, validating("true", matchConditions=[{"name": "c", "expression": "object.nope == 1"}]))
    with pytest.raises(Invalid, match=r"expression 'object.nope == 1' resulted in error: no such key: nope"):
        await client.create(CONFIGMAPS, config_map())


async def test_a_policy_without_a_binding_does_nothing_and_bindings_narrow_it(client: Client) -> None:
    await client.create(VALIDATINGADMISSIONPOLICIES, validating("false"))
    await client.create(CONFIGMAPS, config_map("free"))
    narrowed = {"namespaceSelector": {"matchLabels": {"guarded": "yes"}}}
    await client.create(VALIDATINGADMISSIONPOLICYBINDINGS, validating_binding(matchResources=narrowed))
    namespace: Object = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "g", "labels": {"guarded": "yes"}},
    }
    await client.create(NAMESPACES, namespace)
    await client.create(CONFIGMAPS, config_map("still-free"))
    with pytest.raises(Invalid):
        await client.create(CONFIGMAPS, config_map(namespace="g"))
    await client.delete(VALIDATINGADMISSIONPOLICYBINDINGS, "b")
    await client.create(CONFIGMAPS, config_map(namespace="g"))


async def test_changes_of_a_policy_are_in_force_with_the_next_request(client: Client) -> None:
    await enforce(client, validating("false"))
    with pytest.raises(Invalid):
        await client.create(CONFIGMAPS, config_map())
    await client.patch(VALIDATINGADMISSIONPOLICIES, "p", {"spec": {"validations": [{"expression": "true"}]}})
    await client.create(CONFIGMAPS, config_map())


async def test_updates_and_deletions_show_what_was_there_before(client: Client) -> None:
    rules = [rule("configmaps", "", "v1", "UPDATE", "DELETE")]
    keep = "oldObject.data.key == (request.operation == 'DELETE' ? 'done' : object.data.before)"
    await enforce(client, validating(keep, rules=rules))
    made = await client.create(CONFIGMAPS, config_map())
    with pytest.raises(Invalid):
        await client.delete(CONFIGMAPS, "a", namespace="default")
    with pytest.raises(Invalid):
        await client.update(CONFIGMAPS, {**made, "data": {"key": "done", "before": "other"}})
    await client.update(CONFIGMAPS, {**made, "data": {"key": "done", "before": "value"}})
    await client.delete(CONFIGMAPS, "a", namespace="default")


async def test_subresources_and_equivalent_versions_match_as_rules_say(client: Client) -> None:
    await enforce(
        client,
        validating(
            "object.spec.replicas < 3", rules=[rule("deployments/scale", "apps", "v1", "UPDATE")], name="scales"
        ),
        validating_binding("s", "scales"),
        validating(
            "object.apiVersion == 'autoscaling/v1'", rules=[rule("horizontalpodautoscalers", "autoscaling", "v1")]
        ),
        validating_binding(),
    )
    await client.create(DEPLOYMENTS, deployment(replicas=1))
    scale = await client.get(DEPLOYMENTS, "a", namespace="default", subresource="scale")
    with pytest.raises(Invalid, match=r"failed expression: object.spec.replicas < 3"):
        await client.update(DEPLOYMENTS, {**scale, "spec": {"replicas": 3}}, subresource="scale")
    await client.request(
        "POST",
        "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers",
        body=msgspec.json.encode(
            {
                "apiVersion": "autoscaling/v2",
                "kind": "HorizontalPodAutoscaler",
                "metadata": {"name": "h"},
                "spec": {
                    "maxReplicas": 2,
                    "scaleTargetRef": {"kind": "Deployment", "name": "a", "apiVersion": "apps/v1"},
                },
            }
        ),
    )


async def test_warnings_and_denials_are_different_actions(client: Client) -> None:
    await enforce(client, validating(_validation("false", message="m")), validating_binding(actions=("Warn", "Audit")))
    answer = await client.request("POST", CONFIGMAPS.path("default"), body=msgspec.json.encode(config_map()))
    assert answer.status == 201
    expected = "Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b': m"
    assert answer.headers["warning"] == f'299 - "{expected}"'


@pytest.fixture
def sink(tmp_path: Path) -> AuditLogFile:
    return AuditLogFile(tmp_path / "audit.log")


@pytest.fixture
async def audited(clock: FakeClock, sink: AuditLogFile) -> AsyncIterator[Client]:
    config = replace(CONFIG, audit=sink.config)
    server = APIServer(store=MemoryStore(clock=clock), clock=clock, config=config, rng=random.Random(7))
    await server.start()
    yield Client(InProcessTransport(server.handle))
    await server.close()


async def test_failures_and_annotations_are_noted_for_the_audit_event(audited: Client, sink: AuditLogFile) -> None:
    annotations = [
        {"key": "data", "valueExpression": "'key is ' + object.data.key"},
        {"key": "empty", "valueExpression": "' '"},
        {"key": "none", "valueExpression": "null"},
    ]
    policy = validating("true", _validation("false", message="m"), auditAnnotations=annotations)
    await enforce(audited, policy, validating_binding(actions=("Audit",)))
    await audited.create(CONFIGMAPS, config_map())
    found = sink.last("create", "configmaps")
    assert found["p/data"] == "key is value"
    assert {key for key in found if key.startswith("p/")} == {"p/data"}
    assert msgspec.json.decode(found["validation.policy.admission.k8s.io/validation_failure"]) == [
        {"message": "m", "policy": "p", "binding": "b", "expressionIndex": 1, "validationActions": ["Audit"]}
    ]


async def test_annotations_that_cannot_be_evaluated_deny(client: Client) -> None:
    annotations = [{"key": "a", "valueExpression": "string(object.nope)"}]
    await enforce(client, validating(auditAnnotations=annotations))
    with pytest.raises(Invalid, match="no such key: nope"):
        await client.create(CONFIGMAPS, config_map())


async def test_the_configuration_of_admission_is_nobodys_business(client: Client) -> None:
    everything = {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"]}
    await enforce(client, validating("false", rules=[everything]))
    with pytest.raises(Invalid):
        await client.create(CONFIGMAPS, config_map())
    review: Object = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}},
    }
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    assert (await client.request("POST", path, body=msgspec.json.encode(review))).status == 201
    await client.delete(VALIDATINGADMISSIONPOLICIES, "p")
    await client.create(CONFIGMAPS, config_map())


async def test_dry_runs_are_judged_too(client: Client) -> None:
    await enforce(client, validating("!request.dryRun"))
    body = msgspec.json.encode(config_map())
    answer = await client.request("POST", CONFIGMAPS.path("default"), query={"dryRun": "All"}, body=body)
    assert answer.status == 422
    await client.create(CONFIGMAPS, config_map())


async def test_binding_a_pod_to_a_node_can_be_denied(client: Client) -> None:
    await enforce(
        client,
        validating(_validation("object.target.name == 'n1'", reason="Forbidden"), rules=[rule("pods/binding")]),
    )
    await client.create(PODS, pod())
    binding: Object = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": "a", "namespace": "default"},
        "target": {"kind": "Node", "name": "n2"},
    }
    answer = await client.request("POST", f"{PODS.path('default', 'a')}/binding", body=msgspec.json.encode(binding))
    assert answer.status == 403
    assert "failed expression: object.target.name == 'n1'" in answer.content["message"]


async def test_checks_are_counted(client: Client, server: APIServer) -> None:
    await enforce(client, validating("object.data.key == 'x'"), validating_binding(actions=("Warn",)))
    await client.create(CONFIGMAPS, config_map())
    labels = {"policy": "p", "policy_binding": "b", "error_type": "invalid_error", "enforcement_action": "warn"}
    registry = server.metrics.registry
    assert registry.get_sample_value("apiserver_validating_admission_policy_check_total", labels) == 1
    name = "apiserver_validating_admission_policy_check_duration_seconds_count"
    assert registry.get_sample_value(name, labels) == 1
