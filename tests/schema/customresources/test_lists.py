"""Sets and maps have no element twice."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.schema.customresources.lists import list_errors

MAP = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": {"type": "object"}}
PAIRS = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k", "l"], "items": {"type": "object"}}
SET = {"x-kubernetes-list-type": "set", "items": {"type": "string"}}


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        (SET, ["a", "b"], []),
        (SET, ["a", "b", "a", "a"], ['x[2]: Duplicate value: "a"']),
        (SET, [{"a": 1, "b": 2}, {"b": 2, "a": 1}], ['x[1]: Duplicate value: {"b":2,"a":1}']),
        (MAP, [{"k": 1}, {"k": 2}], []),
        (MAP, [{"k": 1, "v": 1}, {"k": 1, "v": 2}], ['x[1]: Duplicate value: {"k":1}']),
        (MAP, [{}, {}], ["x[1]: Duplicate value: {}"]),
        (MAP, [1], ["x[0]: Invalid value: 1: must be an object for an array of list-type map"]),
        (PAIRS, [{"k": 1, "l": 1}, {"k": 1, "l": 2}], []),
        (PAIRS, [{"k": 1, "l": 1}, {"k": 1, "l": 1}], ['x[1]: Duplicate value: {"k":1,"l":1}']),
        ({"items": {"properties": {"y": SET}}}, [{"y": ["a", "a"]}], ['x[0].y[1]: Duplicate value: "a"']),
        ({"additionalProperties": SET}, {"k": ["a", "a"]}, ['x[k][1]: Duplicate value: "a"']),
        ({"items": {"type": "string"}}, ["a", "a"], []),
    ],
)
def test_repetitions_are_told(schema: Any, value: Any, expected: list[str]) -> None:
    found = list_errors({"type": "object", "properties": {"x": schema}}, {"x": value})
    assert [str(error) for error in found] == expected
