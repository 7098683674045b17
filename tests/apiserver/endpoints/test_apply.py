"""Server-side apply through the API, as KEP-555 and its conformance tests have it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from steersman.aio.clock import FakeClock
from steersman.apiserver.component import APIServer
from steersman.client.api import APPLY_PATCH, MERGE_PATCH, Client
from steersman.client.inprocess import InProcessTransport
from steersman.meta.errors import BadRequest, Conflict, Invalid, NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import (
    CONFIGMAPS,
    DEPLOYMENTS,
    HORIZONTALPODAUTOSCALERS,
    NAMESPACES,
    NODES,
    PODS,
    SERVICES,
    Resource,
)
from steersman.meta.wire import Response
from tests.apiserver.builders import config_map, deployment, pod

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


async def applied(
    client: Client,
    resource: Resource,
    config: Object,
    manager: str = "a",
    *,
    force: bool = False,
    subresource: str = "",
) -> Object:
    metadata = config["metadata"]
    return await client.patch(
        resource,
        metadata["name"],
        config,
        namespace=metadata.get("namespace", ""),
        subresource=subresource,
        patch_type=APPLY_PATCH,
        field_manager=manager,
        force=force,
    )


async def sent(client: Client, path: str, body: bytes, **query: str) -> Response:
    return await client.request(
        "PATCH",
        path,
        headers={"content-type": APPLY_PATCH},
        body=body,
        query={"fieldManager": "a", **query},
    )


def fields_of(obj: Object, manager: str, operation: str = "Apply") -> Any:
    return next(
        entry["fieldsV1"]
        for entry in obj["metadata"]["managedFields"]
        if (entry["manager"], entry["operation"]) == (manager, operation)
    )


def managers_of(obj: Object) -> list[tuple[str, str, str]]:
    return [
        (entry["manager"], entry["operation"], entry.get("subresource", ""))
        for entry in obj["metadata"].get("managedFields", ())
    ]


class TestCreating:
    async def test_an_absent_object_is_created(self, client: Client) -> None:
        answer = await sent(client, CONFIGMAPS.path("default", "a"), json.dumps(config_map()).encode())
        assert answer.status == 201
        assert managers_of(answer.content) == [("a", "Apply", "")]
        again = await sent(client, CONFIGMAPS.path("default", "a"), json.dumps(config_map()).encode())
        assert (again.status, again.content) == (200, answer.content)

    async def test_only_what_was_applied_is_owned_not_what_was_defaulted(self, client: Client) -> None:
        """The field sets that the conformance test of upstream compares."""
        one = await applied(client, PODS, pod())
        both = await applied(client, PODS, pod(), "b")
        wanted: Object = {"f:spec": {"f:containers": {'k:{"name":"main"}': {".": {}, "f:image": {}, "f:name": {}}}}}
        assert one["spec"]["dnsPolicy"] == "ClusterFirst"
        assert [fields_of(both, manager) for manager in ("a", "b")] == [wanted, wanted]
        assert list(fields_of(both, "a")["f:spec"]["f:containers"]['k:{"name":"main"}']) == [".", "f:image", "f:name"]
        service = {
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": "default"},
            "spec": {"ports": [{"port": 8080, "protocol": "UDP"}]},
        }  # fmt: skip
        created = await applied(client, SERVICES, service)
        element = 'k:{"port":8080,"protocol":"UDP"}'
        assert fields_of(created, "a") == {"f:spec": {"f:ports": {element: {".": {}, "f:port": {}, "f:protocol": {}}}}}

    async def test_dry_run_creates_nothing(self, client: Client) -> None:
        body = json.dumps(config_map()).encode()
        answer = await sent(client, CONFIGMAPS.path("default", "a"), body, dryRun="All")
        assert (answer.status, managers_of(answer.content)) == (201, [("a", "Apply", "")])
        with pytest.raises(NotFound):
            await client.get(CONFIGMAPS, "a", namespace="default")

    async def test_an_object_of_a_certain_uid_is_not_created(self, client: Client) -> None:
        with pytest.raises(Conflict, match="uid mismatch: the provided object specified uid x"):
            await applied(client, CONFIGMAPS, config_map(uid="x"))

    async def test_a_status_is_not_created(self, client: Client) -> None:
        config = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}, "status": {"phase": "Running"}}
        with pytest.raises(NotFound):
            await applied(client, NODES, config, subresource="status")


class TestRefusing:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"kind": "Secret"}, "invalid object type: /v1, Kind=Secret"),
            ({"apiVersion": "v2"}, "invalid object type: /v2, Kind=ConfigMap"),
            ({"metadata": {"name": "a", "managedFields": []}}, "metadata.managedFields must be nil"),
            (
                {"metadata": {"name": "b"}},
                "the name of the object (b) does not match the name on the URL (a)",
            ),
            (
                {"metadata": {"name": "a", "namespace": "other"}},
                "the namespace of the provided object does not match the namespace sent on the request",
            ),
        ],
    )
    async def test_what_cannot_be_applied(self, client: Client, change: Object, message: str) -> None:
        for _ in range(2):
            answer = await sent(
                client, CONFIGMAPS.path("default", "a"), json.dumps({**config_map(), **change}).encode()
            )
            assert (answer.status, answer.content["message"]) == (400, message)
            await client.patch(
                CONFIGMAPS, "a", config_map(), namespace="default", patch_type=APPLY_PATCH, field_manager="x"
            )

    async def test_a_manager_must_be_named(self, client: Client) -> None:
        with pytest.raises(Invalid, match="fieldManager: Required value: is required for apply patch"):
            await client.patch(CONFIGMAPS, "a", config_map(), namespace="default", patch_type=APPLY_PATCH)

    async def test_force_is_for_apply_alone(self, client: Client) -> None:
        with pytest.raises(Invalid, match="force: Forbidden: may not be specified for non-apply patch"):
            await client.patch(CONFIGMAPS, "a", {}, namespace="default", patch_type=MERGE_PATCH, force=True)

    async def test_cbor_is_not_understood(self, client: Client) -> None:
        path = CONFIGMAPS.path("default", "a")
        answer = await client.request(
            "PATCH", path, headers={"content-type": "application/apply-patch+cbor"}, body=b"\xa0"
        )
        assert answer.status == 415
        assert answer.content["message"] == "415: Unsupported Media Type"

    async def test_fields_that_the_kind_does_not_have_are_refused_whatever_validation_is_asked_for(
        self, client: Client
    ) -> None:
        body = json.dumps({**config_map(), "datum": 1}).encode()
        for validation in ("Strict", "Warn", "Ignore"):
            answer = await sent(client, CONFIGMAPS.path("default", "a"), body, fieldValidation=validation)
            assert answer.status == 500
            wanted = "failed to create typed patch object (default/a; /v1, Kind=ConfigMap): .datum: field not declared in schema"
            assert answer.content["message"] == wanted

    async def test_keys_that_are_twice(self, client: Client) -> None:
        body = b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  name: a\n"
        path = CONFIGMAPS.path("default", "a")
        answer = await sent(client, path, body, fieldValidation="Strict")
        assert answer.content["message"] == (
            "error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n"
            '  line 5: key "name" already set in map'
        )
        answer = await sent(client, path, body, fieldValidation="Warn")
        assert answer.headers["warning"] == '299 - "line 5: key \\"name\\" already set in map"'
        answer = await sent(client, path, body, fieldValidation="Ignore")
        assert (answer.status, "warning" in answer.headers) == (200, False)

    @pytest.mark.parametrize("body", [b"{a: b: c}", b"[1]", b"\t- a"])
    async def test_what_is_no_object(self, client: Client, body: bytes) -> None:
        answer = await sent(client, CONFIGMAPS.path("default", "a"), body)
        assert (answer.status, answer.content["message"][:20]) == (400, "error decoding YAML:")

    async def test_json_with_tabs_and_trailing_commas_is_yaml(self, client: Client) -> None:
        """As upstream's conformance tests send it."""
        body = b'{\n\t"apiVersion": "v1",\n\t"kind": "ConfigMap",\n\t"metadata": {\n\t\t"name": "a",\n\t}\n}'
        assert (await sent(client, CONFIGMAPS.path("default", "a"), body)).status == 201


