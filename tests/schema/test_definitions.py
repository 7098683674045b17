"""Definitions read as upstream's OpenAPI v2 document has them."""

from __future__ import annotations

import pytest

from steersman.schema import definitions

POD = "io.k8s.api.core.v1.Pod"


def test_all_definitions_of_v1_36_are_there() -> None:
    assert len(definitions.names()) == 771
    assert definitions.exists(POD)
    assert not definitions.exists("io.k8s.api.core.v1.Whale")
    with pytest.raises(definitions.UnknownDefinition):
        definitions.definition("io.k8s.api.core.v1.Whale")


def test_no_trace_of_the_extracts_additions_is_left() -> None:
    def check(schema: definitions.Definition) -> None:
        assert isinstance(schema.get("type", ""), str)
        assert "oneOf" not in schema
        for child in schema.get("properties", {}).values():
            check(child)
        for key in ("items", "additionalProperties"):
            if key in schema:
                check(schema[key])

    for name in definitions.names():
        check(definitions.definition(name))
    assert "enum" not in definitions.definition(POD)["properties"]["kind"]
    assert definitions.definition(definitions.INT_OR_STRING)["format"] == "int-or-string"


def test_references_resolve() -> None:
    pod = definitions.definition(POD)
    spec = definitions.resolve(pod["properties"]["spec"])
    assert spec is definitions.definition("io.k8s.api.core.v1.PodSpec")
    reached = definitions.references(POD)
    assert "io.k8s.api.core.v1.Probe" in reached
    assert "io.k8s.api.apps.v1.Deployment" not in reached


def test_self_referring_definitions_are_walked_once() -> None:
    schema = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"
    assert schema in definitions.references(schema)
