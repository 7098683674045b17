"""Each keyword of OpenAPI v3 refuses what upstream refuses, in upstream's words."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.schema.customresources.findings import UNCORRELATED
from steersman.schema.customresources.scalars import pattern_error
from steersman.schema.customresources.validation import compiled

Schema = dict[str, Any]


def field(schema: Schema, value: Any) -> tuple[Schema, Any]:
    """The schema of an object whose field ``x`` is of ``schema``, and an object with it."""
    return {"type": "object", "properties": {"x": schema}}, {"x": value}


def texts(schema: Schema, value: Any) -> list[str]:
    return [str(error) for error in compiled(schema).errors(value)]


BAD: list[tuple[Schema, Any, list[str]]] = [
    ({"type": "integer"}, "a", ['x: Invalid value: "string": x in body must be of type integer: "string"']),
    ({"type": "string"}, 1, ['x: Invalid value: "integer": x in body must be of type string: "integer"']),
    ({"type": "string"}, None, ['x: Invalid value: "null": x in body must be of type string: "null"']),
    ({"type": "boolean"}, 0, ['x: Invalid value: "integer": x in body must be of type boolean: "integer"']),
    ({"type": "integer"}, True, ['x: Invalid value: "boolean": x in body must be of type integer: "boolean"']),
    ({"type": "object"}, [], ['x: Invalid value: "array": x in body must be of type object: "array"']),
    ({"type": "array", "items": {}}, {}, ['x: Invalid value: "object": x in body must be of type array: "object"']),
    (
        {"type": "integer"},
        1.5,
        [
            'x: Invalid value: "number": x in body must be of type integer: "number"',
            '<nil>: Invalid value: "": Checked value must be of type integer (default format) in x',
        ],
    ),
    (
        {"type": "integer", "format": "int32"},
        2**31,
        ['<nil>: Invalid value: "": Checked value must be of type integer with format int32 in x'],
    ),
    ({"type": "integer", "format": "int32"}, {}, ['x: Invalid value: "": x in body must be of type int32: ""']),
    ({"type": "string", "format": "ipv4"}, "a", ['x: Invalid value: "a": x in body must be of type ipv4: "a"']),
    (
        {"type": "string", "format": "date-time"},
        "a",
        ['x: Invalid value: "a": x in body must be of type date-time: "a"'],
    ),
    ({"type": "string", "enum": ["a", "b"]}, "c", ['x: Unsupported value: "c": supported values: "a", "b"']),
    ({"type": "integer", "enum": [1, 2]}, 3, ['x: Unsupported value: 3: supported values: "1", "2"']),
    ({"type": "string", "maxLength": 2}, "abc", ["x: Too long: may not be more than 2 bytes"]),
    (
        {"type": "string", "minLength": 2},
        "ä",
        ['x: Invalid value: "ä": x in body should be at least 2 chars long'],
    ),
    ({"type": "string", "pattern": "^a+$"}, "ab", ["x: Invalid value: \"ab\": x in body should match '^a+$'"]),
    ({"type": "integer", "maximum": 3}, 4, ["x: Invalid value: 4: x in body should be less than or equal to 3"]),
    (
        {"type": "integer", "maximum": 3, "exclusiveMaximum": True},
        3,
        ["x: Invalid value: 3: x in body should be less than 3"],
    ),
    (
        {"type": "number", "minimum": 0.5},
        0.25,
        ["x: Invalid value: 0.25: x in body should be greater than or equal to 0.5"],
    ),
    (
        {"type": "number", "minimum": 1, "exclusiveMinimum": True},
        1,
        ["x: Invalid value: 1: x in body should be greater than 1"],
    ),
    ({"type": "integer", "multipleOf": 3}, 4, ["x: Invalid value: 4: x in body should be a multiple of 3"]),
    ({"type": "number", "multipleOf": 0.1}, 0.25, ["x: Invalid value: 0.25: x in body should be a multiple of 0.1"]),
    (
        {"type": "array", "items": {"type": "string"}, "minItems": 2},
        ["a"],
        ["x: Invalid value: 1: x in body should have at least 2 items"],
    ),
    (
        {"type": "array", "items": {"type": "string"}, "maxItems": 1},
        ["a", "b"],
        ["x: Too many: 2: must have at most 1 item"],
    ),
    (
        {"type": "array", "items": {"type": "string"}},
        ["a", 1],
        ['x[1]: Invalid value: "integer": x[1] in body must be of type string: "integer"'],
    ),
    ({"type": "object", "required": ["y"]}, {}, ["x.y: Required value"]),
    ({"type": "object", "minProperties": 1}, {}, ["x: Invalid value: 0: x in body should have at least 1 properties"]),
    ({"type": "object", "maxProperties": 1}, {"a": 1, "b": 1}, ["x: Too many: 2: must have at most 1 item"]),
    (
        {"type": "object", "additionalProperties": {"type": "string"}},
        {"a": 1},
        ['x.a: Invalid value: "integer": x.a in body must be of type string: "integer"'],
    ),
    (
        {"x-kubernetes-int-or-string": True},
        True,
        ['x: Invalid value: "boolean": x in body must be of type integer,string: "boolean"'],
    ),
    (
        {"type": "integer", "allOf": [{"minimum": 2}, {"maximum": 5}]},
        1,
        [
            "x: Invalid value: 1: x in body should be greater than or equal to 2",
            '<nil>: Invalid value: "": "x" must validate all the schemas (allOf)',
        ],
    ),
    (
        {"type": "integer", "anyOf": [{"minimum": 2}, {"maximum": 0}]},
        1,
        [
            '<nil>: Invalid value: "": "x" must validate at least one schema (anyOf)',
            "x: Invalid value: 1: x in body should be greater than or equal to 2",
        ],
    ),
    (
        {"type": "integer", "oneOf": [{"minimum": 2}, {"maximum": 5}]},
        3,
        ['<nil>: Invalid value: "": "x" must validate one and only one schema (oneOf). Found 2 valid alternatives'],
    ),
    (
        {
            "type": "object",
            "properties": {"a": {"type": "string"}},
            "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
        },
        {},
        [
            '<nil>: Invalid value: "": "x" must validate one and only one schema (oneOf). Found none valid',
            "x.a: Required value",
        ],
    ),
    (
        {"type": "string", "not": {"enum": ["a"]}},
        "a",
        ['<nil>: Invalid value: "": "x" must not validate the schema (not)'],
    ),
]


@pytest.mark.parametrize(("schema", "value", "expected"), BAD)
def test_a_bad_value_is_refused_in_upstreams_words(schema: Schema, value: Any, expected: list[str]) -> None:
    assert texts(*field(schema, value)) == expected


GOOD: list[tuple[Schema, Any]] = [
    ({"type": "integer"}, 1.0),
    ({"type": "number"}, 1),
    ({"type": "string", "nullable": True}, None),
    ({}, {"anything": [1, None]}),
    ({"x-kubernetes-preserve-unknown-fields": True}, 7),
    ({"x-kubernetes-int-or-string": True}, 1),
    ({"x-kubernetes-int-or-string": True}, "50%"),
    ({"type": "string", "maxLength": 1}, "ä"),
    ({"type": "string", "format": "unheard-of"}, "a"),
    ({"type": "integer", "enum": [1]}, 1.0),
    ({"type": "number", "multipleOf": 0.01}, 0.07),
    ({"type": "string", "pattern": "b"}, "abc"),
    ({"type": "object", "properties": {"y": {"type": "string"}}}, {"z": 1}),
    ({"type": "integer", "anyOf": [{"minimum": 2}, {"maximum": 0}]}, 0),
    ({"type": "integer", "oneOf": [{"minimum": 2}, {"maximum": 0}]}, 0),
    ({"type": "string", "not": {"enum": ["a"]}}, "b"),
]


@pytest.mark.parametrize(("schema", "value"), GOOD)
def test_a_good_value_is_accepted(schema: Schema, value: Any) -> None:
    assert texts(*field(schema, value)) == []


def test_the_best_failed_alternative_is_told() -> None:
    """Upstream counts the checks that matched: the alternative that got furthest explains the failure."""
    schema = {
        "type": "object",
        "anyOf": [
            {"properties": {"kind": {"enum": ["a"]}, "size": {"minimum": 1}}, "required": ["kind"]},
            {"properties": {"kind": {"enum": ["b"]}, "size": {"minimum": 9}, "name": {"pattern": "^x"}}},
        ],
    }
    assert texts(schema, {"kind": "b", "size": 3, "name": "x"})[1:] == [
        "size: Invalid value: 3: size in body should be greater than or equal to 9"
    ]


def test_the_same_thing_is_told_once() -> None:
    schema = {"type": "object", "required": ["a"], "allOf": [{"required": ["a"]}]}
    assert [text for text in texts(schema, {}) if "Required" in text] == ["a: Required value"]


def test_errors_are_below_the_field_that_is_validated() -> None:
    found = compiled({"type": "object", "required": ["a"]}).errors({}, field="status")
    assert [str(error) for error in found] == ["status.a: Required value"]


# -- ratcheting

LISTED: Schema = {
    "type": "object",
    "properties": {
        "size": {"type": "integer", "maximum": 3},
        "list": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "items": {
                "type": "object",
                "properties": {"name": {"type": "string"}, "n": {"type": "integer", "maximum": 3}},
            },
        },
        "atomic": {"type": "array", "items": {"type": "integer", "maximum": 3}},
    },
}


@pytest.mark.parametrize(
    ("old", "new", "fields"),
    [
        ({"size": 9}, {"size": 9, "list": []}, []),
        ({"size": 9}, {"size": 8}, ["size"]),
        ({"list": [{"name": "a", "n": 9}]}, {"list": [{"name": "b"}, {"name": "a", "n": 9}]}, []),
        ({"list": [{"name": "a", "n": 9}]}, {"list": [{"name": "b", "n": 9}]}, ["list[0].n"]),
        ({"atomic": [9]}, {"atomic": [9], "size": 1}, []),
        ({"atomic": [9]}, {"atomic": [9, 1]}, ["atomic[0]"]),
    ],
)
def test_what_has_not_changed_is_forgiven(old: Any, new: Any, fields: list[str]) -> None:
    assert [error.field for error in compiled(LISTED).update_errors(new, old)] == fields


def test_without_an_old_value_nothing_is_forgiven() -> None:
    assert len(compiled(LISTED).update_errors({"size": 9}, UNCORRELATED)) == 1


def test_a_malformed_pattern_is_told_as_go_tells_it() -> None:
    assert pattern_error("a{,") == ""
    assert pattern_error("(") == "error parsing regexp: missing closing ): `(`"
    assert pattern_error("(?=a)") == "error parsing regexp: invalid or unsupported Perl syntax: `(?=`"
