"""JSON -> protobuf -> JSON is the identity for every kind that is served."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steersman.schema import definitions
from steersman.schema.groups import REGISTRY
from steersman.schema.kind import Kind
from steersman.schema.protobuf import tables
from steersman.schema.protobuf.envelope import decode_object, encode_object, message_of
from tests.schema.protobuf.canonical import objects

_OTHERS = [
    ("v1", "Status"),
    ("v1", "List"),
    ("v1", "Binding"),
    ("v1", "APIGroupList"),
    ("v1", "APIResourceList"),
    ("v1", "APIVersions"),
    ("apps/v1", "DeleteOptions"),
    ("autoscaling/v1", "Scale"),
    ("policy/v1", "Eviction"),
    ("authentication.k8s.io/v1", "TokenRequest"),
    ("meta.k8s.io/v1", "PartialObjectMetadata"),
    ("meta.k8s.io/v1beta1", "PartialObjectMetadata"),
    ("meta.k8s.io/v1beta1", "PartialObjectMetadataList"),
    ("apidiscovery.k8s.io/v2", "APIGroupDiscoveryList"),
]
KINDS = [(kind.resource.api_version, kind.resource.kind) for kind in REGISTRY]


@pytest.mark.parametrize(("api_version", "kind"), sorted({*KINDS, *_OTHERS}), ids="/".join)
def test_canonical_objects_come_back(api_version: str, kind: str) -> None:
    @settings(max_examples=6, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def comes_back(data: st.DataObject) -> None:
        obj = {"apiVersion": api_version, "kind": kind, **data.draw(objects(message_of(api_version, kind)))}
        assert decode_object(encode_object(obj)) == obj

    comes_back()


@pytest.mark.parametrize("kind", REGISTRY, ids=lambda kind: f"{kind.resource.api_version}/{kind.resource.kind}")
def test_tables_name_the_fields_that_the_definitions_name(kind: Kind) -> None:
    """Names and list, map or object shapes, down to the scalars."""
    name = message_of(kind.resource.api_version, kind.resource.kind)
    _same_fields(name, kind.definition, set())


def _same_fields(name: str, definition: str, seen: set[str]) -> None:
    if name in seen or "properties" not in definitions.definition(definition):
        return
    seen.add(name)
    properties = definitions.definition(definition)["properties"]
    fields = {field.name: field for field in _flat(name)}
    assert set(properties) - {"apiVersion", "kind"} == set(fields) - {"apiVersion", "kind"}, name
    for key, field in fields.items():
        schema: dict[str, Any] = properties[key]
        if field.shape == "list":
            assert schema["type"] == "array", (name, key)
            schema = schema["items"]
        elif field.shape == "map":
            assert schema["type"] == "object", (name, key)
            schema = schema["additionalProperties"]
        target = definitions.reference(schema)
        if target and field.type not in tables.SCALARS and tables.exists(field.type):
            _same_fields(field.type, target, seen)


def _flat(name: str) -> list[tables.Field]:
    found: list[tables.Field] = []
    for field in tables.message(name).fields:
        found += _flat(field.type) if field.is_inline else [field]
    return found
