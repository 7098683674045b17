"""OpenAPI documents describe what is served, under upstream's names."""

from __future__ import annotations

import gzip
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from steersman.meta.resources import Resource
from steersman.schema.groups import REGISTRY
from steersman.schema.openapi import OpenAPI
from steersman.schema.openapi_parameters import QUERY
from steersman.schema.openapi_paths import operations
from steersman.schema.openapi_v2 import INLINE
from steersman.schema.registry import Registry

SERVED = Registry(REGISTRY)
POD = "io.k8s.api.core.v1.Pod"
CONFIG_MAP = SERVED.lookup("", "v1", "configmaps")
assert CONFIG_MAP is not None
WHALE = replace(
    CONFIG_MAP,
    resource=Resource(group="example.com", version="v1", plural="whales", kind="Whale", namespaced=True),
    definition="com.example.v1.Whale",
    singular="whale",
)
LIST = {
    "type": "object",
    "properties": {"items": {"type": "array", "items": {"$ref": "#/definitions/com.example.v1.Whale"}}},
}


@pytest.fixture(scope="module")
def openapi() -> OpenAPI:
    return OpenAPI(SERVED, release="v1.36.0")


@pytest.fixture(scope="module")
def v2(openapi: OpenAPI) -> Any:
    return msgspec.json.decode(openapi.v2.body)


@pytest.fixture(scope="module")
def core(openapi: OpenAPI) -> Any:
    found = openapi.v3("api/v1")
    assert found is not None
    return msgspec.json.decode(found.json.body)


def test_operations_have_upstreams_ids_and_actions() -> None:
    found = {
        (operation.method, operation.path): (operation.id, operation.action)
        for group in SERVED.groups
        for version in SERVED.versions(group)
        for operation in operations(SERVED, group, version)
    }
    pods = "/api/v1/namespaces/{namespace}/pods"
    expected = {
        ("get", pods): ("listCoreV1NamespacedPod", "list"),
        ("post", pods): ("createCoreV1NamespacedPod", "post"),
        ("delete", pods): ("deleteCoreV1CollectionNamespacedPod", "deletecollection"),
        ("get", "/api/v1/pods"): ("listCoreV1PodForAllNamespaces", "list"),
        ("get", f"{pods}/{{name}}"): ("readCoreV1NamespacedPod", "get"),
        ("put", f"{pods}/{{name}}/status"): ("replaceCoreV1NamespacedPodStatus", "put"),
        ("post", f"{pods}/{{name}}/exec"): ("connectCoreV1PostNamespacedPodExec", "connect"),
        ("get", f"{pods}/{{name}}/log"): ("readCoreV1NamespacedPodLog", "get"),
        ("options", f"{pods}/{{name}}/proxy/{{path}}"): ("connectCoreV1OptionsNamespacedPodProxyWithPath", "connect"),
        ("get", "/apis/rbac.authorization.k8s.io/v1/clusterroles/{name}"): (
            "readRbacAuthorizationV1ClusterRole",
            "get",
        ),
        ("get", "/api/v1/watch/nodes/{name}"): ("watchCoreV1Node", "watch"),
    }
    assert {key: found.get(key) for key in expected} == expected
    assert len({name for name, _ in found.values()}) == len(found)


def test_subresources_name_the_kind_that_they_take(core: Any) -> None:
    eviction = core["paths"]["/api/v1/namespaces/{namespace}/pods/{name}/eviction"]["post"]
    assert eviction["x-kubernetes-group-version-kind"] == {"group": "policy", "version": "v1", "kind": "Eviction"}
    assert eviction["requestBody"]["content"]["*/*"]["schema"] == {
        "$ref": "#/components/schemas/io.k8s.api.policy.v1.Eviction"
    }


def test_v3_documents_are_closed(openapi: OpenAPI) -> None:
    index = msgspec.json.decode(openapi.v3_index.body)["paths"]
    assert "apis/apps/v1" in index
    for path in index:
        found = openapi.v3(path)
        assert found is not None
        document = msgspec.json.decode(found.json.body)
        wanted = {
            reference.removeprefix("#/components/schemas/")
            for reference in references(document)
            if reference.startswith("#/components/schemas/")
        }
        assert wanted == set(document["components"]["schemas"])


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for child in value.values():
            yield from references(child)
    elif isinstance(value, list):
        for child in value:
            yield from references(child)