class TestOwnership:
    async def test_what_is_left_out_goes_and_is_defaulted_anew(self, client: Client) -> None:
        await applied(client, DEPLOYMENTS, deployment(replicas=3))
        config = deployment()
        del config["spec"]["replicas"]
        assert (await applied(client, DEPLOYMENTS, config))["spec"]["replicas"] == 1

    async def test_what_another_owns_too_stays(self, client: Client) -> None:
        await applied(client, DEPLOYMENTS, deployment(replicas=3))
        await applied(client, DEPLOYMENTS, deployment(replicas=3), "b")
        config = deployment()
        del config["spec"]["replicas"]
        assert (await applied(client, DEPLOYMENTS, config))["spec"]["replicas"] == 3

    async def test_a_conflict_says_with_whom_and_force_ends_it(self, client: Client) -> None:
        await applied(client, DEPLOYMENTS, deployment(replicas=3))
        with pytest.raises(Conflict) as caught:
            await applied(client, DEPLOYMENTS, deployment(replicas=5), "b")
        assert caught.value.message == 'Apply failed with 1 conflict: conflict with "a": .spec.replicas'
        assert caught.value.details["causes"] == [
            {"reason": "FieldManagerConflict", "message": 'conflict with "a"', "field": ".spec.replicas"}
        ]
        forced = await applied(client, DEPLOYMENTS, deployment(replicas=5), "b", force=True)
        assert forced["spec"]["replicas"] == 5
        assert "f:replicas" not in fields_of(forced, "a")["f:spec"]

    async def test_updaters_conflict_by_their_user_agent(self, client: Client) -> None:
        await client.with_user_agent("tool/v1 (linux)").create(CONFIGMAPS, config_map())
        config = {**config_map(), "data": {"key": "other"}}
        with pytest.raises(Conflict, match=r'conflict with "tool" using v1: \.data\.key'):
            await applied(client, CONFIGMAPS, config)

    async def test_applying_the_same_changes_nothing_not_even_later(self, client: Client, clock: FakeClock) -> None:
        first = await applied(client, DEPLOYMENTS, deployment())
        await clock.advance(60)
        assert await applied(client, DEPLOYMENTS, deployment()) == first

    async def test_a_version_in_the_configuration_is_a_lock(self, client: Client) -> None:
        created = await applied(client, CONFIGMAPS, config_map())
        await applied(client, CONFIGMAPS, config_map(resourceVersion=created["metadata"]["resourceVersion"]))
        with pytest.raises(Conflict):
            await applied(client, CONFIGMAPS, config_map(resourceVersion="1", labels={"a": "b"}))

    async def test_an_untracked_object_belongs_to_before_first_apply(self, client: Client) -> None:
        created = await client.create(CONFIGMAPS, config_map())
        await client.update(CONFIGMAPS, {**created, "metadata": {**created["metadata"], "managedFields": []}})
        after = await applied(client, CONFIGMAPS, config_map())
        assert managers_of(after) == [("a", "Apply", ""), ("before-first-apply", "Update", "")]

    async def test_kubectl_may_go_on_from_its_client_side_apply(self, client: Client) -> None:
        config = config_map(annotations={})
        text = json.dumps(config)
        kubectl = client.with_user_agent("kubectl/v1.36.0")
        await kubectl.create(CONFIGMAPS, config_map(annotations={LAST_APPLIED: text}))
        after = await applied(client, CONFIGMAPS, {**config_map(), "data": {"key": "new"}}, "kubectl")
        assert json.loads(after["metadata"]["annotations"][LAST_APPLIED])["data"] == {"key": "new"}

    async def test_ownership_in_another_version_of_the_kind_counts(self, client: Client) -> None:
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "a"}
        config = {
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "a", "namespace": "default"},
            "spec": {"maxReplicas": 3, "minReplicas": 2, "scaleTargetRef": target},
        }  # fmt: skip
        await applied(client, HORIZONTALPODAUTOSCALERS, config)
        older = {**config, "apiVersion": "autoscaling/v1", "spec": {"maxReplicas": 4, "scaleTargetRef": target}}
        body = json.dumps(older).encode()
        path = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers/a"
        answer = await client.request(
            "PATCH", path, headers={"content-type": APPLY_PATCH}, body=body, query={"fieldManager": "b"}
        )
        assert answer.status == 409
        assert answer.content["message"] == 'Apply failed with 1 conflict: conflict with "a": .spec.maxReplicas'
        answer = await sent(client, path, body)
        assert (answer.status, answer.content["spec"]["maxReplicas"]) == (200, 4)
        assert "minReplicas" not in answer.content["spec"] or answer.content["spec"]["minReplicas"] == 1


