"""Ownership follows a type whose lists and maps have become atomic."""

from __future__ import annotations

import pytest

from steersman.meta.objects import Object
from steersman.schema.customresources.ownership import compiled
from steersman.schema.managedfields.fieldset import FieldSet
from steersman.schema.managedfields.reconciliation import reconciled
from steersman.schema.managedfields.typed import Type

ENTRY: Object = {"type": "object", "properties": {"name": {"type": "string"}, "v": {"type": "string"}}}
GRANULAR: Object = {
    "list": {"type": "array", "items": ENTRY, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    "set": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
    "map": {"type": "object", "additionalProperties": {"type": "string"}},
    "struct": {"type": "object", "properties": {"x": {"type": "string"}}},
}
ATOMIC: Object = {
    "list": {"type": "array", "items": ENTRY, "x-kubernetes-list-type": "atomic"},
    "set": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "atomic"},
    "map": {**GRANULAR["map"], "x-kubernetes-map-type": "atomic"},
    "struct": {**GRANULAR["struct"], "x-kubernetes-map-type": "atomic"},
}
PARTS: FieldSet = {
    "f:list": {".": {}, 'k:{"name":"a"}': {".": {}, "f:v": {}}},
    "f:set": {'v:"a"': {}},
    "f:map": {"f:a": {}},
    "f:struct": {"f:x": {}},
}


def type_with(properties: Object) -> Type:
    return compiled({"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}})


@pytest.mark.parametrize("name", sorted(ATOMIC))
def test_parts_of_what_is_atomic_now_become_the_whole(name: str) -> None:
    before: FieldSet = {"f:spec": {f"f:{name}": PARTS[f"f:{name}"], "f:other": {}}}
    after = reconciled(before, type_with(ATOMIC))
    assert after == {"f:spec": {f"f:{name}": {}, "f:other": {}}}


def test_atomic_below_elements_of_lists() -> None:
    nested = {**GRANULAR["list"], "items": {**ENTRY, "properties": {"name": {"type": "string"}, "m": ATOMIC["map"]}}}
    before: FieldSet = {"f:spec": {"f:list": {'k:{"name":"a"}': {".": {}, "f:m": {"f:x": {}}}}}}
    after = reconciled(before, type_with({"list": nested}))
    assert after == {"f:spec": {"f:list": {'k:{"name":"a"}': {".": {}, "f:m": {}}}}}


def test_wholes_of_what_is_granular_now_stay_wholes() -> None:
    before: FieldSet = {"f:spec": {name: {} for name in PARTS}}
    assert reconciled(before, type_with(GRANULAR)) is before


def test_a_set_that_fits_comes_back_itself() -> None:
    before: FieldSet = {"f:spec": PARTS}
    assert reconciled(before, type_with(GRANULAR)) is before


def test_fields_that_the_type_does_not_have_stay() -> None:
    before: FieldSet = {"f:spec": {"f:gone": {"f:a": {}}}}
    assert reconciled(before, type_with(GRANULAR)) is before
