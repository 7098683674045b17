"""What OpenAPI says of custom resources."""

from __future__ import annotations

from typing import Any

from steersman.schema.customresources.publishing import published, v2_form

SPEC = {"group": "stable.example.com", "names": {"plural": "crontabs"}}


def definition(schema: Any, **version: Any) -> Any:
    found = published(
        SPEC, {"name": "v1", "schema": {"openAPIV3Schema": schema}, **version}, kind="CronTab", list_kind="CronTabs"
    )
    return found["com.example.stable.v1.CronTab"]


def test_definitions_are_named_by_the_reversed_group() -> None:
    found = published(SPEC, {"name": "v1"}, kind="CronTab", list_kind="CronTabs")
    assert sorted(found) == ["com.example.stable.v1.CronTab", "com.example.stable.v1.CronTabs"]


def test_an_object_has_what_all_objects_have() -> None:
    found = definition({"type": "object", "properties": {"spec": {"type": "object"}}})
    assert sorted(found["properties"]) == ["apiVersion", "kind", "metadata", "spec"]
    assert found["x-kubernetes-group-version-kind"] == [
        {"group": "stable.example.com", "version": "v1", "kind": "CronTab"}
    ]


def test_selectable_fields_are_told() -> None:
    found = definition({"type": "object"}, selectableFields=[{"jsonPath": ".spec.color"}])
    assert found["x-kubernetes-selectable-fields"] == [{"fieldPath": "spec.color"}]


def test_an_embedded_object_has_metadata_and_needs_its_kind() -> None:
    found = definition(
        {"type": "object", "properties": {"t": {"type": "object", "x-kubernetes-embedded-resource": True}}}
    )
    embedded = found["properties"]["t"]
    assert sorted(embedded["properties"]) == ["apiVersion", "kind", "metadata"]
    assert embedded["required"] == ["kind", "apiVersion"]


def test_v2_leaves_out_what_its_readers_cannot_take() -> None:
    schema = {
        "type": "object",
        "required": ["a", "b"],
        "properties": {
            "a": {"type": "string", "nullable": True},
            "b": {"type": "integer", "oneOf": [{"minimum": 1}]},
            "c": {
                "type": "object",
                "x-kubernetes-preserve-unknown-fields": True,
                "properties": {"d": {"type": "string"}},
            },
        },
    }
    found = v2_form(definition(schema))
    assert found["required"] == ["b"]
    assert found["properties"]["a"] == {}
    assert found["properties"]["b"] == {"type": "integer"}
    assert found["properties"]["c"] == {"x-kubernetes-preserve-unknown-fields": True}


def test_integers_or_strings_say_so_in_standard_words() -> None:
    either = [{"type": "integer"}, {"type": "string"}]
    marked: dict[str, Any] = {"x-kubernetes-int-or-string": True}
    schema = {
        "type": "object",
        "properties": {
            "plain": marked,
            "said": {**marked, "anyOf": either},
            "in-all": {**marked, "allOf": [{"anyOf": either}, {"not": {}}]},
            "bounded": {**marked, "anyOf": [{"maximum": 9}], "allOf": [{"not": {}}]},
        },
    }
    found = definition(schema)["properties"]
    assert found["plain"]["anyOf"] == found["said"]["anyOf"] == either
    assert found["in-all"] == {**marked, "allOf": [{"anyOf": either}, {"not": {}}]}
    assert found["bounded"]["allOf"] == [{"anyOf": either}, {"not": {}}]
    assert v2_form(definition(schema))["properties"]["plain"] == marked


def test_v2_has_no_defaults_and_asks_nothing_of_embedded_objects_that_keep_unknown_fields() -> None:
    template = {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True}
    schema = {"type": "object", "properties": {"n": {"type": "integer", "default": 1}, "t": template}}
    held = definition(schema)
    assert held["properties"]["n"]["default"] == 1
    assert held["properties"]["t"]["required"] == ["kind", "apiVersion"]
    found = v2_form(held)["properties"]
    assert found["n"] == {"type": "integer"}
    assert "required" not in found["t"]


def test_v2_says_nothing_of_an_object_that_keeps_unknown_fields() -> None:
    found = v2_form(definition({"type": "object", "x-kubernetes-preserve-unknown-fields": True}))
    assert sorted(found) == ["type", "x-kubernetes-group-version-kind"]
