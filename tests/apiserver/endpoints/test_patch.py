"""Patching objects and their status."""

from __future__ import annotations

import json

import pytest

from steersman.client.api import JSON_PATCH, STRATEGIC_MERGE_PATCH, Client
from steersman.meta.errors import APIError, BadRequest, Conflict, Invalid, NotFound, RequestEntityTooLarge
from steersman.meta.resources import CONFIGMAPS, DEPLOYMENTS, PODS
from tests.apiserver.builders import config_map, deployment, pod

PATH = "/api/v1/namespaces/default/configmaps/a"


async def test_a_merge_patch(client: Client) -> None:
    await client.create(CONFIGMAPS, config_map(labels={"a": "b", "c": "d"}))
    patched = await client.patch(
        CONFIGMAPS, "a", {"data": {"more": "x"}, "metadata": {"labels": {"a": None}}}, namespace="default"
    )
    assert patched["data"] == {"key": "value", "more": "x"}
    assert patched["metadata"]["labels"] == {"c": "d"}


async def test_a_json_patch(client: Client) -> None:
    await client.create(CONFIGMAPS, config_map())
    operations = [{"op": "test", "path": "/data/key", "value": "value"}, {"op": "remove", "path": "/data/key"}]
    patched = await client.patch(CONFIGMAPS, "a", operations, namespace="default", patch_type=JSON_PATCH)
    assert "data" not in patched or patched["data"] == {}


async def test_a_json_patch_that_does_not_apply_changes_nothing(client: Client) -> None:
    created = await client.create(CONFIGMAPS, config_map())
    operations = [{"op": "add", "path": "/data/x", "value": "y"}, {"op": "test", "path": "/data/key", "value": "no"}]
    with pytest.raises(APIError) as caught:
        await client.patch(CONFIGMAPS, "a", operations, namespace="default", patch_type=JSON_PATCH)
    assert caught.value.http_code == 422
    assert await client.get(CONFIGMAPS, "a", namespace="default") == created


async def test_too_many_operations_are_refused(client: Client) -> None:
    await client.create(CONFIGMAPS, config_map())
    operations = [{"op": "add", "path": "/data/x", "value": "y"}] * 10_001
    with pytest.raises(RequestEntityTooLarge):
        await client.patch(CONFIGMAPS, "a", operations, namespace="default", patch_type=JSON_PATCH)


async def test_a_strategic_merge_patch_merges_lists_by_key(client: Client) -> None:
    await client.create(DEPLOYMENTS, deployment())
    containers = [{"name": "side", "image": "other"}]
    patch = {"spec": {"template": {"spec": {"containers": containers}}}}
    patched = await client.patch(DEPLOYMENTS, "a", patch, namespace="default", patch_type=STRATEGIC_MERGE_PATCH)
    names = {entry["name"] for entry in patched["spec"]["template"]["spec"]["containers"]}
    assert names == {"main", "side"}
    assert patched["metadata"]["generation"] == 2


async def test_a_patch_of_status_leaves_the_rest(client: Client) -> None:
    await client.create(DEPLOYMENTS, deployment())
    patch = {"spec": {"replicas": 9}, "status": {"replicas": 4}}
    patched = await client.patch(DEPLOYMENTS, "a", patch, namespace="default", subresource="status")
    assert (patched["spec"]["replicas"], patched["status"]["replicas"]) == (1, 4)


async def test_a_version_in_the_patch_is_a_lock(client: Client) -> None:
    await client.create(CONFIGMAPS, config_map())
    patch = {"metadata": {"resourceVersion": "1"}, "data": {"a": "b"}}
    with pytest.raises(Conflict):
        await client.patch(CONFIGMAPS, "a", patch, namespace="default")


async def test_an_absent_object_is_not_found(client: Client) -> None:
    with pytest.raises(NotFound):
        await client.patch(CONFIGMAPS, "a", {}, namespace="default")


async def test_an_unknown_patch_type_is_refused(client: Client) -> None:
    await client.create(CONFIGMAPS, config_map())
    answer = await client.request("PATCH", PATH, headers={"content-type": "application/json"}, body=b"{}")
    assert answer.status == 415
    assert (answer.content["message"], answer.content["details"]) == ("415: Unsupported Media Type", {})


async def test_a_malformed_patch_is_refused(client: Client) -> None:
    await client.create(CONFIGMAPS, config_map())
    headers = {"content-type": "application/merge-patch+json"}
    answer = await client.request("PATCH", PATH, headers=headers, body=b"{nope")
    assert (answer.status, answer.content["message"][:21]) == (400, "error decoding patch:")


async def test_a_wrong_type_is_refused(client: Client) -> None:
    await client.create(CONFIGMAPS, config_map())
    with pytest.raises(Invalid, match="patch: Invalid value"):
        await client.patch(CONFIGMAPS, "a", {"data": 5}, namespace="default")


async def test_the_name_cannot_be_patched(client: Client) -> None:
    await client.create(CONFIGMAPS, config_map())
    with pytest.raises(BadRequest, match="does not match the name on the URL"):
        await client.patch(CONFIGMAPS, "a", {"metadata": {"name": "b"}}, namespace="default")


async def test_unknown_fields_warn_or_are_refused(client: Client) -> None:
    await client.create(CONFIGMAPS, config_map())
    headers = {"content-type": "application/merge-patch+json"}
    body = json.dumps({"datum": 1}).encode()
    answer = await client.request("PATCH", PATH, headers=headers, body=body)
    assert (answer.status, answer.headers["warning"]) == (200, '299 - "unknown field \\"datum\\""')
    answer = await client.request("PATCH", PATH, headers=headers, body=body, query={"fieldValidation": "Strict"})
    assert answer.status == 422
    assert 'strict decoding error: unknown field \\"datum\\"' in json.dumps(answer.content["message"])
    answer = await client.request("PATCH", PATH, headers=headers, body=body, query={"fieldValidation": "Ignore"})
    assert (answer.status, "warning" in answer.headers) == (200, False)


async def test_an_empty_patch_changes_nothing(client: Client) -> None:
    created = await client.create(PODS, pod())
    patched = await client.patch(PODS, "a", {}, namespace="default")
    assert patched == created
