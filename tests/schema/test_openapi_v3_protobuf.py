"""The protobuf form of OpenAPI v3 says what the JSON form says, read by protobuf's own runtime."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from steersman.schema.groups import REGISTRY
from steersman.schema.openapi import OpenAPI
from steersman.schema.openapi_v3_protobuf import encode
from steersman.schema.registry import Registry
from tests.schema.gnostic import decoded

EVERY_KEYWORD: dict[str, Any] = {
    "type": "object",
    "title": "T",
    "description": "of everything",
    "nullable": True,
    "required": ["count"],
    "minProperties": 1,
    "maxProperties": 300,
    "externalDocs": {"url": "http://example.com", "description": "more"},
    "example": {"count": [1, "x"]},
    "x-kubernetes-validations": [{"rule": "self.count > 0", "message": "must be: more"}],
    "properties": {
        "count": {
            "type": "integer", "format": "int64", "minimum": -2, "maximum": 1e30, "exclusiveMinimum": True,
            "exclusiveMaximum": True, "multipleOf": 0.5, "default": 0, "not": {"enum": [5]},
        },
        "text": {"type": "string", "minLength": 1, "maxLength": 2**40, "pattern": "^[a-ü]$", "enum": ["a", "1", "true"], "default": ""},
        "flag": {"type": "boolean", "default": False},
        "list": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 4, "uniqueItems": True},
        "map": {"type": "object", "additionalProperties": {"type": "integer"}},
        "open": {"type": "object", "additionalProperties": True},
        "closed": {"type": "object", "additionalProperties": False},
        "either": {"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": True},
        "one": {"oneOf": [{"$ref": "#/components/schemas/Whale"}], "readOnly": True},
        "all": {"allOf": [{"$ref": "#/components/schemas/Whale"}], "writeOnly": True, "deprecated": True},
        "itself": {"$ref": "#/components/schemas/Whale"},
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def openapi() -> OpenAPI:
    return OpenAPI(Registry(REGISTRY), release="v1.36.0")


def without_empty_texts(value: Any) -> Any:
    """What proto3 does not tell from what is absent."""
    if isinstance(value, list):
        return [without_empty_texts(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    return {key: without_empty_texts(entry) for key, entry in value.items() if key != "description" or entry != ""}


def test_every_document_of_the_built_in_kinds_reads_the_same(openapi: OpenAPI) -> None:
    for path in msgspec.json.decode(openapi.v3_index.body)["paths"]:
        document = openapi.v3(path)
        assert document is not None
        assert decoded(document.protobuf.body) == without_empty_texts(msgspec.json.decode(document.json.body)), path
        assert document.protobuf.etag == document.json.etag


def test_every_keyword_of_a_schema_is_written() -> None:
    document = {
        "openapi": "3.0.0",
        "info": {"title": "whales", "version": "v1"},
        "paths": {},
        "components": {"schemas": {"Whale": EVERY_KEYWORD}},
    }
    assert decoded(encode(document)) == document


@pytest.mark.parametrize("default", [{"a": 1}, [], None])
def test_defaults_that_the_format_cannot_say_are_there_without_a_value(default: Any) -> None:
    schema = {"type": "object", "default": default}
    document = {"openapi": "3.0.0", "paths": {}, "components": {"schemas": {"Whale": schema}}}
    assert decoded(encode(document))["components"]["schemas"]["Whale"] == {"type": "object", "default": {}}
