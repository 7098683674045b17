"""Discovery and OpenAPI documents of the cluster as a whole."""

from __future__ import annotations

import json
from typing import Any

from steersman.apiserver.aggregation.apiservice import APIService
from steersman.apiserver.aggregation.groupversions import listed
from steersman.apiserver.aggregation.remotediscovery import converted
from steersman.client.api import MERGE_PATCH
from steersman.meta.objects import Object
from steersman.meta.resources import APISERVICES
from steersman.schema.groups import REGISTRY
from steersman.schema.registry import Registry
from steersman.testing.waiting import eventually
from tests.apiserver.aggregation.conftest import NAME, Aggregation
from tests.apiserver.aggregation.extension import AGGREGATED, GROUP, PATH, RESOURCES, VERSION
from tests.schema.gnostic import decoded

PROTOBUF = "application/com.github.proto-openapi.spec.v3.v1.0+protobuf"


async def _get(aggregation: Aggregation, path: str, accept: str = "application/json") -> Any:
    answer = await aggregation.client.request("GET", path, headers={"accept": accept})
    return json.loads(answer.body)


async def _version(aggregation: Aggregation, freshness: str = "Current") -> Object:
    """The extension server's version in aggregated discovery."""

    async def has_come() -> Object | None:
        items = (await _get(aggregation, "/apis", AGGREGATED))["items"]
        versions = [version for item in items if item["metadata"]["name"] == GROUP for version in item["versions"]]
        return versions[0] if versions and versions[0]["freshness"] == freshness else None

    found: Object = await eventually(has_come, clock=aggregation.clock, timeout_s=20)
    return found


async def test_groups_of_extension_servers_are_listed_by_priority(aggregation: Aggregation) -> None:
    await aggregation.expose()
    await aggregation.available()
    names = [group["name"] for group in (await _get(aggregation, "/apis"))["groups"]]
    assert names[:2] == ["apiregistration.k8s.io", "apps"]
    assert names[-1] == GROUP
    found = await _get(aggregation, f"/apis/{GROUP}")
    assert (found["kind"], found["preferredVersion"]["groupVersion"]) == ("APIGroup", f"{GROUP}/{VERSION}")
    patch = {"spec": {"groupPriorityMinimum": 17790}}
    await aggregation.client.patch(APISERVICES, NAME, patch, patch_type=MERGE_PATCH)
    names = [group["name"] for group in (await _get(aggregation, "/apis"))["groups"]]
    assert names[1:4] == ["apps", GROUP, "events.k8s.io"]
    assert f"/apis/{GROUP}/{VERSION}" in (await _get(aggregation, "/"))["paths"]


async def test_aggregated_discovery_has_what_extension_servers_say(aggregation: Aggregation) -> None:
    await aggregation.expose()
    found = await _version(aggregation)
    assert found["resources"][0]["resource"] == "flunders"
    items = (await _get(aggregation, "/apis", AGGREGATED))["items"]
    assert [item["metadata"]["name"] for item in items][:2] == ["apiregistration.k8s.io", "apps"]


async def test_what_was_known_of_a_server_that_fails_is_stale(aggregation: Aggregation) -> None:
    await aggregation.expose()
    await _version(aggregation)
    aggregation.extension.is_healthy = False
    await aggregation.client.patch(APISERVICES, NAME, {"metadata": {"labels": {"a": "b"}}})
    found = await _version(aggregation, "Stale")
    assert found["resources"][0]["resource"] == "flunders"
    aggregation.extension.is_healthy = True
    await aggregation.client.patch(APISERVICES, NAME, {"metadata": {"labels": {"a": "c"}}})
    await _version(aggregation)
    await aggregation.client.delete(APISERVICES, NAME)

    async def is_gone() -> bool:
        names = [item["metadata"]["name"] for item in (await _get(aggregation, "/apis", AGGREGATED))["items"]]
        return GROUP not in names

    await eventually(is_gone, clock=aggregation.clock)
    assert GROUP not in [group["name"] for group in (await _get(aggregation, "/apis"))["groups"]]


async def test_a_server_without_aggregated_discovery_is_asked_in_the_older_way(aggregation: Aggregation) -> None:
    aggregation.extension.has_aggregated_discovery = False
    await aggregation.expose()
    found = await _version(aggregation)
    assert found["resources"] == converted(RESOURCES["resources"])  # type: ignore[arg-type]
    assert found["resources"][0]["subresources"] == [
        {"subresource": "status", "responseKind": {"group": "", "version": "", "kind": "Flunder"}, "verbs": ["update"]}
    ]
    assert (await _get(aggregation, PATH))["resources"][0]["name"] == "flunders"


