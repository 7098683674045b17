"""Objects that a changed definition has made invalid: what may still be written (the conformance suite's cases, by apply)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from steersman.client.api import APPLY_PATCH, Client
from steersman.meta.errors import Invalid
from steersman.meta.objects import Object
from tests.apiserver.extensions.builders import WIDGETS, definition, version
from tests.apiserver.extensions.conftest import Define

OPEN = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
CEL_PLACES = ("field", "struct.field", "list[0].field", "list[1].field", "map[foo].field", "map[bar].field")
SCHEMA_PLACES = ("field", "struct.field", "list[0].field", "list[1].field", "map.foo.field", "map.bar.field")


def _schema(field: Object) -> Object:
    """``field`` in every place whose old value can be told."""
    struct = {"type": "object", "properties": {"field": field, "other": {"type": "string"}}}
    item = {
        "type": "object",
        "required": ["key"],
        "properties": {"key": {"type": "string"}, "field": field, "other": {"type": "string"}},
    }
    keyed = {
        "type": "array",
        "maxItems": 5,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["key"],
        "items": item,
    }
    mapped = {"type": "object", "maxProperties": 5, "additionalProperties": struct}
    return {"type": "object", "properties": {"field": field, "struct": struct, "list": keyed, "map": mapped}}


def _lists(item: Object) -> Object:
    plain = {"type": "array", "items": item}
    return {
        "type": "object",
        "properties": {"atomicArray": plain, "setArray": {**plain, "x-kubernetes-list-type": "set"}},
    }


def _values(value: str, **more: str) -> Object:
    part = {"field": value, **more}
    return {
        "field": value,
        "struct": part,
        "list": [{"key": "foo", **part}, {"key": "bar", **part}],
        "map": {"foo": part, "bar": part},
    }


async def _apply(client: Client, values: Object, **labels: str) -> Object:
    metadata: dict[str, Any] = {"name": "a", **({"labels": labels} if labels else {})}
    obj = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": metadata, **values}
    return await client.patch(WIDGETS, "a", obj, namespace="default", patch_type=APPLY_PATCH, field_manager="manager")


def _ruled(rule: str, **more: Any) -> Object:
    return {"type": "string", "maxLength": 10, "x-kubernetes-validations": [{"rule": rule, **more}]}


async def _redefine(define: Define, schema: Object) -> None:
    await define(definition(version(schema=schema)))


@pytest.mark.parametrize(
    "field", [{"type": "string", "enum": ["other"]}, _ruled("self == 'other'")], ids=["schema", "cel"]
)
async def test_what_has_not_changed_may_stay_wrong(client: Client, define: Define, field: Object) -> None:
    await _redefine(define, OPEN)
    await _apply(client, _values("foo"))
    await _redefine(define, _schema(field))
    await _apply(client, _values("foo"), foo="bar")
    changed = await _apply(client, _values("foo", other="doesnt matter"))
    assert changed["list"][1] == {"key": "bar", "field": "foo", "other": "doesnt matter"}


@pytest.mark.parametrize(
    ("item"), [{"type": "string", "enum": ["fine"]}, _ruled("self != 'foo'")], ids=["schema", "cel"]
)
async def test_elements_that_cannot_be_told_apart_are_judged_anew(client: Client, define: Define, item: Object) -> None:
    await _redefine(define, OPEN)
    lists = {"setArray": ["foo", "bar"], "atomicArray": ["foo", "bar"]}
    await _apply(client, lists)
    await _redefine(define, _lists(item))
    await _apply(client, lists, unchanged="lists")
    with pytest.raises(Invalid) as error:
        await _apply(client, {name: [*values, "fine"] for name, values in lists.items()}, foo="bar")
    assert "atomicArray[0]" in error.value.message
    assert "setArray[0]" in error.value.message


@pytest.mark.parametrize(
    ("field", "places"),
    [({"type": "string", "enum": ["foo"]}, SCHEMA_PLACES), (_ruled("self == 'foo'"), CEL_PLACES)],
    ids=["schema", "cel"],
)
async def test_what_has_changed_must_be_right(
    client: Client, define: Define, field: Object, places: tuple[str, ...]
) -> None:
    await _redefine(define, OPEN)
    await _apply(client, _values("foo"))
    await _redefine(define, _schema(field))
    with pytest.raises(Invalid) as error:
        await _apply(client, _values("notfoo"))
    assert tuple(cause["field"] for cause in error.value.details["causes"]) == places


async def test_transition_rules_are_never_forgiven(client: Client, define: Define) -> None:
    await _redefine(define, OPEN)
    await _apply(client, _values("foo"))
    await _redefine(define, _schema(_ruled("self != oldSelf")))
    with pytest.raises(Invalid) as error:
        await _apply(client, _values("foo"), foo="bar")
    assert tuple(cause["field"] for cause in error.value.details["causes"]) == CEL_PLACES


async def test_an_optional_old_value_is_absent_for_new_ones(client: Client, define: Define) -> None:
    rule = _ruled("!oldSelf.hasValue() || self != oldSelf.value()", optionalOldSelf=True)
    await _redefine(define, _schema(rule))
    await _apply(client, _values("foo"))
    with pytest.raises(Invalid) as error:
        await _apply(client, _values("foo"), foo="bar")
    assert tuple(cause["field"] for cause in error.value.details["causes"]) == CEL_PLACES
    await _apply(client, _values("new"))


async def test_all_that_is_wrong_with_a_new_object_is_told_at_once(client: Client, define: Define) -> None:
    schema = _schema({"type": "string"})
    schema["properties"]["sentinel"] = {"type": "string", "enum": ["a-unique-value"]}
    await _redefine(define, schema)
    metadata = {"name": "s", "finalizers": ["unqualified-finalizer"], "labels": {"#inv/($%)/alid=": ">htt$://"}}
    obj = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": metadata, "sentinel": "1"}
    answer = await client.request("POST", WIDGETS.path("default"), body=msgspec.json.encode(obj))
    assert answer.status == 422
    assert 'supported values: "a-unique-value"' in answer.content["message"]
    assert "metadata.labels: Invalid value" in answer.content["message"]