class TestSubresources:
    async def test_status_is_applied_through_its_own_path_only(self, client: Client) -> None:
        await applied(client, PODS, pod())
        config = {
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "default"},
            "status": {"conditions": [{"type": "MyStatus", "status": "True"}]},
        }  # fmt: skip
        through_main = await applied(client, PODS, config, "b")
        assert "conditions" not in through_main.get("status", {})
        through_status = await applied(client, PODS, config, "b", subresource="status")
        assert through_status["status"]["conditions"][0]["type"] == "MyStatus"
        assert ("b", "Apply", "status") in managers_of(through_status)
        assert [manager for manager in managers_of(through_status) if manager[0] == "b"] == [("b", "Apply", "status")]

    async def test_scale_takes_the_replicas_of_its_workload(self, client: Client) -> None:
        await applied(client, DEPLOYMENTS, deployment(replicas=1))
        scale = {
            "apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "a", "namespace": "default"},
            "spec": {"replicas": 4},
        }  # fmt: skip
        with pytest.raises(Conflict, match=r'conflict with "a": \.spec\.replicas'):
            await applied(client, DEPLOYMENTS, scale, "scaler", subresource="scale")
        after = await applied(client, DEPLOYMENTS, scale, "scaler", subresource="scale", force=True)
        assert (after["kind"], after["spec"], "managedFields" in after["metadata"]) == ("Scale", {"replicas": 4}, False)
        workload = await client.get(DEPLOYMENTS, "a", namespace="default")
        assert managers_of(workload) == [("scaler", "Apply", "scale"), ("a", "Apply", "")]
        assert fields_of(workload, "scaler") == {"f:spec": {"f:replicas": {}}}
        assert "f:replicas" not in fields_of(workload, "a")["f:spec"]

    async def test_replicas_changed_through_scale_belong_to_who_did(self, client: Client) -> None:
        await client.with_user_agent("maker/1").create(DEPLOYMENTS, deployment(replicas=1))
        hpa = client.with_user_agent("hpa/1")
        scale = await hpa.get(DEPLOYMENTS, "a", namespace="default", subresource="scale")
        await hpa.update(DEPLOYMENTS, {**scale, "spec": {"replicas": 3}}, subresource="scale")
        after = await client.get(DEPLOYMENTS, "a", namespace="default")
        assert fields_of(after, "hpa", "Update") == {"f:spec": {"f:replicas": {}}}
        assert "f:replicas" not in fields_of(after, "maker", "Update")["f:spec"]
        scale = await hpa.get(DEPLOYMENTS, "a", namespace="default", subresource="scale")
        await hpa.update(DEPLOYMENTS, scale, subresource="scale")
        assert await client.get(DEPLOYMENTS, "a", namespace="default") == after

    async def test_ephemeral_containers_are_all_that_their_path_owns(self, client: Client) -> None:
        await applied(client, PODS, pod())
        config = pod(labels={"a": "b"})
        config["spec"] = {"ephemeralContainers": [{"name": "debug", "image": "busybox"}]}
        after = await applied(client, PODS, config, "debugger", subresource="ephemeralcontainers")
        element: Object = {".": {}, "f:image": {}, "f:name": {}}
        assert fields_of(after, "debugger") == {"f:spec": {"f:ephemeralContainers": {'k:{"name":"debug"}': element}}}


async def test_two_at_once_create_one_object(server: APIServer, client: Client) -> None:
    """The second finds what the first made, and applies to it."""
    other = Client(InProcessTransport(server.handle))
    config = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n", "labels": {"a": "b"}}}
    one, two = await asyncio.gather(
        applied(client, NAMESPACES, config, "one"), applied(other, NAMESPACES, config, "two")
    )
    assert one["metadata"]["uid"] == two["metadata"]["uid"]


async def test_configurations_of_in_process_callers_are_left_alone(client: Client) -> None:
    config = deployment()
    before = json.dumps(config)
    await applied(client, DEPLOYMENTS, config)
    assert json.dumps(config) == before


async def test_no_name_in_the_configuration(client: Client) -> None:
    config = config_map()
    del config["metadata"]["name"]
    with pytest.raises(BadRequest, match="name must be provided"):
        await client.patch(CONFIGMAPS, "a", config, namespace="default", patch_type=APPLY_PATCH, field_manager="a")