async def test_openapi_v2_has_the_servers_paths(aggregation: Aggregation) -> None:
    await aggregation.expose()

    async def has_come() -> Any:
        document = await _get(aggregation, "/openapi/v2")
        return document if f"{PATH}/flunders" in document["paths"] else None

    document = await eventually(has_come, clock=aggregation.clock, timeout_s=60)
    definitions = document["definitions"]
    meta = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
    assert definitions["wardle.Flunder"]["properties"]["metadata"]["$ref"] == f"#/definitions/{meta}_v2"
    assert definitions[f"{meta}_v2"]["description"] == "another one"
    assert "wardle.Version" not in definitions, "what only other paths use is not taken over"
    assert "get" in document["paths"]["/version/"]
    assert document["paths"]["/version/"]["get"]["operationId"] == "getCodeVersion"
    answer = await aggregation.client.request(
        "GET", "/openapi/v2", headers={"accept": "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"}
    )
    assert b"wardle.Flunder" in answer.body


async def test_openapi_v3_leads_to_the_servers_document(aggregation: Aggregation) -> None:
    await aggregation.expose()
    await aggregation.available()

    async def has_come() -> Any:
        return (await _get(aggregation, "/openapi/v3"))["paths"].get(PATH[1:])

    entry = await eventually(has_come, clock=aggregation.clock, timeout_s=20)
    assert entry == {"serverRelativeURL": f"/openapi/v3{PATH}?hash=1"}

    async def is_passed_on() -> bool:
        answer = await aggregation.client.request("GET", f"/openapi/v3{PATH}")
        return bool(json.loads(answer.body) == {"openapi": "3.0.0", "paths": {}}) if answer.status == 200 else False

    await eventually(is_passed_on, clock=aggregation.clock, timeout_s=20)
    own = (await _get(aggregation, "/openapi/v3"))["paths"]["apis/apps/v1"]["serverRelativeURL"]
    assert own != "/openapi/v3/apis/apps/v1?hash=1", "a server speaks for its own versions only"


async def test_openapi_v3_of_a_server_that_has_only_v2_is_made(aggregation: Aggregation) -> None:
    aggregation.extension.has_openapi_v3 = False
    await aggregation.expose()

    async def has_come() -> Any:
        return (await _get(aggregation, "/openapi/v3"))["paths"].get(PATH[1:])

    entry = await eventually(has_come, clock=aggregation.clock, timeout_s=20)
    path, _, digest = entry["serverRelativeURL"].partition("?hash=")
    answer = await aggregation.client.request("GET", path, query={"hash": digest})
    assert answer.headers["cache-control"] == "public, immutable"
    document = json.loads(answer.body)
    listing = document["paths"][f"{PATH}/flunders"]["get"]
    assert listing["parameters"] == [{"name": "limit", "in": "query", "schema": {"type": "integer"}}]
    schema = listing["responses"]["200"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/wardle.Flunder"}
    creating = document["paths"][f"{PATH}/flunders"]["post"]
    assert creating["requestBody"]["content"]["*/*"]["schema"] == {"$ref": "#/components/schemas/wardle.Flunder"}
    metadata = document["components"]["schemas"]["wardle.Flunder"]["properties"]["metadata"]
    reference = "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
    assert metadata == {"description": "standard", "allOf": [{"$ref": reference}]}
    protobuf = await aggregation.client.request("GET", path, query={"hash": digest}, headers={"accept": PROTOBUF})
    assert decoded(protobuf.body)["components"] == document["components"]
    moved = await aggregation.client.request("GET", path, query={"hash": "old"})
    assert (moved.status, moved.headers["location"]) == (301, entry["serverRelativeURL"])


def _service(group: str, version: str, group_priority: int, version_priority: int) -> APIService:
    return APIService(
        name=f"{version}.{group}",
        group=group,
        version=version,
        group_priority=group_priority,
        version_priority=version_priority,
    )


def test_versions_are_ordered_by_priority_and_then_as_versions_are() -> None:
    services = [
        _service("z.example.com", "v1", 17850, 10),
        _service("z.example.com", "v10", 17850, 10),
        _service("z.example.com", "v2beta1", 17850, 10),
        _service("z.example.com", "v1alpha1", 17850, 20),
        _service("a.example.com", "v1", 100, 10),
    ]
    found = listed(Registry(REGISTRY), services)
    assert [group for group, _ in found][:3] == ["apiregistration.k8s.io", "z.example.com", "apps"]
    assert dict(found)["z.example.com"] == ["v1alpha1", "v10", "v1", "v2beta1"]
    assert found[-1] == ("a.example.com", ["v1"])


def test_built_in_groups_are_in_upstreams_order() -> None:
    registry = Registry(REGISTRY)
    assert [group for group, _ in listed(registry, ())] == [group for group in registry.groups if group]


async def test_a_malformed_document_spoils_nobodys(aggregation: Aggregation) -> None:
    document = {"swagger": "2.0", "info": {}, "paths": {f"{PATH}/x": {"get": {"responses": {"200": "?"}}}}}
    aggregation.extension.answers["/openapi/v2"] = (200, {}, json.dumps(document).encode())
    await aggregation.expose()
    await aggregation.available()

    async def was_asked() -> bool:
        return any(asked.path == "/openapi/v2" for asked in aggregation.extension.asked)

    await eventually(was_asked, clock=aggregation.clock, timeout_s=20)
    assert f"{PATH}/x" not in (await _get(aggregation, "/openapi/v2"))["paths"]
