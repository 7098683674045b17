"""Objects are pruned, freed of nulls and defaulted as their schema says; what is right already comes back as itself."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.meta.errors import BadRequest
from steersman.schema.customresources.coercion import Coercion

HEAD = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a"}}
PRESERVE = "x-kubernetes-preserve-unknown-fields"


def schema(spec: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {"spec": spec}}


def struct(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


STRING = {"type": "string"}


@pytest.mark.parametrize(
    ("spec", "given", "kept", "unknown"),
    [
        (struct(a=STRING), {"a": "x", "b": 1}, {"a": "x"}, ["spec.b"]),
        (struct(a=struct(b=STRING)), {"a": {"b": "x", "c": 1}}, {"a": {"b": "x"}}, ["spec.a.c"]),
        (
            struct(a={"type": "array", "items": struct(b=STRING)}),
            {"a": [{"b": "x"}, {"c": 1}]},
            {"a": [{"b": "x"}, {}]},
            ["spec.a[1].c"],
        ),
        (
            {"type": "object", "additionalProperties": struct(b=STRING)},
            {"k": {"b": "x", "c": 1}},
            {"k": {"b": "x"}},
            ["spec.k.c"],
        ),
        ({"type": "object", PRESERVE: True}, {"a": {"b": 1}}, {"a": {"b": 1}}, []),
        (
            {**struct(a=struct(b=STRING)), PRESERVE: True},
            {"a": {"c": 1}, "z": {"y": 1}},
            {"a": {}, "z": {"y": 1}},
            ["spec.a.c"],
        ),
        (struct(a=STRING), {"a": {"b": 1}}, {"a": {}}, ["spec.a.b"]),
        (struct(a=STRING), {"a": None}, {}, []),
        (struct(a={**STRING, "nullable": True}), {"a": None}, {"a": None}, []),
        (struct(a={**STRING, "default": "x"}), {"a": None}, {"a": None}, []),
        (
            struct(
                a={"type": "object", "x-kubernetes-embedded-resource": True, "properties": {"spec": struct(b=STRING)}}
            ),
            {"a": {**HEAD, "spec": {"b": "x", "c": 1}, "other": 1}},
            {"a": {**HEAD, "spec": {"b": "x"}}},
            ["spec.a.spec.c", "spec.a.other"],
        ),
    ],
)
def test_unknown_fields_and_nulls_go(spec: Any, given: Any, kept: Any, unknown: list[str]) -> None:
    found: list[str] = []
    obj = {**HEAD, "spec": given}
    assert Coercion(schema(spec)).coerced(obj, found) == {**HEAD, "spec": kept}
    assert found == unknown
    assert Coercion(schema(spec)).coerced(obj) == {**HEAD, "spec": kept}


def test_metadata_is_that_of_every_object() -> None:
    found: list[str] = []
    obj = {**HEAD, "metadata": {"name": "a", "foo": 1}}
    assert Coercion(schema(struct())).coerced(obj, found)["metadata"] == {"name": "a"}
    assert found == ["metadata.foo"]


@pytest.mark.parametrize(
    ("obj", "text"),
    [
        ({**HEAD, "metadata": {"labels": {"a": 1}}}, "json: cannot unmarshal number into"),
        ({**HEAD, "spec": {"a": {**HEAD, "kind": 1}}}, "spec.a.kind: Invalid value: 1: must be a string"),
        ({**HEAD, "spec": {"a": {**HEAD, "metadata": {"labels": 1}}}}, "spec.a.metadata: Invalid value: "),
    ],
)
def test_malformed_metadata_is_refused(obj: Any, text: str) -> None:
    embedded = {"type": "object", "x-kubernetes-embedded-resource": True, PRESERVE: True}
    with pytest.raises(BadRequest) as error:
        Coercion(schema(struct(a=embedded))).coerced(obj)
    assert error.value.message.startswith(text)


@pytest.mark.parametrize(
    ("spec", "given", "expected"),
    [
        (struct(a={**STRING, "default": "x"}), {}, {"a": "x"}),
        (struct(a={**STRING, "default": "x"}), {"a": None}, {"a": "x"}),
        (struct(a={**STRING, "default": "x", "nullable": True}), {"a": None}, {"a": None}),
        (struct(a={**STRING, "default": "x"}), {"a": "y"}, {"a": "y"}),
        (struct(a={**struct(b={**STRING, "default": "x"}), "default": {}}), {}, {"a": {"b": "x"}}),
        (struct(a={**struct(b={**STRING, "default": "x"})}), {}, {}),
        (
            struct(a={"type": "array", "items": struct(b={"type": "integer", "default": 1})}),
            {"a": [{}, {"b": 2}]},
            {"a": [{"b": 1}, {"b": 2}]},
        ),
        (
            {"type": "object", "additionalProperties": struct(b={"type": "integer", "default": 1})},
            {"k": {}},
            {"k": {"b": 1}},
        ),
        (struct(a={**struct(b=STRING), "default": {"b": "x", "c": "pruned"}}), {}, {"a": {"b": "x"}}),
    ],
)
def test_defaults_are_filled_in(spec: Any, given: Any, expected: Any) -> None:
    assert Coercion(schema(spec)).defaulted({**HEAD, "spec": given}) == {**HEAD, "spec": expected}


def test_a_default_is_nobody_elses() -> None:
    coercion = Coercion(schema(struct(a={"type": "array", "items": STRING, "default": ["x"]})))
    first, second = (coercion.defaulted({**HEAD, "spec": {}}) for _ in range(2))
    first["spec"]["a"].append("y")
    assert second["spec"]["a"] == ["x"]


def test_an_object_that_is_right_comes_back_as_itself() -> None:
    coercion = Coercion(schema(struct(a={**STRING, "default": "x"}, b={"type": "array", "items": struct(c=STRING)})))
    obj = {**HEAD, "spec": {"a": "y", "b": [{"c": "z"}]}}
    assert coercion.defaulted(coercion.coerced(obj)) is obj


def test_what_is_given_is_left_alone() -> None:
    obj = {**HEAD, "spec": {"b": {"c": 1}}}
    Coercion(schema(struct(a={**STRING, "default": "x"}))).coerced(obj)
    Coercion(schema(struct(a={**STRING, "default": "x"}))).defaulted(obj)
    assert obj == {**HEAD, "spec": {"b": {"c": 1}}}
