"""Fields whose gates are off: dropped, but for objects that have them already."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from steersman.meta.objects import Object
from steersman.schema.definitions import definition, reference
from steersman.schema.gatedfields import GATED_FIELDS, GatedField, drop_gated_fields

ROWS = [(name, row) for name, rows in GATED_FIELDS.items() for row in rows]
VALUE = {"in": "use"}


def _at(path: str) -> Object:
    """An object that has ``VALUE`` at ``path``."""
    value: Any = VALUE
    for step in reversed(path.split(".")):
        match step:
            case "[]":
                value = [value, {"kept": True}]
            case "{}":
                value = {"a": value, "b": {"kept": True}}
            case _:
                value = {step: value, "kept": True} if step != "stopSignal" else {step: value}
    assert isinstance(value, dict)
    return value


def _properties(schema: Any) -> Any:
    name = reference(schema)
    return definition(name) if name else schema


def _ids() -> Iterator[str]:
    for name, row in ROWS:
        yield f"{name.rpartition('.')[2]} {row.paths[0]}"


rows = pytest.mark.parametrize(("name", "row"), ROWS, ids=list(_ids()))


@rows
def test_the_field_is_one_of_the_kind(name: str, row: GatedField) -> None:
    for path in row.paths:
        schema: Any = definition(name)
        for step in path.split("."):
            schema = _properties(schema)
            match step:
                case "[]":
                    schema = schema["items"]
                case "{}":
                    schema = schema["additionalProperties"]
                case _:
                    schema = schema["properties"][step]


@rows
def test_it_is_dropped_and_nothing_else_is(name: str, row: GatedField) -> None:
    for path in row.paths:
        sent = _at(path)
        before = copy.deepcopy(sent)
        new = dict(sent)
        drop_gated_fields(name, new, None)
        assert VALUE not in list(_values(new))
        assert sent == before, "what is shared stays as it is"
        assert new["kept"]
        cut = (row.drops or path).rpartition(".")[0]
        if not row.empties:
            assert list(_values(new)).count(True) == list(_values(before)).count(True) - (1 if row.drops else 0), cut


@rows
def test_it_stays_where_it_is_in_use(name: str, row: GatedField) -> None:
    for used in row.paths:
        for path in row.paths:
            new = _at(path)
            drop_gated_fields(name, new, _at(used))
            assert new == _at(path)


@rows
def test_nothing_is_copied_where_there_is_nothing_to_drop(name: str, row: GatedField) -> None:
    new = {"spec": {"kept": True}, "status": {}, "template": {}}
    parts = {field: id(value) for field, value in new.items()}
    drop_gated_fields(name, new, None)
    assert {field: id(value) for field, value in new.items()} == parts


def _values(value: Any) -> Iterator[Any]:
    yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _values(part)


def test_a_lifecycle_with_nothing_else_in_it_goes_with_its_signal() -> None:
    hook = {"preStop": {"sleep": {"seconds": 1}}}
    spec = {"containers": [{"lifecycle": {"stopSignal": "SIGHUP"}}, {"lifecycle": {"stopSignal": "SIGHUP", **hook}}]}
    pod = {"spec": {**spec, "initContainers": [{"lifecycle": {}}]}}
    drop_gated_fields("io.k8s.api.core.v1.Pod", pod, None)
    assert pod["spec"] == {"containers": [{}, {"lifecycle": hook}], "initContainers": [{"lifecycle": {}}]}


def test_a_source_in_another_namespace_is_no_source() -> None:
    claim = {"spec": {"dataSourceRef": {"kind": "A", "name": "a", "namespace": "other"}, "volumeName": "v"}}
    new = copy.deepcopy(claim)
    drop_gated_fields("io.k8s.api.core.v1.PersistentVolumeClaim", new, {"spec": {"dataSourceRef": {"name": "b"}}})
    assert new == claim
    drop_gated_fields("io.k8s.api.core.v1.PersistentVolumeClaim", new, {"spec": {}})
    assert new == {"spec": {"volumeName": "v"}}
    claim["spec"]["dataSourceRef"]["namespace"] = ""  # type: ignore[index]
    new = copy.deepcopy(claim)
    drop_gated_fields("io.k8s.api.core.v1.PersistentVolumeClaim", new, None)
    assert new == claim