def test_v3_schemas_carry_defaults_and_wrap_references_that_have_siblings(core: Any) -> None:
    schemas = core["components"]["schemas"]
    assert schemas["io.k8s.api.core.v1.ContainerPort"]["properties"]["protocol"]["default"] == "TCP"
    spec = schemas[POD]["properties"]["spec"]
    assert spec["allOf"] == [{"$ref": "#/components/schemas/io.k8s.api.core.v1.PodSpec"}]
    assert spec["default"] == {}
    containers = schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
    assert containers["items"] == {"$ref": "#/components/schemas/io.k8s.api.core.v1.Container"}
    assert containers["x-kubernetes-list-map-keys"] == ["name"]
    assert schemas["io.k8s.apimachinery.pkg.util.intstr.IntOrString"]["oneOf"] == [
        {"type": "integer"},
        {"type": "string"},
    ]


def test_patches_can_be_asked_to_validate_and_to_run_dry(core: Any) -> None:
    patch = core["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"]
    assert {"dryRun", "fieldValidation", "fieldManager", "force"} <= {entry["name"] for entry in patch["parameters"]}
    assert "application/apply-patch+yaml" in patch["requestBody"]["content"]


@pytest.mark.parametrize("document", ["v2", "core"])
def test_parameters_of_all_methods_are_listed_beside_them(document: str, request: pytest.FixtureRequest) -> None:
    found = request.getfixturevalue(document)
    pods = found["paths"]["/api/v1/pods"]
    assert names(pods["parameters"]) == [
        "allowWatchBookmarks", "continue", "fieldSelector", "labelSelector", "limit", "pretty", "resourceVersion",
        "resourceVersionMatch", "sendInitialEvents", "shardSelector", "timeoutSeconds", "watch",
    ]  # fmt: skip
    assert "parameters" not in pods["get"]
    namespaced = found["paths"]["/api/v1/namespaces/{namespace}/pods"]
    assert names(namespaced["parameters"]) == ["namespace", "pretty"]
    assert names(namespaced["post"]["parameters"])[-3:] == ["dryRun", "fieldManager", "fieldValidation"]
    assert "ignoreStoreReadErrorWithClusterBreakingPotential" in names(namespaced["delete"]["parameters"])
    proxied = found["paths"]["/api/v1/nodes/{name}/proxy/{path}"]
    assert names(proxied["parameters"]) == ["name", "path", "path"]


def names(parameters: list[dict[str, str]]) -> list[str]:
    return [entry.get("name") or entry["$ref"].rpartition("/")[2] for entry in parameters]


def test_documents_name_the_minor_version(openapi: OpenAPI, v2: Any, core: Any) -> None:
    assert v2["info"] == core["info"] == {"title": "Kubernetes", "version": "1.36"}


def test_operations_outside_of_resources_name_their_media_types(openapi: OpenAPI, v2: Any) -> None:
    keys = v2["paths"]["/openid/v1/jwks/"]["get"]
    assert keys["produces"] == ["application/jwk-set+json"]
    assert "consumes" not in keys
    version = v2["paths"]["/version/"]["get"]
    assert version["consumes"] == version["produces"] == ["application/json"]
    discovery = v2["paths"]["/apis/apps/v1/"]["get"]
    assert discovery["consumes"] == discovery["produces"]
    document = openapi.v3("openid/v1/jwks")
    assert document is not None
    content = msgspec.json.decode(document.json.body)["paths"]["/openid/v1/jwks/"]["get"]["responses"]["200"]["content"]
    assert list(content) == ["application/jwk-set+json"]


def hashes(documents: OpenAPI) -> dict[str, str]:
    index = msgspec.json.decode(documents.v3_index.body)["paths"]
    return {path: entry["serverRelativeURL"].partition("?hash=")[2] for path, entry in index.items()}


def test_hashes_are_those_of_the_documents_text(openapi: OpenAPI) -> None:
    for path, digest in hashes(openapi).items():
        found = openapi.v3(path)
        assert found is not None
        assert digest == hashlib.sha512(found.json.body).hexdigest().upper()
    fewer = OpenAPI(Registry([kind for kind in REGISTRY if kind.resource.plural != "daemonsets"]), release="v1.36.0")
    differing = {path for path, digest in hashes(fewer).items() if digest != hashes(openapi)[path]}
    assert differing == {"apis/apps/v1"}
    assert openapi.v3("apis/example.com/v1") is None


