"""OpenAPI documents list the values of enumerated fields, as upstream's do."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import msgspec
import pytest

from steersman.schema import definitions
from steersman.schema.enumerations.registry import ENUMERATIONS
from steersman.schema.groups import REGISTRY
from steersman.schema.groups.core.podspec.handlers import SIGNALS
from steersman.schema.openapi import OpenAPI
from steersman.schema.openapi_enums import published
from steersman.schema.registry import Registry

CORE = "io.k8s.api.core.v1"
FIELDS = [(*field.split("/"), enumeration) for enumeration in ENUMERATIONS for field in enumeration.fields]
RESTART_POLICY = """

Possible enum values:
 - `"Always"`
 - `"Never"`
 - `"OnFailure"`"""


@pytest.fixture(scope="module")
def openapi() -> OpenAPI:
    return OpenAPI(Registry(REGISTRY))


@pytest.fixture(scope="module")
def v2(openapi: OpenAPI) -> Any:
    return msgspec.json.decode(openapi.v2.body)["definitions"]


@pytest.fixture(scope="module")
def v3(openapi: OpenAPI) -> Any:
    found: dict[str, Any] = {}
    for path in msgspec.json.decode(openapi.v3_index.body)["paths"]:
        document = openapi.v3(path)
        assert document is not None
        found.update(msgspec.json.decode(document.json.body)["components"]["schemas"])
    return found


def values(schema: Any) -> Any:
    """The enum of a field, or of what a list or map holds."""
    return (schema.get("items") or schema.get("additionalProperties") or schema).get("enum")


def test_as_many_fields_are_enumerated_as_upstream_marks() -> None:
    assert len(FIELDS) == len({entry[:2] for entry in FIELDS}) == 98


@pytest.mark.parametrize("entry", FIELDS, ids=lambda entry: "/".join(entry[:2]))
def test_both_documents_list_the_values_of_a_field(entry: Any, v2: Any, v3: Any) -> None:
    definition, field, enumeration = entry
    for document in (v2, v3):
        schema = document[definition]["properties"][field]
        assert values(schema) == sorted(enumeration.values)
        assert schema.get("default", "") in {"", *enumeration.values}, (
            "a required field's default is empty, as upstream has it"
        )
        assert ("Possible enum values:" in schema["description"]) == (schema["type"] == "string")
    assert set(enumeration.meanings) <= set(enumeration.values)


def test_no_other_field_has_an_enum(v2: Any) -> None:
    found = {
        (name, field)
        for name, schema in v2.items()
        for field, child in schema.get("properties", {}).items()
        if values(child) is not None
    }
    assert found == {(definition, field) for definition, field, _ in FIELDS}


def test_values_follow_the_description_of_a_field(v2: Any) -> None:
    plain = definitions.definition(f"{CORE}.PodSpec")["properties"]["restartPolicy"]
    listed = v2[f"{CORE}.PodSpec"]["properties"]["restartPolicy"]
    assert listed == {
        **plain,
        "description": plain["description"] + RESTART_POLICY,
        "enum": ["Always", "Never", "OnFailure"],
    }
    paths = v2["io.k8s.api.networking.v1.HTTPIngressPath"]["properties"]["pathType"]["description"]
    assert ' - `"Exact"` the very path' in paths


def test_entries_of_lists_and_maps_are_enumerated_rather_than_the_field(v2: Any) -> None:
    status = v2[f"{CORE}.PersistentVolumeClaimStatus"]["properties"]
    assert "enum" not in status["accessModes"]
    assert "ReadWriteOncePod" in status["accessModes"]["items"]["enum"]
    assert "NodeResizePending" in status["allocatedResourceStatuses"]["additionalProperties"]["enum"]


def test_what_validation_takes_is_what_is_listed(v2: Any) -> None:
    assert v2[f"{CORE}.Lifecycle"]["properties"]["stopSignal"]["enum"] == sorted(SIGNALS)
    assert v2[f"{CORE}.HostPathVolumeSource"]["properties"]["type"]["enum"][0] == ""


def test_definitions_that_requests_are_decoded_by_stay_without() -> None:
    before = msgspec.json.encode(definitions.definition(f"{CORE}.PodSpec"))
    assert published(f"{CORE}.PodSpec") != definitions.definition(f"{CORE}.PodSpec")
    assert msgspec.json.encode(definitions.definition(f"{CORE}.PodSpec")) == before
    assert published(f"{CORE}.ConfigMap") is definitions.definition(f"{CORE}.ConfigMap")


def test_the_protobuf_document_lists_them_too(openapi: OpenAPI) -> None:
    assert b'"TerminatingOrFailed"' in openapi.v2_protobuf.body


def test_the_values_are_not_loaded_before_a_document_is_asked_for() -> None:
    program = (
        "import sys; from steersman.schema.groups import REGISTRY; from steersman.schema.openapi import OpenAPI;"
        "from steersman.schema.registry import Registry; documents = OpenAPI(Registry(REGISTRY));"
        "assert 'steersman.schema.enumerations.registry' not in sys.modules; documents.v3('api/v1');"
        "assert 'steersman.schema.enumerations.registry' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
