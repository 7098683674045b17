"""What OpenAPI says of operations on custom resources."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from steersman.meta.resources import Resource
from steersman.schema.groups import REGISTRY
from steersman.schema.openapi import OpenAPI
from steersman.schema.registry import Registry

WHALE = "com.example.v1.Whale"
PATHS = {
    "/apis/example.com/v1/deployments",
    "/apis/example.com/v1/namespaces/{namespace}/deployments",
    "/apis/example.com/v1/namespaces/{namespace}/deployments/{name}",
    "/apis/example.com/v1/namespaces/{namespace}/deployments/{name}/scale",
    "/apis/example.com/v1/namespaces/{namespace}/deployments/{name}/status",
}
WHALES = "/apis/example.com/v1/namespaces/{namespace}/deployments"


@pytest.fixture(scope="module")
def openapi() -> OpenAPI:
    model = Registry(REGISTRY).lookup("apps", "v1", "deployments")
    assert model is not None
    resource = Resource(group="example.com", version="v1", plural="deployments", kind="Whale", namespaced=True)
    whale = replace(model, resource=resource, definition=WHALE, singular="whale", is_custom=True)
    custom: dict[str, Any] = {WHALE: {"type": "object"}, whale.listed_definition: {"type": "object"}}
    return OpenAPI(Registry([*REGISTRY, whale]), release="v1.36.0", custom=custom)


@pytest.fixture(scope="module")
def document(openapi: OpenAPI) -> Any:
    found = openapi.v3("apis/example.com/v1")
    assert found is not None
    return msgspec.json.decode(found.json.body)


def test_neither_watches_of_old_nor_discovery_are_documented(openapi: OpenAPI, document: Any) -> None:
    assert set(document["paths"]) == PATHS
    assert {path for path in msgspec.json.decode(openapi.v2.body)["paths"] if "example.com" in path} == PATHS
    index = msgspec.json.decode(openapi.v3_index.body)["paths"]
    assert "apis/example.com/v1" in index
    assert "apis/example.com" not in index
    assert "apis/apps" in index


def test_the_document_says_who_made_it(document: Any) -> None:
    assert document["info"] == {"title": "Kubernetes CRD Swagger", "version": "v0.1.0"}
    assert "securitySchemes" not in document["components"]


def test_media_types_are_json_and_yaml(document: Any) -> None:
    both = {"application/json", "application/yaml"}
    assert set(document["paths"][WHALES]["get"]["responses"]["200"]["content"]) == both
    assert set(document["paths"][WHALES]["post"]["requestBody"]["content"]) == both
    patch = document["paths"][f"{WHALES}/{{name}}"]["patch"]
    assert set(patch["requestBody"]["content"]) == {
        "application/json-patch+json",
        "application/merge-patch+json",
        "application/apply-patch+yaml",
    }
    assert set(patch["responses"]) == {"200", "401"}


def test_a_collection_is_deleted_without_a_body(document: Any) -> None:
    delete = document["paths"][WHALES]["delete"]
    assert "requestBody" not in delete
    names = {parameter["name"] for parameter in delete["parameters"]}
    assert names == {parameter["name"] for parameter in document["paths"][WHALES]["get"]["parameters"]}
    assert document["paths"][WHALES]["get"]["description"] == "list objects of kind Whale"


def test_the_scale_is_called_by_the_custom_kind(document: Any) -> None:
    scale = document["paths"][f"{WHALES}/{{name}}/scale"]["get"]
    assert scale["x-kubernetes-group-version-kind"] == {"group": "example.com", "version": "v1", "kind": "Whale"}
    assert scale["parameters"][0]["name"] == "resourceVersion"