def test_hashes_are_the_same_in_every_process(openapi: OpenAPI) -> None:
    program = (
        "import hashlib; from steersman.schema.groups import REGISTRY; from steersman.schema.openapi import OpenAPI;"
        "from steersman.schema.registry import Registry;"
        "print(OpenAPI(Registry(REGISTRY), release='v1.36.0').v3_index.etag)"
    )
    command = [sys.executable, "-c", program]
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        other = subprocess.run(command, check=True, timeout=60, capture_output=True, text=True, env=environment).stdout
        assert other.strip() == openapi.v3_index.etag


def test_a_changed_schema_changes_the_hash_of_its_document_alone() -> None:
    def documents(teeth: str, earlier: OpenAPI | None = None) -> OpenAPI:
        whale: dict[str, Any] = {"type": "object", "properties": {"teeth": {"type": teeth}}}
        return OpenAPI(
            SERVED.with_kinds([WHALE]),
            custom={"com.example.v1.Whale": whale, "com.example.v1.WhaleList": LIST},
            earlier=earlier,
        )

    first = documents("integer")
    before = hashes(first)
    second = documents("string", first)
    differing = {path for path, digest in hashes(second).items() if digest != before[path]}
    assert differing == {"apis/example.com/v1"}
    assert second.v3("api/v1") is first.v3("api/v1"), "what has not changed is not made again"
    assert hashes(documents("integer", second)) == before


def test_v2_holds_the_definitions_that_are_reached_and_resolves(v2: Any) -> None:
    assert len(v2["definitions"]) == 584
    assert "io.k8s.api.resource.v1alpha3.DeviceTaint" not in v2["definitions"]
    for reference in references(v2):
        section, name = reference.removeprefix("#/").split("/", 1)
        assert name in v2[section]
    assert v2["definitions"][POD]["x-kubernetes-group-version-kind"] == [{"group": "", "version": "v1", "kind": "Pod"}]
    assert set(v2["parameters"]) == set(QUERY) - INLINE
    patch = v2["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"]["parameters"]
    assert {parameter["name"] for parameter in patch if parameter.get("in") == "query"} == INLINE


def test_bodies_are_kept_and_compressed_once(openapi: OpenAPI) -> None:
    assert openapi.v3("api/v1") is openapi.v3("api/v1")
    assert gzip.decompress(openapi.v2.gzip) == openapi.v2.body


def test_definitions_of_custom_kinds_are_served_like_built_in_ones() -> None:
    meta = {"$ref": "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}
    custom: dict[str, Any] = {
        "com.example.v1.Whale": {"type": "object", "properties": {"metadata": meta, "teeth": {"type": "integer"}}},
        "com.example.v1.WhaleList": LIST,
    }
    documents = OpenAPI(Registry([WHALE]), custom=custom)
    found = documents.v3("apis/example.com/v1")
    assert found is not None
    schemas = msgspec.json.decode(found.json.body)["components"]["schemas"]
    assert schemas["com.example.v1.Whale"]["properties"]["teeth"] == {"type": "integer"}
    assert "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta" in schemas
    assert "com.example.v1.Whale" in msgspec.json.decode(documents.v2.body)["definitions"]


def fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """(field number, value) of a protobuf message: bytes of length-delimited fields, integers of varints."""
    position = 0

    def varint() -> int:
        nonlocal position
        value = shift = 0
        while True:
            byte = message[position]
            position += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while position < len(message):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
        else:
            assert key & 7 == 2
            size = varint()
            yield key >> 3, message[position : position + size]
            position += size


def named(message: bytes, number: int) -> dict[str, bytes]:
    entries = (dict(fields(value)) for key, value in fields(message) if key == number)
    return {entry[1].decode(): entry.get(2, b"") for entry in entries}


def test_the_protobuf_form_says_what_the_json_form_says(openapi: OpenAPI, v2: Any) -> None:
    document = dict(fields(openapi.v2_protobuf.body))
    assert document[1] == b"2.0"
    definitions = named(document[9], 1)
    assert list(definitions) == list(v2["definitions"])
    pod = dict(fields(definitions[POD]))
    assert pod[4].decode() == v2["definitions"][POD]["description"]
    assert list(named(pod[25], 1)) == list(v2["definitions"][POD]["properties"])
    extensions = named(definitions[POD], 31)
    assert (
        msgspec.json.decode(dict(fields(extensions["x-kubernetes-group-version-kind"]))[2])
        == (v2["definitions"][POD]["x-kubernetes-group-version-kind"])
    )
    paths = named(document[8], 2)
    assert list(paths) == list(v2["paths"])
    post = dict(fields(paths["/api/v1/namespaces/{namespace}/pods"]))[4]
    assert dict(fields(post))[5] == b"createCoreV1NamespacedPod"
