"""Webhooks that say yes or no."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from steersman.client.api import Client
from steersman.meta.errors import APIError, Forbidden, NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import (
    CONFIGMAPS,
    DEPLOYMENTS,
    HORIZONTALPODAUTOSCALERS,
    MUTATINGWEBHOOKCONFIGURATIONS,
    NAMESPACES,
    PODS,
    VALIDATINGWEBHOOKCONFIGURATIONS,
)
from tests.apiserver.admission.conftest import Configure, configuration, post, rule, webhook
from tests.apiserver.builders import config_map, deployment, pod
from tests.apiserver.webhookserver import WebhookServer, allow, deny


async def refusal(awaited: Any) -> APIError:
    with pytest.raises(APIError) as caught:
        await awaited
    return caught.value


async def test_the_review_says_everything_about_the_request(
    client: Client, hooks: WebhookServer, validating: Configure
) -> None:
    hooks.replies["check"] = allow
    await validating(webhook(hooks, "check"))
    await client.create(CONFIGMAPS, config_map("a"))
    review = hooks.reviews[0]
    assert (review["apiVersion"], review["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    request = review["request"]
    kind, resource = (
        {"group": "", "version": "v1", "kind": "ConfigMap"},
        {
            "group": "",
            "version": "v1",
            "resource": "configmaps",
        },
    )
    assert request["kind"] == request["requestKind"] == kind
    assert request["resource"] == request["requestResource"] == resource
    assert (request["name"], request["namespace"], request["operation"]) == ("a", "default", "CREATE")
    assert request["object"]["data"] == {"key": "value"}
    assert request["object"]["metadata"]["uid"]
    assert request["oldObject"] is None
    assert request["dryRun"] is False
    assert request["options"]["kind"] == "CreateOptions"
    assert "subResource" not in request
    assert hooks.paths == ["/check?timeout=10s"]


async def test_a_denial_has_the_webhook_s_name_its_message_code_and_reason(
    client: Client, hooks: WebhookServer, validating: Configure
) -> None:
    hooks.replies["check"] = deny("too blue", code=418, reason="Teapot", details={"kind": "colour"})
    await validating(webhook(hooks, "check"))
    error = await refusal(client.create(CONFIGMAPS, config_map("a")))
    status = error.status()
    assert status["message"] == 'admission webhook "check.example.com" denied the request: too blue'
    assert (status["code"], status["reason"], status["details"]) == (418, "Teapot", {"kind": "colour"})
    with pytest.raises(NotFound):
        await client.get(CONFIGMAPS, "a", namespace="default")


@pytest.mark.parametrize(
    ("said", "message", "code"),
    [
        ({}, "denied the request without explanation", 400),
        ({"code": 200, "status": "Success"}, "denied the request without explanation", 400),
        ({"reason": "Because"}, "denied the request: Because", 400),
        ({"message": "no", "code": 403}, "denied the request: no", 403),
    ],
)
async def test_a_denial_is_a_failure_whatever_its_status_says(
    client: Client, hooks: WebhookServer, validating: Configure, said: Object, message: str, code: int
) -> None:
    hooks.replies["check"] = lambda request: {"allowed": False, "status": said}
    await validating(webhook(hooks, "check"))
    answer = await post(client, CONFIGMAPS.path("default"), config_map("a"))
    assert answer.status == code
    assert answer.content["status"] == "Failure"
    assert answer.content["message"] == f'admission webhook "check.example.com" {message}'


async def test_update_and_delete_show_the_old_object(
    client: Client, hooks: WebhookServer, validating: Configure
) -> None:
    hooks.replies["check"] = allow
    created = await client.create(CONFIGMAPS, config_map("a"))
    await validating(webhook(hooks, "check"))
    await client.update(CONFIGMAPS, {**created, "data": {"key": "new"}})
    await client.delete(CONFIGMAPS, "a", namespace="default")
    update, delete = hooks.requests()
    assert (update["oldObject"]["data"], update["object"]["data"]) == ({"key": "value"}, {"key": "new"})
    assert update["options"]["kind"] == "UpdateOptions"
    assert (delete["object"], delete["oldObject"]["data"]) == (None, {"key": "new"})
    assert delete["options"] == {"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1"}


async def test_a_collection_is_asked_about_object_by_object(
    client: Client, hooks: WebhookServer, validating: Configure
) -> None:
    hooks.replies["check"] = lambda request: {"allowed": request["oldObject"]["metadata"]["name"] != "b"}
    for name in "abc":
        await client.create(CONFIGMAPS, config_map(name))
    await validating(webhook(hooks, "check", rules=[rule(operations=["DELETE"])]))
    error = await refusal(client.delete_collection(CONFIGMAPS, namespace="default"))
    assert "denied the request" in error.message
    assert all("name" not in request for request in hooks.requests())
    assert (await client.get(CONFIGMAPS, "b", namespace="default"))["data"]


async def test_all_webhooks_are_asked_at_once(client: Client, hooks: WebhookServer, validating: Configure) -> None:
    both = asyncio.Barrier(2)

    async def together(request: Object) -> Object:
        await both.wait()
        return {"allowed": True}

    hooks.replies |= {"one": together, "two": together}
    await validating(webhook(hooks, "one"), webhook(hooks, "two"))
    await client.create(CONFIGMAPS, config_map("a"))
    assert len(hooks.reviews) == 2


async def test_warnings_are_passed_on_once(client: Client, hooks: WebhookServer, validating: Configure) -> None:
    hooks.replies["one"] = lambda request: {"allowed": True, "warnings": ["careful", "bad\nline", "careful"]}
    hooks.replies["two"] = lambda request: {"allowed": False, "warnings": ["careful", "more"]}
    await validating(webhook(hooks, "one"), webhook(hooks, "two"))
    answer = await post(client, CONFIGMAPS.path("default"), config_map("a"))
    assert answer.status == 400
    assert sorted(answer.headers["warning"].split(", ")) == ['299 - "careful"', '299 - "more"']


async def test_webhooks_without_matching_rules_are_not_asked(
    client: Client, hooks: WebhookServer, validating: Configure
) -> None:
    await validating(webhook(hooks, "check", rules=[rule(resources=["secrets"])]))
    await client.create(CONFIGMAPS, config_map("a"))
    assert hooks.paths == []


async def test_selectors_and_conditions_choose_among_requests(
    client: Client, hooks: WebhookServer, validating: Configure
) -> None:
    hooks.replies["check"] = deny("no")
    await client.create(NAMESPACES, {"metadata": {"name": "watched", "labels": {"watch": "yes"}}})
    await validating(
        webhook(
            hooks,
            "check",
            namespaceSelector={"matchLabels": {"watch": "yes"}},
            objectSelector={"matchLabels": {"kind": "odd"}},
            matchConditions=[{"name": "not-exempt", "expression": "object.metadata.name != 'exempt'"}],
        )
    )
    odd: dict[str, Any] = {"labels": {"kind": "odd"}}
    await client.create(CONFIGMAPS, config_map("a", **odd))
    await client.create(CONFIGMAPS, config_map("a", namespace="watched"))
    await client.create(CONFIGMAPS, config_map("exempt", namespace="watched", **odd))
    error = await refusal(client.create(CONFIGMAPS, config_map("b", namespace="watched", **odd)))
    assert "denied the request: no" in error.message
    assert len(hooks.reviews) == 1


async def test_conditions_that_cannot_be_evaluated_refuse_the_request(
    client: Client, hooks: WebhookServer, validating: Configure
) -> None:
    condition = {"name": "c", "expression": "object.data.absent == 'x'"}
    await validating(webhook(hooks, "check", matchConditions=[condition]))
    error = await refusal(client.create(CONFIGMAPS, config_map("a")))
    assert isinstance(error, Forbidden)
    assert error.message == (
        "configmaps \"a\" is forbidden: expression 'object.data.absent == 'x'' resulted in error: no such key: absent"
    )
    assert hooks.paths == []


async def test_conditions_that_do_not_compile_are_refused_when_they_are_written(
    client: Client, hooks: WebhookServer, validating: Configure
) -> None:
    error = await refusal(
        validating(webhook(hooks, "check", matchConditions=[{"name": "c", "expression": "... [] bad expression"}]))
    )
    assert "webhooks[0].matchConditions[0].expression: Invalid value" in error.message
    assert "compilation failed" in error.message


async def test_an_older_version_of_the_object_is_sent_to_a_webhook_that_asks_for_it(
    client: Client, hooks: WebhookServer, validating: Configure
) -> None:
    hooks.replies["check"] = allow
    rules = [rule(apiGroups=["autoscaling"], apiVersions=["v1"], resources=["horizontalpodautoscalers"])]
    await validating(webhook(hooks, "check", rules=rules))
    spec = {"maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "a"}}
    scaler = {"metadata": {"name": "a", "namespace": "default"}, "spec": spec}
    await client.create(HORIZONTALPODAUTOSCALERS, scaler)
    (request,) = hooks.requests()
    assert request["object"]["apiVersion"] == "autoscaling/v1"
    assert (request["kind"]["version"], request["resource"]["version"]) == ("v1", "v1")
    assert (request["requestKind"]["version"], request["requestResource"]["version"]) == ("v2", "v2")


async def test_exact_rules_do_not_see_other_versions(
    client: Client, hooks: WebhookServer, validating: Configure
) -> None:
    rules = [rule(apiGroups=["autoscaling"], apiVersions=["v1"], resources=["horizontalpodautoscalers"])]
    await validating(webhook(hooks, "check", rules=rules, matchPolicy="Exact"))
    spec = {"maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "a"}}
    await client.create(HORIZONTALPODAUTOSCALERS, {"metadata": {"name": "a", "namespace": "default"}, "spec": spec})
    assert hooks.paths == []


async def test_a_scale_is_seen_as_a_scale(client: Client, hooks: WebhookServer, validating: Configure) -> None:
    hooks.replies["check"] = allow
    await client.create(DEPLOYMENTS, deployment("a"))
    await validating(webhook(hooks, "check", rules=[rule(resources=["deployments/scale"])]))
    await client.patch(DEPLOYMENTS, "a", {"spec": {"replicas": 5}}, namespace="default", subresource="scale")
    (request,) = hooks.requests()
    assert request["kind"] == {"group": "autoscaling", "version": "v1", "kind": "Scale"}
    assert (request["resource"]["resource"], request["subResource"]) == ("deployments", "scale")
    assert (request["object"]["spec"], request["oldObject"]["spec"]) == ({"replicas": 5}, {"replicas": 1})
    assert request["object"]["kind"] == request["oldObject"]["kind"] == "Scale"


async def test_status_and_eviction_are_subresources_of_their_own(
    client: Client, hooks: WebhookServer, validating: Configure
) -> None:
    hooks.replies["check"] = allow
    created = await client.create(PODS, pod("a", node="n1"))
    rules = [rule(resources=["pods/status", "pods/eviction"]), rule(resources=["pods"], operations=["DELETE"])]
    await validating(webhook(hooks, "check", rules=rules))
    await client.update(PODS, {**created, "status": {"phase": "Running"}}, subresource="status")
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "a", "namespace": "default"}}
    await post(client, PODS.path("default", "a", "eviction"), eviction)
    seen = [(request["operation"], request["subResource"], request["kind"]["kind"]) for request in hooks.requests()]
    assert seen == [("UPDATE", "status", "Pod"), ("CREATE", "eviction", "Eviction")]


async def test_connecting_to_a_pod_can_be_denied(client: Client, hooks: WebhookServer, validating: Configure) -> None:
    hooks.replies["check"] = deny("attaching to pod 'a' is not allowed")
    await client.create(PODS, pod("a", node="n1"))
    await validating(webhook(hooks, "check", rules=[rule(operations=["CONNECT"], resources=["pods/attach"])]))
    answer = await post(client, PODS.path("default", "a", "attach"), stdin="true", container="main")
    assert (answer.status, "attaching to pod 'a' is not allowed" in answer.content["message"]) == (400, True)
    (request,) = hooks.requests()
    expected = {"kind": "PodAttachOptions", "apiVersion": "v1", "stdin": True, "container": "main"}
    assert (request["object"], request["options"], request["name"]) == (expected, None, "a")


async def test_a_namespace_is_in_itself(client: Client, hooks: WebhookServer, validating: Configure) -> None:
    hooks.replies["check"] = allow
    await validating(webhook(hooks, "check", rules=[rule(resources=["namespaces"])]))
    await client.create(NAMESPACES, {"metadata": {"name": "team"}})
    await client.delete(NAMESPACES, "team")
    assert [(request["namespace"], request["name"]) for request in hooks.requests()] == [("team", "team")] * 2


async def test_dry_runs_are_only_for_webhooks_without_side_effects(
    client: Client, hooks: WebhookServer, validating: Configure
) -> None:
    hooks.replies["check"] = allow
    await validating(webhook(hooks, "check", sideEffects="NoneOnDryRun"))
    await post(client, CONFIGMAPS.path("default"), config_map("a"), dryRun="All")
    assert hooks.requests()[0]["dryRun"] is True


async def test_configurations_are_not_subject_to_webhooks(
    client: Client, hooks: WebhookServer, validating: Configure, mutating: Configure
) -> None:
    everything = [rule(resources=["*/*"])]
    await validating(webhook(hooks, "check", rules=everything))
    await mutating(webhook(hooks, "change", rules=everything))
    for resource in (VALIDATINGWEBHOOKCONFIGURATIONS, MUTATINGWEBHOOKCONFIGURATIONS):
        await client.create(resource, configuration(resource, "other"))
        await client.delete(resource, "other")
    assert hooks.paths == []


async def test_a_changed_configuration_counts_at_once(
    client: Client, hooks: WebhookServer, validating: Configure
) -> None:
    hooks.replies["check"] = deny("no")
    made = await validating(webhook(hooks, "check"))
    await refusal(client.create(CONFIGMAPS, config_map("a")))
    only_updates = [{**made["webhooks"][0], "rules": [rule(operations=["UPDATE"])]}]
    changed = await client.update(VALIDATINGWEBHOOKCONFIGURATIONS, {**made, "webhooks": only_updates})
    assert changed["metadata"]["generation"] == 2
    await client.create(CONFIGMAPS, config_map("a"))
    await client.delete(VALIDATINGWEBHOOKCONFIGURATIONS, "validating")
    await client.patch(CONFIGMAPS, "a", {"data": {"more": "x"}}, namespace="default")


async def test_v1beta1_reviews_are_still_spoken(client: Client, hooks: WebhookServer, validating: Configure) -> None:
    hooks.replies["check"] = lambda request: {"allowed": True, "uid": "whatever"}
    await validating(webhook(hooks, "check", admissionReviewVersions=["v9", "v1beta1", "v1"]))
    await client.create(CONFIGMAPS, config_map("a"))
    assert hooks.reviews[0]["apiVersion"] == "admission.k8s.io/v1beta1"


async def test_side_effects_must_be_declared(hooks: WebhookServer, validating: Configure) -> None:
    with pytest.raises(APIError, match="sideEffects"):
        await validating(webhook(hooks, "check", sideEffects=None))
