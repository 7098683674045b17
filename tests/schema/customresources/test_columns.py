"""Cells of printer columns."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.schema.customresources.columns import columns_of

NOW = 1_767_225_600.0
"""2026-01-01T00:00:00Z."""


def cell(kind: str, value: Any) -> Any:
    column = columns_of({"additionalPrinterColumns": [{"name": "X", "type": kind, "jsonPath": ".x"}]})[1]
    return column.cell({"metadata": {"name": "a"}, "x": value}, NOW)


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("string", "a", "a"),
        ("string", 1, "1"),
        ("string", ["a"], '["a"]'),
        ("integer", 2, 2),
        ("integer", 2.9, 2),
        ("integer", "2", None),
        ("number", 1.5, 1.5),
        ("boolean", True, True),
        ("boolean", "true", None),
        ("date", "2025-12-31T23:00:00Z", "60m"),
        ("date", "soon", "<invalid>"),
        ("date", None, None),
    ],
)
def test_a_cell_is_of_its_columns_type(kind: str, value: Any, expected: Any) -> None:
    assert cell(kind, value) == expected


def test_a_definition_without_columns_shows_the_age() -> None:
    name, age = columns_of({})
    obj = {"metadata": {"name": "a", "creationTimestamp": "2025-12-31T23:59:00Z"}}
    assert (name.name, name.cell(obj, NOW)) == ("Name", "a")
    assert (age.name, age.type, age.cell(obj, NOW)) == ("Age", "date", "60s")


def test_of_a_definition_with_a_malformed_column_only_the_name_is_shown() -> None:
    assert [
        column.name
        for column in columns_of({"additionalPrinterColumns": [{"name": "X", "type": "string", "jsonPath": ".["}]})
    ] == ["Name"]
