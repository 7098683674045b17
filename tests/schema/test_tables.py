"""Tables carry cells, heads and as much of each object as was asked for."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from steersman.meta import resources
from steersman.meta.errors import BadRequest
from steersman.schema import tables
from steersman.schema.cells import age
from steersman.schema.kind import Column, Kind

PLAIN = Kind(
    resource=resources.CONFIGMAPS,
    definition="io.k8s.api.core.v1.ConfigMap",
    singular="configmap",
    storage_prefix="configmaps",
)
WITH_COLUMNS = replace(
    PLAIN,
    columns=(
        Column(name="Name", format="name", cell=lambda obj, now: obj["metadata"]["name"]),
        Column(name="Data", type="integer", cell=lambda obj, now: len(obj.get("data", {}))),
        Column(name="Age", priority=1, cell=lambda obj, now: age(obj["metadata"].get("creationTimestamp"), now)),
    ),
)


def config_map(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "creationTimestamp": "1970-01-01T00:01:00Z"},
        "data": {"a": "1"},
    }


def test_cells_come_from_the_kinds_columns() -> None:
    table = tables.table(
        WITH_COLUMNS, [config_map("a")], now=65, list_metadata={"resourceVersion": "7", "continue": ""}
    )
    assert table["kind"] == "Table"
    assert table["apiVersion"] == "meta.k8s.io/v1"
    assert table["metadata"] == {"resourceVersion": "7"}
    assert [(column["name"], column["type"], column["priority"]) for column in table["columnDefinitions"]] == [
        ("Name", "string", 0),
        ("Data", "integer", 0),
        ("Age", "string", 1),
    ]
    assert table["rows"][0]["cells"] == ["a", 1, "5s"]


def test_kinds_without_columns_show_name_and_creation() -> None:
    table = tables.table(PLAIN, [config_map("a"), {"metadata": {"name": "b"}}], now=65)
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Created At"]
    assert [row["cells"] for row in table["rows"]] == [["a", "1970-01-01T00:01:00Z"], ["b", "0001-01-01T00:00:00Z"]]
    assert table["columnDefinitions"][0]["format"] == "name"
    assert "unique within a namespace" in table["columnDefinitions"][0]["description"]


def test_a_row_carries_what_was_asked_for() -> None:
    obj = config_map("a")
    carried = {
        include: tables.table(PLAIN, [obj], now=0, include=tables.include_object(include))["rows"][0]["object"]
        for include in ("", "None", "Metadata", "Object")
    }
    metadata_only = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}
    assert carried == {"": metadata_only, "Metadata": metadata_only, "None": None, "Object": obj}
    with pytest.raises(BadRequest, match='includeObject: Invalid value: "Everything": must be '):
        tables.include_object("Everything")


def test_later_events_of_a_watch_have_no_heads() -> None:
    assert tables.table(PLAIN, [config_map("a")], now=0, headers=False)["columnDefinitions"] is None


def test_rows_of_finished_objects_carry_conditions() -> None:
    finished = replace(PLAIN, row_conditions=lambda obj: [{"type": "Completed", "status": "True"}])
    assert tables.table(finished, [config_map("a")], now=0)["rows"][0]["conditions"][0]["type"] == "Completed"
    assert "conditions" not in tables.table(PLAIN, [config_map("a")], now=0)["rows"][0]


def test_partial_lists_keep_the_lists_metadata() -> None:
    partial = tables.partial_list([config_map("a")], {"resourceVersion": "7"}, "v1beta1")
    assert partial["apiVersion"] == "meta.k8s.io/v1beta1"
    assert partial["metadata"] == {"resourceVersion": "7"}
    assert partial["items"][0]["metadata"]["name"] == "a"
    assert "data" not in partial["items"][0]
