"""Webhooks that change objects."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from steersman.client.api import Client
from steersman.meta.errors import APIError, BadRequest, Conflict, InternalError, Invalid
from steersman.meta.objects import Object
from steersman.meta.resources import (
    CONFIGMAPS,
    DEPLOYMENTS,
    EVENTS,
    HORIZONTALPODAUTOSCALERS,
    NEW_EVENTS,
    PODS,
    SUBJECTACCESSREVIEWS,
)
from tests.apiserver.admission.conftest import Configure, post, rule, webhook
from tests.apiserver.builders import config_map, deployment, pod
from tests.apiserver.webhookserver import Reply, WebhookServer, add, allow, patch


def when(key: str, *operations: Object) -> Reply:
    """Changes config maps that have a key."""

    change = patch(*operations)

    def reply(request: Object) -> Object | Awaitable[Object]:
        return change(request) if key in request["object"]["data"] else {"allowed": True}

    return reply


def count(server: WebhookServer, name: str) -> int:
    return sum(path.startswith(f"/{name}?") for path in server.paths)


async def test_each_webhook_sees_what_the_ones_before_it_did(
    client: Client, hooks: WebhookServer, mutating: Configure
) -> None:
    hooks.replies["one"] = when("key", add("/data/stage-1", "yes"))
    hooks.replies["two"] = when("stage-1", add("/data/stage-2", "yes"))
    await mutating(webhook(hooks, "one"), webhook(hooks, "two"))
    created = await client.create(CONFIGMAPS, config_map("a"))
    assert created["data"] == {"key": "value", "stage-1": "yes", "stage-2": "yes"}
    assert (await client.get(CONFIGMAPS, "a", namespace="default"))["data"] == created["data"]


async def test_configurations_come_in_the_order_of_their_names(
    client: Client, hooks: WebhookServer, mutating: Configure
) -> None:
    hooks.replies |= {"one": allow, "two": allow, "three": allow}
    await mutating(webhook(hooks, "three"), name="c")
    await mutating(webhook(hooks, "one"), webhook(hooks, "two"), name="a")
    await client.create(CONFIGMAPS, config_map("a"))
    assert [path.partition("?")[0] for path in hooks.paths] == ["/one", "/two", "/three"]


async def test_what_a_webhook_adds_gets_its_defaults(client: Client, hooks: WebhookServer, mutating: Configure) -> None:
    container = {"name": "added", "image": "image"}
    hooks.replies["change"] = patch(add("/spec/initContainers", [container]))
    await mutating(webhook(hooks, "change", rules=[rule(resources=["pods"])]))
    created = await client.create(PODS, pod("a"))
    assert created["spec"]["initContainers"][0]["terminationMessagePolicy"] == "File"


async def test_fields_that_a_kind_does_not_have_are_dropped(
    client: Client, hooks: WebhookServer, mutating: Configure
) -> None:
    hooks.replies["change"] = patch(add("/unknown", {"a": 1}), add("/metadata/labels", {"a": "b"}))
    await mutating(webhook(hooks, "change"))
    created = await client.create(CONFIGMAPS, config_map("a"))
    assert "unknown" not in created
    assert created["metadata"]["labels"] == {"a": "b"}


async def test_what_webhooks_change_is_owned_by_nobody(
    client: Client, hooks: WebhookServer, mutating: Configure
) -> None:
    hooks.replies["change"] = patch(add("/data/added", "yes"))
    await mutating(webhook(hooks, "change"))
    created = await client.create(CONFIGMAPS, config_map("a"))
    (entry,) = created["metadata"]["managedFields"]
    assert entry["fieldsV1"]["f:data"] == {".": {}, "f:key": {}}


async def test_managed_fields_that_a_webhook_spoils_are_put_back_with_a_warning(
    client: Client, hooks: WebhookServer, mutating: Configure
) -> None:
    hooks.replies["change"] = patch({"op": "replace", "path": "/metadata/managedFields/0/fieldsV1", "value": {"x": 1}})
    await mutating(webhook(hooks, "change"))
    answer = await post(client, CONFIGMAPS.path("default"), config_map("a"))
    assert answer.status == 201
    assert "managedFields was in an invalid state after admission" in answer.headers["warning"]
    assert answer.content["metadata"]["managedFields"][0]["fieldsV1"]["f:data"]


async def test_an_object_is_validated_as_webhooks_left_it(
    client: Client, hooks: WebhookServer, mutating: Configure
) -> None:
    hooks.replies["change"] = patch(add("/metadata/labels", {"not a label": "x"}))
    await mutating(webhook(hooks, "change"))
    with pytest.raises(Invalid, match=r"metadata.labels"):
        await client.create(CONFIGMAPS, config_map("a"))


async def test_updates_and_patches_are_changed_too(client: Client, hooks: WebhookServer, mutating: Configure) -> None:
    hooks.replies["change"] = patch(add("/data/touched", "yes"))
    created = await client.create(CONFIGMAPS, config_map("a"))
    await mutating(webhook(hooks, "change", rules=[rule(operations=["UPDATE"])]))
    assert (await client.update(CONFIGMAPS, {**created, "data": {"b": "c"}}))["data"] == {"b": "c", "touched": "yes"}
    await client.patch(CONFIGMAPS, "a", {"data": {"touched": None, "d": "e"}}, namespace="default")
    found = await client.get(CONFIGMAPS, "a", namespace="default")
    assert found["data"] == {"b": "c", "d": "e", "touched": "yes"}


async def test_server_side_apply_passes_webhooks(client: Client, hooks: WebhookServer, mutating: Configure) -> None:
    hooks.replies["change"] = patch(add("/data/touched", "yes"))
    await mutating(webhook(hooks, "change"))
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"x": "y"}}
    applied = await client.patch(
        CONFIGMAPS,
        "a",
        config,
        namespace="default",
        patch_type="application/apply-patch+yaml",
        field_manager="tester",
    )
    assert applied["data"] == {"x": "y", "touched": "yes"}


async def test_a_scale_is_changed_as_a_scale(client: Client, hooks: WebhookServer, mutating: Configure) -> None:
    hooks.replies["change"] = patch({"op": "replace", "path": "/spec/replicas", "value": 2})
    await client.create(DEPLOYMENTS, deployment("a"))
    await mutating(webhook(hooks, "change", rules=[rule(resources=["deployments/scale"])]))
    await client.patch(DEPLOYMENTS, "a", {"spec": {"replicas": 50}}, namespace="default", subresource="scale")
    found = await client.get(DEPLOYMENTS, "a", namespace="default")
    assert found["spec"]["replicas"] == 2
    assert found["spec"]["template"]


async def test_an_object_changed_in_another_version_comes_back_in_its_own(
    client: Client, hooks: WebhookServer, mutating: Configure
) -> None:
    hooks.replies["old"] = patch({"op": "replace", "path": "/spec/maxReplicas", "value": 7})
    hooks.replies["new"] = patch(add("/metadata/labels", {"seen": "v2"}))
    group = {"apiGroups": ["autoscaling"], "resources": ["horizontalpodautoscalers"]}
    await mutating(
        webhook(hooks, "old", rules=[rule(apiVersions=["v1"], **group)]),
        webhook(hooks, "new", rules=[rule(apiVersions=["v2"], **group)]),
    )
    spec = {"maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "a"}}
    scaler = {"metadata": {"name": "a", "namespace": "default"}, "spec": spec}
    created = await client.create(HORIZONTALPODAUTOSCALERS, scaler)
    assert [request["object"]["apiVersion"] for request in hooks.requests()] == ["autoscaling/v1", "autoscaling/v2"]
    assert created["apiVersion"] == "autoscaling/v2"
    assert (created["spec"]["maxReplicas"], created["metadata"]["labels"]) == (7, {"seen": "v2"})


class TestReinvocation:
    async def test_a_webhook_is_asked_again_when_a_later_one_changed_the_object(
        self, client: Client, hooks: WebhookServer, mutating: Configure
    ) -> None:
        hooks.replies["one"] = when("late", add("/data/one", "saw late"))
        hooks.replies["two"] = patch(add("/data/late", "yes"))
        await mutating(webhook(hooks, "one", reinvocationPolicy="IfNeeded"), webhook(hooks, "two"))
        created = await client.create(CONFIGMAPS, config_map("a"))
        assert created["data"]["one"] == "saw late"
        assert (count(hooks, "one"), count(hooks, "two")) == (2, 1)

    async def test_never_is_never(self, client: Client, hooks: WebhookServer, mutating: Configure) -> None:
        hooks.replies["one"] = when("late", add("/data/one", "saw late"))
        hooks.replies["two"] = patch(add("/data/late", "yes"))
        await mutating(webhook(hooks, "one"), webhook(hooks, "two"))
        assert "one" not in (await client.create(CONFIGMAPS, config_map("a")))["data"]
        assert count(hooks, "one") == 1

    async def test_nothing_is_asked_again_where_nothing_changed(
        self, client: Client, hooks: WebhookServer, mutating: Configure
    ) -> None:
        hooks.replies["one"] = allow
        hooks.replies["two"] = patch({"op": "replace", "path": "/data/key", "value": "value"})
        await mutating(webhook(hooks, "one", reinvocationPolicy="IfNeeded"), webhook(hooks, "two"))
        await client.create(CONFIGMAPS, config_map("a"))
        assert count(hooks, "one") == 1

    async def test_the_last_one_to_change_is_not_asked_again_for_its_own_change(
        self, client: Client, hooks: WebhookServer, mutating: Configure
    ) -> None:
        hooks.replies["one"] = patch(add("/data/one", "yes"))
        await mutating(webhook(hooks, "one", reinvocationPolicy="IfNeeded"))
        await client.create(CONFIGMAPS, config_map("a"))
        assert count(hooks, "one") == 1

    async def test_who_was_not_asked_in_the_first_round_is_not_asked_in_the_second(
        self, client: Client, hooks: WebhookServer, mutating: Configure
    ) -> None:
        hooks.replies["two"] = patch(add("/metadata/labels", {"now": "selected"}))
        labelled = {"matchLabels": {"now": "selected"}}
        await mutating(
            webhook(hooks, "one", reinvocationPolicy="IfNeeded", objectSelector=labelled), webhook(hooks, "two")
        )
        await client.create(CONFIGMAPS, config_map("a"))
        assert count(hooks, "one") == 0


class TestRefusals:
    async def refused(self, client: Client, obj: Object | None = None) -> APIError:
        with pytest.raises(APIError) as caught:
            await client.create(CONFIGMAPS, obj or config_map("a"))
        return caught.value

    async def test_a_denial_ends_the_matter(self, client: Client, hooks: WebhookServer, mutating: Configure) -> None:
        hooks.replies["one"] = lambda request: {"allowed": False, "status": {"message": "no"}}
        hooks.replies["two"] = allow
        await mutating(webhook(hooks, "one"), webhook(hooks, "two"))
        assert (await self.refused(client)).message == 'admission webhook "one.example.com" denied the request: no'
        assert count(hooks, "two") == 0

    async def test_what_is_deleted_cannot_be_changed(
        self, client: Client, hooks: WebhookServer, mutating: Configure
    ) -> None:
        hooks.replies["change"] = patch(add("/data/x", "y"))
        await client.create(CONFIGMAPS, config_map("a"))
        await mutating(webhook(hooks, "change", rules=[rule(operations=["DELETE"])]))
        with pytest.raises(InternalError) as caught:
            await client.delete(CONFIGMAPS, "a", namespace="default")
        assert caught.value.message == (
            'Internal error occurred: admission webhook "change.example.com" attempted to modify the object, which is not '
            "supported for this operation"
        )

    @pytest.mark.parametrize(
        ("operations", "message"),
        [
            ([{"op": "test", "path": "/data/key", "value": "other"}], "testing value /data/key failed"),
            ([{"op": "remove", "path": "/data/absent"}], "missing value"),
            ([{"op": "replace", "path": "/data", "value": ["x"]}], "Internal error occurred: "),
            ([{"op": "replace", "path": "/kind", "value": "Secret"}], "unable to convert"),
            ([{"op": "replace", "path": "", "value": 7}], "Internal error occurred: "),
        ],
    )
    async def test_a_patch_that_does_not_fit_is_an_internal_error(
        self, client: Client, hooks: WebhookServer, mutating: Configure, operations: list[Object], message: str
    ) -> None:
        hooks.replies["change"] = patch(*operations)
        await mutating(webhook(hooks, "change", failurePolicy="Ignore"))
        error = await self.refused(client)
        assert isinstance(error, InternalError)
        assert message in error.message

    async def test_an_object_cannot_be_moved_to_another_namespace(
        self, client: Client, hooks: WebhookServer, mutating: Configure
    ) -> None:
        hooks.replies["change"] = patch({"op": "replace", "path": "/metadata/namespace", "value": "kube-system"})
        await mutating(webhook(hooks, "change"))
        error = await self.refused(client)
        assert isinstance(error, BadRequest)
        assert "the namespace of the provided object does not match" in error.message

    @pytest.mark.parametrize("field", ["name", "uid"])
    async def test_identity_stays_on_update(
        self, client: Client, hooks: WebhookServer, mutating: Configure, field: str
    ) -> None:
        hooks.replies["change"] = patch({"op": "replace", "path": f"/metadata/{field}", "value": "other"})
        created = await client.create(CONFIGMAPS, config_map("a"))
        await mutating(webhook(hooks, "change"))
        with pytest.raises((Invalid, Conflict)):
            await client.update(CONFIGMAPS, {**created, "data": {"x": "y"}})
        assert (await client.get(CONFIGMAPS, "a", namespace="default"))["data"] == {"key": "value"}

    async def test_a_webhook_with_side_effects_is_not_called_in_a_dry_run(
        self, client: Client, hooks: WebhookServer, mutating: Configure
    ) -> None:
        hooks.replies["change"] = allow
        made = await mutating(webhook(hooks, "change", sideEffects="NoneOnDryRun"))
        assert made["webhooks"][0]["reinvocationPolicy"] == "Never"
        answer = await post(client, CONFIGMAPS.path("default"), config_map("a"), dryRun="All")
        assert (answer.status, hooks.requests()[0]["dryRun"]) == (201, True)


async def test_two_writers_both_pass_the_webhooks(client: Client, hooks: WebhookServer, mutating: Configure) -> None:
    """Whoever loses the race is admitted anew, against what the other one wrote."""
    hooks.replies["change"] = allow
    await client.create(CONFIGMAPS, config_map("a"))
    await mutating(webhook(hooks, "change", rules=[rule(operations=["UPDATE"])]))

    def write(key: str) -> Any:
        return client.patch(CONFIGMAPS, "a", {"data": {key: "x"}}, namespace="default")

    await asyncio.gather(write("one"), write("two"))
    assert (await client.get(CONFIGMAPS, "a", namespace="default"))["data"] == {"key": "value", "one": "x", "two": "x"}
    assert hooks.requests()[-1]["oldObject"]["data"].keys() in ({"key", "one"}, {"key", "two"})


@pytest.mark.parametrize(("written", "seen"), [("v1", "events.k8s.io/v1"), ("events.k8s.io/v1", "v1")])
async def test_events_are_changed_through_either_group(
    client: Client, hooks: WebhookServer, mutating: Configure, written: str, seen: str
) -> None:
    hooks.replies["change"] = patch({"op": "replace", "path": "/reason", "value": "Changed"})
    group = "events.k8s.io" if "/" in seen else ""
    await mutating(webhook(hooks, "change", rules=[rule(apiGroups=[group], resources=["events"])]))
    regarding = {"kind": "Pod", "namespace": "default", "name": "p"}
    event: Object = {"metadata": {"name": "e", "namespace": "default"}, "reason": "Given", "type": "Normal"}
    if written == "v1":
        event |= {"involvedObject": regarding, "message": "text", "source": {"component": "c"}}
    else:
        event |= {"regarding": regarding, "note": "text", "action": "Act", "reportingController": "example.com/c"}
        event |= {"reportingInstance": "c-1", "eventTime": "2026-01-01T00:00:00.000000Z"}
    resource = EVENTS if written == "v1" else NEW_EVENTS
    created = await client.create(resource, event)
    (request,) = hooks.requests()
    assert request["object"]["apiVersion"] == seen
    assert request["object"]["note" if "/" in seen else "message"] == "text"
    assert (created["apiVersion"], created["reason"]) == (written, "Changed")
    assert created["message" if written == "v1" else "note"] == "text"


async def test_reviews_and_token_requests_pass_webhooks_too(
    client: Client, hooks: WebhookServer, mutating: Configure
) -> None:
    """As upstream has it: its documentation tells authors of webhooks to leave them out."""
    hooks.replies["change"] = patch({"op": "replace", "path": "/spec/user", "value": "eve"})
    await mutating(webhook(hooks, "change", rules=[rule(resources=["subjectaccessreviews"])]))
    attributes = {"verb": "get", "resource": "pods"}
    review = await client.create(SUBJECTACCESSREVIEWS, {"spec": {"user": "ada", "resourceAttributes": attributes}})
    assert review["spec"]["user"] == "eve"


async def test_a_webhook_can_name_what_was_to_get_a_name(
    client: Client, hooks: WebhookServer, mutating: Configure
) -> None:
    hooks.replies["change"] = patch(add("/metadata/name", "chosen"))
    await mutating(webhook(hooks, "change"))
    unnamed = config_map("x")
    unnamed["metadata"] = {"generateName": "a-", "namespace": "default"}
    assert (await client.create(CONFIGMAPS, unnamed))["metadata"]["name"] == "chosen"
    assert "name" not in hooks.requests()[0]


async def test_the_command_of_an_exec_can_be_changed(client: Client, hooks: WebhookServer, mutating: Configure) -> None:
    hooks.replies["change"] = patch({"op": "remove", "path": "/command"})
    await client.create(PODS, pod("a", node="n1"))
    await mutating(webhook(hooks, "change", rules=[rule(operations=["CONNECT"], resources=["pods/exec"])]))
    answer = await post(client, PODS.path("default", "a", "exec"), command="ls", stdout="true")
    assert hooks.requests()[0]["object"]["command"] == ["ls"]
    assert answer.content["message"] == "you must specify at least one command for the container"
